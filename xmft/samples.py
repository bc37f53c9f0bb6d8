"""Batches of a split on a device: read, cut, decoded and, in training, augmented there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from xmft.arrays import Array, Indices, Windows
from xmft.errors import DataError
from xmft.seeding import generator
from xmft.split import Split
from xmft.stored import RaggedBatch, Stored, to_device
from xmft.task import TaskData

# Memory for splits that are read once and stay; others are read by batch.
_RESIDENT_BYTES = 512 * 2**20
_RESIDENT_SHARE = 1 / 4
# Rows decoded at once where they are only looked at.
_DECODED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A batch as it is stored, cut to its windows, on the device.

    Attributes:
        inputs: Of the stored type, `[n, ...]`; or ragged.
        targets: Likewise.
        weights: Likewise, if the split has any.
        samples: Which sample each row is of, `[n]`.
        starts: Where its window begins, `[n, axes]`; None where the split has no windows.
    """

    inputs: Tensor | RaggedBatch
    targets: Tensor | RaggedBatch
    weights: Tensor | None
    samples: Int[Tensor, " n"]
    starts: Int[Tensor, "n axes"] | None


class Decoded(NamedTuple):
    """A batch as model and loss take it.

    Attributes:
        inputs: float32 `[n, channels, *grid]`.
        targets: float32 `[n, channels, *grid]`, int64 `[n]`, or float32 `[n, labels]`.
        weights: Weight of each target value, or None.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What the random numbers of a training batch follow from, beside the row."""

    seed: int
    stage: str
    epoch: int
    fitting: bool = True  # not of a stage before, which may have classes


class Draws:
    """Random numbers for each row of a batch, the same whatever the batch and the workers.

    Attributes:
        pieces: The batch as it is stored.
        fitting: Whether the batch is one of target fitting.
        device: Where the numbers are.
    """

    def __init__(self, draw: Draw, rows: Indices, device: torch.device, pieces: Pieces) -> None:
        """Start one stream for every row; they are drawn from in the order of the calls."""
        self.pieces = pieces
        self.fitting = draw.fitting
        self.device = device
        self._streams = [
            generator("augment", draw.seed, draw.stage, draw.epoch, row) for row in rows
        ]

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> Tensor:
        """Return float32 `[n, *shape]` between `low` and `high`."""
        return self._stacked([rng.uniform(low, high, shape) for rng in self._streams]).float()

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Return standard normal float32 `[n, *shape]`."""
        return self._stacked([rng.standard_normal(shape) for rng in self._streams]).float()

    def integers(self, high: int, shape: tuple[int, ...] = ()) -> Tensor:
        """Return int64 `[n, *shape]` from 0 to `high` - 1."""
        return self._stacked([rng.integers(high, size=shape) for rng in self._streams]).long()

    def _stacked(self, values: list[Any]) -> Tensor:
        return to_device(np.stack([np.asarray(value) for value in values]), self.device)


class Samples:
    """Batches of a split on a device.

    Attributes:
        split: What is read.
        resident_bytes: What the split takes of the device's memory; 0: it is read by batch.
    """

    def __init__(
        self,
        split: Split,
        device: torch.device,
        *,
        limit: int = _RESIDENT_BYTES,
        decode: Callable[[Pieces], Decoded] | None = None,
        augment: Callable[[Decoded, Draws], Decoded] | None = None,
    ) -> None:
        """Read the split if it takes at most `limit` bytes; then it stays on `device`.

        Args:
            split: The samples.
            device: Where batches are wanted.
            limit: Most bytes that may stay there.
            decode: See `TaskData`.
            augment: See `TaskData`.
        """
        self.split = split
        self._device = device
        self._decode = decode
        self._augment = augment
        resident = split.nbytes <= limit
        self.resident_bytes = split.nbytes if resident else 0
        self._inputs, self._targets = (
            Stored(array, device, resident=resident) for array in (split.inputs, split.targets)
        )
        self._weights = (
            None if split.weights is None else Stored(split.weights, device, resident=resident)
        )

    def __len__(self) -> int:
        return len(self.split)

    def take(self, rows: Indices, draw: Draw | None = None) -> Decoded:
        """Return the decoded rows.

        Args:
            rows: Which.
            draw: In training, what random windows and augmentation follow from; None: the rows as
                they are scored.
        """
        samples, starts = self._places(rows, draw)
        inputs = self._part(self._inputs, samples, starts, inputs=True)
        targets = self._part(self._targets, samples, starts)
        weights = None if self._weights is None else self._part(self._weights, samples, starts)
        assert not isinstance(weights, RaggedBatch)
        augment = None if draw is None else self._augment
        if self._decode is None and augment is None:
            assert isinstance(inputs, Tensor) and isinstance(targets, Tensor)
            return Decoded(inputs, targets, weights)
        pieces = Pieces(
            inputs=inputs,
            targets=targets,
            weights=weights,
            samples=to_device(samples, self._device),
            starts=None if starts is None else to_device(starts, self._device),
        )
        if self._decode is None:
            assert isinstance(inputs, Tensor) and isinstance(targets, Tensor)
            decoded = Decoded(inputs, targets, weights)
        else:
            decoded = self._decode(pieces)
        if augment is None or draw is None:
            return decoded
        return augment(decoded, Draws(draw, rows, self._device, pieces))

    def row_bytes(self) -> int:
        """Return the bytes of a decoded row, targets included."""
        if self._decode is None and self.split.windows is None:
            return self.split.nbytes // len(self.split)
        one = self.take(np.zeros(1, dtype=np.int64))
        return sum(part.nbytes for part in (one.inputs, one.targets))

    def _places(self, rows: Indices, draw: Draw | None) -> tuple[Indices, Indices | None]:
        """Return the sample of each row, and where its window starts."""
        windows = self.split.windows
        if windows is None:
            return rows, None
        samples = windows.table[rows, 0]
        if draw is not None and windows.random:
            return samples, self._random_starts(windows, rows, samples, draw)
        return samples, windows.table[rows, 1:]

    def _part(
        self, stored: Stored, samples: Indices, starts: Indices | None, *, inputs: bool = False
    ) -> Tensor | RaggedBatch:
        windows = self.split.windows
        if windows is None or starts is None or not windows.cut:
            return stored.rows(samples)
        if inputs or windows.targets:
            return stored.cut(samples, starts, windows.size)
        return stored.rows(samples)

    def _random_starts(
        self, windows: Windows, rows: Indices, samples: Indices, draw: Draw
    ) -> Indices:
        starts = np.empty((len(rows), len(windows.size)), dtype=np.int64)
        for place, (row, sample) in enumerate(zip(rows.tolist(), samples.tolist(), strict=True)):
            rng = generator("window", draw.seed, draw.stage, draw.epoch, row)
            for axis, points in enumerate(self.split.extent(sample)):
                starts[place, axis] = rng.integers(points - windows.size[axis] + 1)
        return starts


def samples_of(
    data: TaskData, device: torch.device, *, limit: int | None = None
) -> dict[str, Samples]:
    """Return the samples of `train`, `val` and `test`, in `device`'s memory as far as they fit.

    Args:
        data: The task's splits.
        device: Where the model lives.
        limit: Most bytes that may stay there in all; None: on a GPU a quarter of what is free, in
            main memory 512 MiB.
    """
    if limit is None:
        limit = _RESIDENT_BYTES
        if device.type == "cuda":
            limit = int(_RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
    samples = {}
    for name, split in data.splits.items():
        samples[name] = Samples(
            split, device, limit=limit, decode=data.decode, augment=data.augment
        )
        limit -= samples[name].resident_bytes
    return samples


def train_samples(data: TaskData, device: torch.device) -> Samples:
    """Return the training split, read by batch and never augmented."""
    return Samples(data.train, device, limit=0, decode=data.decode)


def shapes_of(data: TaskData) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of one decoded input and one decoded target.

    Raises:
        DataError: the task's `decode` gives something that a model cannot read.
    """
    if data.decode is None and data.train.windows is None:
        assert isinstance(data.train.inputs, np.ndarray)
        assert isinstance(data.train.targets, np.ndarray)
        return data.train.inputs.shape[1:], data.train.targets.shape[1:]
    one = train_samples(data, torch.device("cpu")).take(np.zeros(1, dtype=np.int64))
    if one.inputs.ndim not in (3, 4) or one.inputs.dtype != torch.float32 or len(one.inputs) != 1:
        raise DataError(
            f"{data.task.name}: decoding one sample gave inputs of shape "
            f"{tuple(one.inputs.shape)} and type {one.inputs.dtype}, expected float32 "
            "[1, channels, length] or [1, channels, height, width]. Mend the task's `decode`."
        )
    if not (torch.isfinite(one.inputs).all() and torch.isfinite(one.targets.float()).all()):
        raise DataError(
            f"{data.task.name}: decoding the first sample of {data.source} gave values that are "
            "NaN or infinite. Mend the task's `decode`."
        )
    return tuple(one.inputs.shape[1:]), tuple(one.targets.shape[1:])


def decoded_inputs_and_targets(data: TaskData, most: int) -> Iterator[tuple[Array, Array]]:
    """Yield blocks of decoded training rows, at most `most` of them, evenly spread."""
    samples = train_samples(data, torch.device("cpu"))
    rows = np.arange(0, len(samples), -(-len(samples) // most), dtype=np.int64)
    for start in range(0, len(rows), _DECODED_ROWS):
        batch = samples.take(rows[start : start + _DECODED_ROWS])
        yield batch.inputs.numpy(), batch.targets.numpy()
