"""How samples lie in memory or on disk: arrays of unequal length, and windows cut from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xmft.errors import DataError

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """Samples of unequal length, one behind the other; may be memory-mapped.

    Attributes:
        values: `[total, ...]`, of any numeric type.
        offsets: Where each sample begins, and where the last one ends, int64 `[n + 1]`.
    """

    values: Array
    offsets: Indices

    def __post_init__(self) -> None:
        offsets = self.offsets
        rising = offsets.ndim == 1 and len(offsets) and offsets[0] == 0
        if not rising or (np.diff(offsets) < 0).any() or offsets[-1] != len(self.values):
            raise DataError(
                f"The offsets of {len(self.values)} ragged values must rise from 0 to that number; "
                f"found {offsets[:1]} to {offsets[-1:]} in an array of shape {offsets.shape}."
            )

    @classmethod
    def of(cls, samples: Sequence[Array]) -> Ragged:
        """Put samples `[length, ...]` behind one another."""
        lengths = [len(sample) for sample in samples]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(values=np.concatenate(list(samples)), offsets=offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> Array:
        """Return one sample `[length, ...]`."""
        sample: Array = self.values[self.offsets[number] : self.offsets[number + 1]]
        return sample

    @property
    def lengths(self) -> Indices:
        """Length of every sample `[n]`."""
        return np.diff(self.offsets)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the values and the offsets."""
        return self.values.nbytes + self.offsets.nbytes


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Rows of a split that are cut from longer samples.

    Dense samples are cut along their last axes, ragged ones along their first.

    Attributes:
        table: The sample of each row and where its window starts on each axis that is cut, int64
            `[rows, 1 + axes]`; overlapping or not. All of them are scored.
        size: Points of a window on each of these axes.
        random: Training draws the start of each row anew in every epoch, from the seed, the epoch
            and the row alone; the table decides at scoring.
        targets: Whether targets (and weights) are cut like the inputs; otherwise a row has those of
            its sample.
        cut: Whether the stored arrays are cut; otherwise a row holds its whole sample and `decode`
            cuts what it makes of it, by the starts that it is given.
        extents: Points of each sample on these axes, int64 `[samples, axes]`, where what is stored
            does not show them and is not cut; None: it does.
    """

    table: Indices
    size: tuple[int, ...]
    random: bool = False
    targets: bool = False
    cut: bool = True
    extents: Indices | None = None

    def __post_init__(self) -> None:
        if self.extents is not None and (self.cut or self.extents.shape[1:] != (len(self.size),)):
            raise DataError(
                f"Extents of samples are for windows that the task's decode cuts, one for each of "
                f"{len(self.size)} axes; found the shape {self.extents.shape} and cut={self.cut}."
            )
        if self.table.ndim != 2 or self.table.shape[1] != 1 + len(self.size) or not self.size:
            raise DataError(
                f"Windows of {self.size} points need a table of {1 + len(self.size)} columns, the "
                f"sample and a start for each axis; found the shape {self.table.shape}."
            )

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def every(
        cls,
        extents: npt.ArrayLike,
        size: tuple[int, ...],
        stride: int | Sequence[int] | None = None,
        *,
        cover: bool = True,
        random: bool = False,
        targets: bool = False,
        cut: bool = True,
    ) -> Windows:
        """Lay windows over all samples, row-major; without `cut` the extents are kept.

        Args:
            extents: Points of each sample, `[n]` or `[n, axes]`.
            size: Points of a window on each axis.
            stride: Points from one window to the next on every axis, for all samples or for each;
                None: the windows touch and do not overlap.
            cover: Put a last window at the end of an axis whose points are not all covered.
            random: See `Windows`.
            targets: See `Windows`.
            cut: See `Windows`.

        Raises:
            DataError: a sample is shorter than a window.
        """
        points = np.atleast_1d(np.asarray(extents, dtype=np.int64))
        points = points.reshape(len(points), len(size))
        each = np.asarray(size if stride is None else stride)
        steps = np.broadcast_to(
            each[:, None] if isinstance(stride, Sequence) else each, points.shape
        )
        rows: list[Indices] = []
        for sample, (extent, own) in enumerate(zip(points.tolist(), steps.tolist(), strict=True)):
            axes = [
                _starts(length, width, step, cover, sample)
                for length, width, step in zip(extent, size, own, strict=True)
            ]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(size))
            rows.append(np.column_stack([np.full(len(grid), sample), grid]))
        table = np.concatenate(rows).astype(np.int64)
        return cls(
            table=table,
            size=size,
            random=random,
            targets=targets,
            cut=cut,
            extents=None if cut else points,
        )


def _starts(length: int, width: int, step: int, cover: bool, sample: int) -> Indices:
    if length < width or step < 1:
        raise DataError(
            f"Windows of {width} points, {step} apart, cannot be cut from sample {sample} of "
            f"{length} points."
        )
    starts = np.arange(0, length - width + 1, step, dtype=np.int64)
    if cover and starts[-1] + width < length:
        starts = np.append(starts, length - width)
    return starts
