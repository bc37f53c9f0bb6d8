"""Reading the wanted frames of PDEBench's HDF5 files of either format, some samples at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pdebench.group_files import GroupInspection, GroupReader
from benchmarks.pdebench.layout import READ_BYTES, Found, Layout, Style, Values, Wanted, opened
from benchmarks.pdebench.tensor_files import TensorInspection, TensorReader
from benchmarks.prepare import Block
from benchmarks.splits import Indices
from xmft.errors import FileError

_INSPECTIONS: dict[Style, type[TensorInspection | GroupInspection]] = {
    "tensor": TensorInspection,
    "group": GroupInspection,
}
_READERS: dict[Style, type[TensorReader | GroupReader]] = {
    "tensor": TensorReader,
    "group": GroupReader,
}


def inspect(path: Path, layout: Layout) -> Found:
    """Check the names, shapes, coordinates and parameters of a file without reading its fields.

    Of a group-style file the first group is checked, the others while they are read.

    Raises:
        FileError: the file is unreadable or not what its name says.
    """
    with opened(path) as file:
        inspection = _INSPECTIONS[layout.style](file, path, layout)
        return inspection.found()


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
    every: tuple[Any, ...] = (..., *(slice(None, None, stride) for stride in strides))
    # The axes of the grid sorted by name, behind those of samples and channels.
    order = (0, 1, *(2 + int(axis) for axis in np.argsort(layout.axes)))
    with opened(path) as file:
        source = _READERS[layout.style](path, layout, found, file)
        step = min(max(1, READ_BYTES // source.bytes_read(wanted)) for wanted in pair)
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
        source = _READERS[layout.style](path, layout, found, file)
        for name, numbers, values in source.everything(READ_BYTES):
            bad.add((name,), numbers, values)
    bad.check()


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
