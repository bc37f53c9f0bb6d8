"""Means and spreads of a training split, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from xmft.canonical import Canonical
from xmft.samples import decoded_inputs_and_targets
from xmft.task import TaskData

# Statistics of memory-mapped arrays are taken block by block.
_BLOCK = 1024
# Of rows that are decoded one batch after the other, at most this many are looked at.
_DECODED = 4096


class Moments:
    """Mean and mean square over samples at each point, float64, block by block."""

    def __init__(self) -> None:
        self._count = 0
        self._total: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in samples `[n, ...]`."""
        block = np.asarray(values, dtype=np.float64)
        self._count += len(block)
        self._total = self._total + block.sum(axis=0)
        self._squares = self._squares + np.square(block).sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """Mean over samples."""
        return np.asarray(self._total / self._count)

    @property
    def square(self) -> np.ndarray:
        """Mean square over samples."""
        return np.asarray(self._squares / self._count)


def training_mean(data: TaskData) -> Tensor:
    """Return the mean over the training targets `[n, channels, *grid]` at each point."""
    return torch.from_numpy(moments_of(data)[1].mean).float()


def moments_of(data: TaskData, canonical: Canonical | None = None) -> tuple[Moments, Moments]:
    """Return the moments of the training inputs and targets, of many rows to decode of a part.

    Args:
        data: The task's splits.
        canonical: The form in which they are taken; None: as they are.
    """
    inputs, targets = Moments(), Moments()
    for x, y in _training_blocks(data):
        if canonical is not None:
            x, y = _in_form(x, y, canonical)
        inputs.add(x)
        if data.task.kind == "dense":
            targets.add(y)
    return inputs, targets


def _training_blocks(data: TaskData) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    train = data.train
    if data.decode is not None or train.windows is not None:
        yield from decoded_inputs_and_targets(data, _DECODED)
        return
    assert isinstance(train.inputs, np.ndarray) and isinstance(train.targets, np.ndarray)
    for start in range(0, len(train), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield train.inputs[part], train.targets[part]


def _in_form(x: np.ndarray, y: np.ndarray, canonical: Canonical) -> tuple[np.ndarray, np.ndarray]:
    # Copies: a block may be a view of a mapped file that cannot be written to.
    inputs, targets = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y))
    motion = canonical.motion(inputs)
    return canonical.inputs(inputs, motion).numpy(), canonical.targets(targets, motion).numpy()


def _per_channel(values: np.ndarray, shape: int) -> Tensor:
    return torch.from_numpy(values.reshape(-1, *[1] * (shape - 1))).float()


def channel_mean_and_spread(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return mean and spread of each channel over samples and points, `[channels, 1, ...]`."""
    mean, square = moments.mean, moments.square
    axes = tuple(range(1, mean.ndim))
    centre = mean.mean(axis=axes)
    size = square.mean(axis=axes)
    spread = _spread(size - centre**2, size)
    return _per_channel(centre, mean.ndim), _per_channel(spread, mean.ndim)


def point_mean_and_channel_spread(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean at each point, and the spread about it of each channel, `[channels, 1, ...]`.

    The mean is `[channels, *grid]`.
    """
    mean, square = moments.mean, moments.square
    axes = tuple(range(1, mean.ndim))
    spread = _spread((square - mean**2).mean(axis=axes), square.mean(axis=axes))
    return torch.from_numpy(mean).float(), _per_channel(spread, mean.ndim)


def _spread(variance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the standard deviation; 1 for a constant channel, which is left as it is.

    A difference of two means of squares is rounding noise below some 1e-12 of their size.
    """
    constant = variance <= 1e-12 * size
    return np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
