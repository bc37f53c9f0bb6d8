"""The samples of one split, which check that they fit one another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from xmft.arrays import Array, Indices, Ragged, Windows
from xmft.errors import DataError
from xmft.missing import marked

# Values are looked at some samples at a time: arrays may be larger than the memory.
_BLOCK_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Split:
    """Samples of one split; arrays may be memory-mapped and must not be written to.

    What is stored may be of the smallest type that holds it: the task's `decode` makes floating
    point of a batch on the device. Without one, the stored arrays are what the model sees.

    Attributes:
        inputs: `[n, channels, *grid]` with one or two grid axes, float32 where there is no decode,
            in physical units unless the protocol scales them; or ragged.
        targets: `[n, channels, *grid]` for dense tasks, `[n]` for classification, `[n, labels]` of
            0 and 1 for several labels; or ragged.
        weights: What a loss or metric multiplies the error of each target value with, 0 where
            nobody knows the truth; of the shape of the targets, or one that broadcasts to it.
        windows: Which rows are cut from the samples; None: each sample is a row.
        groups: Group of each row, in rising order, for tasks that pool; None: with windows the
            sample, otherwise each row is alone.
    """

    inputs: Array | Ragged
    targets: Array | Ragged
    weights: Array | None = None
    windows: Windows | None = None
    groups: Indices | None = None

    def __post_init__(self) -> None:
        count = len(self.inputs)
        for name in ("targets", "weights"):
            array = getattr(self, name)
            if array is not None and len(array) != count:
                raise DataError(
                    f"A split has {count} inputs and {len(array)} {name}; it needs as many of both."
                )
        if self.windows is not None:
            _check_windows(self, self.windows)
        if self.groups is not None:
            given = self.groups
            if given.shape != (len(self),) or (np.diff(given) < 0).any():
                raise DataError(
                    f"The groups of {len(self)} rows must be one number for each, in rising order; "
                    f"found the shape {given.shape}."
                )

    def __len__(self) -> int:
        return len(self.inputs if self.windows is None else self.windows)

    @property
    def sample_of_row(self) -> Indices:
        """The sample that each row is cut from, `[rows]`."""
        if self.windows is None:
            return np.arange(len(self), dtype=np.int64)
        return self.windows.table[:, 0]

    @property
    def group_of_row(self) -> Indices:
        """The group of each row, `[rows]`."""
        return self.sample_of_row if self.groups is None else self.groups

    @property
    def nbytes(self) -> int:
        """Bytes of all that is stored."""
        weights = 0 if self.weights is None else self.weights.nbytes
        return int(self.inputs.nbytes + self.targets.nbytes + weights)

    def extent(self, sample: int) -> tuple[int, ...]:
        """Return the points of a sample on each axis that windows cut."""
        assert self.windows is not None
        return tuple(_extents(self, self.windows, np.array([sample]))[0].tolist())


def _extents(split: Split, windows: Windows, samples: Indices) -> Indices:
    """Return the points of samples on the axes that are cut, `[n, axes]`."""
    axes = len(windows.size)
    if windows.extents is not None:
        return windows.extents[samples]
    if isinstance(split.inputs, Ragged):
        lengths: Indices = split.inputs.lengths[samples]
        return np.repeat(lengths[:, None], axes, axis=1)
    return np.tile(np.array(split.inputs.shape[-axes:], dtype=np.int64), (len(samples), 1))


def _check_windows(split: Split, windows: Windows) -> None:
    samples, starts = windows.table[:, 0], windows.table[:, 1:]
    if windows.extents is not None and len(windows.extents) != len(split.inputs):
        raise DataError(
            f"Windows know the extents of {len(windows.extents)} samples, but the split has "
            f"{len(split.inputs)}."
        )
    if isinstance(split.inputs, Ragged) and windows.cut and len(windows.size) != 1:
        raise DataError("Ragged samples are cut along their first axis alone; found more axes.")
    if len(samples) and not 0 <= samples.min() <= samples.max() < len(split.inputs):
        raise DataError(
            f"A window is cut from sample {samples.max()}, but the split has {len(split.inputs)}."
        )
    inside = (starts >= 0) & (starts + np.array(windows.size) <= _extents(split, windows, samples))
    if not inside.all():
        row = int(np.argmin(inside.all(axis=1)))
        raise DataError(
            f"Row {row} is a window of {windows.size} points from {tuple(starts[row].tolist())} "
            f"on, but sample {samples[row]} has {split.extent(int(samples[row]))} points."
        )
    if (np.diff(samples) < 0).any():
        raise DataError("The rows of a table of windows must be in the order of the samples.")


def check_finite(array: Array | Ragged, what: str, source: str, *, marks: bool = False) -> None:
    """Look at every value of an array.

    Args:
        array: What is stored.
        what: What it is, for the message.
        source: Where it comes from, likewise.
        marks: Whether numbers that stand for nothing are wrong too; they are looked for in samples
            of equal shape.

    Raises:
        DataError: a value is NaN or infinite, or marks what is missing.
    """
    ragged = isinstance(array, Ragged)
    for start, block in _blocks(array.values if isinstance(array, Ragged) else array):
        wrong = ~np.isfinite(block)
        if wrong.any():
            unit = "value" if ragged else "sample"
            first = start + int(np.argmax(wrong.reshape(len(block), -1).any(axis=1)))
            raise DataError(
                f"{what} hold values that are NaN or infinite, the first in {unit} {first}; "
                f"expected finite values only. Check {source}."
            )
        missing = marked(block.reshape(len(block), -1)) if marks and not ragged else wrong[:0]
        if missing.any():
            raise DataError(
                f"{what} hold numbers that mark what is missing (such as -9999 or 1e20), the first "
                f"of {np.count_nonzero(missing)} or more samples is {start + np.argmax(missing)}. "
                f"Fill them in, leave those samples out, or give them no weight. Check {source}."
            )


def _blocks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield an array some samples at a time; types that are always finite have nothing to see."""
    if array.dtype.kind not in "fc" or not len(array):
        return
    step = max(1, _BLOCK_BYTES // max(1, array.nbytes // len(array)))
    for start in range(0, len(array), step):
        yield start, np.asarray(array[start : start + step])


def content_hash(*splits: Split) -> str:
    """Return the sha256 of the stored dense arrays of splits."""
    digest = hashlib.sha256()
    for split in splits:
        for array in (split.inputs, split.targets):
            values = array.values if isinstance(array, Ragged) else array
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def as_split(kind: str, inputs: Array, targets: Array) -> Split:
    """Bring arrays of a user into the types and shapes of a split.

    Args:
        kind: Kind of the task.
        inputs: `[n, channels, *grid]`, or `[n, length]` of one channel.
        targets: As the kind has them; of dense tasks the channels may be missing.

    Raises:
        DataError: classes are no whole numbers.
    """
    if inputs.ndim == 2:
        inputs = inputs[:, None]
    if kind == "dense" and targets.ndim == inputs.ndim - 1:
        targets = targets[:, None]
    types: Mapping[str, type] = {
        "dense": np.float32,
        "multilabel": np.float32,
        "classification": np.int64,
    }
    if kind == "classification" and targets.dtype.kind not in "iub":
        raise DataError(f"Classes are whole numbers, found targets of type {targets.dtype}.")
    return Split(inputs=inputs.astype(np.float32), targets=targets.astype(types[kind]))
