"""Reading the wanted frames of PDEBench's HDF5 files, some samples at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench import groups
from benchmarks.pdebench.layout import DATA, READ_BYTES, Field, Found, Layout, opened
from benchmarks.prepare import Block
from benchmarks.splits import Indices
from xmft.errors import FileError

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One frame of some channels; `frame` is None for a dataset without time."""

    field: Field
    frame: int | None


def read(
    path: Path,
    layout: Layout,
    found: Found,
    pair: tuple[Wanted, Wanted],
    *,
    positions: Indices,
    strides: tuple[int, ...],
) -> Iterator[Block]:
    """Yield the wanted frames of the wanted samples, some samples at a time.

    Arrays are `[n, channels, x]` or `[n, channels, x, y]`, whatever the order of the axes in the
    file.

    Args:
        path: The file.
        layout: As given to `inspect`.
        found: What `inspect` returned.
        pair: What becomes the inputs and the targets.
        positions: Place of each sample of the file in the result, -1 for those not wanted.
        strides: Every how many points are taken on each axis of the file (point sampling, as in
            PDEBench).

    Raises:
        FileError: a value is not finite, a sample has another shape than the first, or the file
            cannot be read to its end.
    """
    bad = _NotFinite(path)
    reader = _Groups if layout.style == "group" else _Tensors
    every: tuple[Any, ...] = (..., *(slice(None, None, stride) for stride in strides))
    # The axes of the grid sorted by name, behind those of samples and channels.
    order = (0, 1, *(2 + int(axis) for axis in np.argsort(layout.axes)))
    with opened(path) as file:
        source = reader(path, layout, found, file)
        step = min(source.samples_at_once(wanted) for wanted in pair)
        for start in range(0, found.samples, step):
            numbers = start + np.flatnonzero(positions[start : start + step] >= 0)
            if not len(numbers):
                continue
            arrays = []
            for wanted, values in zip(pair, source.read(numbers, pair), strict=True):
                # Striding in memory: HDF5 reads a strided selection point by point.
                values = values[every].transpose(order)
                bad.add(wanted.field.datasets, numbers, values)
                arrays.append(np.asarray(values, dtype=np.float32))
            yield Block(positions[numbers], *arrays)
    bad.check()


def check_finite(path: Path, layout: Layout, found: Found) -> None:
    """Read all that a task could need: whole datasets, all frames and points, all configurations.

    Raises:
        FileError: a value is not finite, a sample differs from the first in shape, parameters or
            coordinates, or the file cannot be read to its end.
    """
    bad = _NotFinite(path)
    with opened(path) as file:
        if layout.style == "group":
            inspection = groups.GroupInspection(file, path, layout)
            for number, dataset in enumerate(groups.samples(path, layout, found, file)):
                inspection.verify(found.keys[number], found)
                bad.add((DATA,), np.array([number]), dataset[()][None])
        else:
            for name in sorted({name for field in layout.fields for name in field.datasets}):
                dataset = file[name]
                step = max(1, READ_BYTES // _bytes(dataset.shape[1:]))
                for start in range(0, found.samples, step):
                    values = dataset[start : start + step]
                    bad.add((name,), np.arange(start, start + len(values)), values)
    bad.check()


class _Tensors:
    """Reads samples of a tensor-style file."""

    def __init__(self, path: Path, layout: Layout, found: Found, file: Any) -> None:
        # Kept open, for a dataset takes its cache of chunks with it when it is closed.
        self.datasets = {name: file[name] for field in layout.fields for name in field.datasets}

    def read(self, numbers: Indices, pair: tuple[Wanted, Wanted]) -> Iterator[Values]:
        """Yield inputs and targets `[n, channels, *axes]` of samples in rising order."""
        part = slice(int(numbers[0]), int(numbers[-1]) + 1)
        for wanted in pair:
            frame = () if wanted.frame is None else (wanted.frame,)
            channels = [self.datasets[name][(part, *frame)] for name in wanted.field.datasets]
            yield np.stack([values[numbers - numbers[0]] for values in channels], axis=1)

    def samples_at_once(self, wanted: Wanted) -> int:
        """Return how many samples fit one read; a compressed chunk costs all of its frames."""
        dataset = self.datasets[wanted.field.datasets[0]]
        one_frame = wanted.field.framed and not dataset.chunks
        size = _bytes(dataset.shape[2 if one_frame else 1 :]) * len(wanted.field.datasets)
        return max(1, READ_BYTES // size)


class _Groups:
    """Reads samples of a group-style file."""

    def __init__(self, path: Path, layout: Layout, found: Found, file: Any) -> None:
        self.path, self.layout, self.found, self.file = path, layout, found, file

    def read(self, numbers: Indices, pair: tuple[Wanted, Wanted]) -> Iterator[Values]:
        """Yield inputs and targets `[n, channels, *axes]`."""
        shape = (len(numbers), *self.found.points)
        pairs = [np.empty((*shape, len(wanted.field.channels)), np.float32) for wanted in pair]
        for row, number in enumerate(numbers):
            dataset = groups.sample(self.path, self.layout, self.found, self.file, int(number))
            for wanted, values in zip(pair, pairs, strict=True):
                values[row] = dataset[wanted.frame][..., wanted.field.channels]
        for values in pairs:
            yield np.moveaxis(values, -1, 1)

    def samples_at_once(self, wanted: Wanted) -> int:
        """Return how many samples make a block."""
        return max(1, READ_BYTES // _bytes((*self.found.points, self.layout.channels)))


class _NotFinite:
    """Counts NaN and infinite values, to report all of a file's at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._found: list[tuple[int, str]] = []

    def add(self, datasets: tuple[str, ...], samples: Indices, values: Values) -> None:
        """Count those of some samples `[n, ...]`; with several datasets, axis 1 is these."""
        if np.isfinite(values).all():
            return
        rows = values.reshape(len(values), len(datasets), -1)
        wrong = np.count_nonzero(~np.isfinite(rows), axis=2)
        self._count += int(wrong.sum())
        row = int(np.argmax(wrong.any(axis=1)))
        self._found.append((int(samples[row]), datasets[int(np.argmax(wrong[row] > 0))]))

    def check(self) -> None:
        """Raise the error if there were any."""
        if self._count:
            sample, dataset = min(self._found)
            raise FileError(
                self._path,
                f"found {self._count} values that are NaN or infinite, the first in sample "
                f"{sample} of '{dataset}'; expected finite values only",
            )


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * 4
