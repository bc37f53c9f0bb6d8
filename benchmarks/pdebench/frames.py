"""Reading the wanted frames of PDEBench's HDF5 files of either format, some samples at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pdebench.group_files import GroupInspection, GroupReader
from benchmarks.pdebench.layout import (
    DATA,
    READ_BYTES,
    Found,
    Layout,
    Style,
    Values,
    Wanted,
    opened,
)
from benchmarks.pdebench.tensor_files import TensorInspection, TensorReader
from benchmarks.pdebench.values import Suspects, check_written
from benchmarks.prepare import Block
from benchmarks.splits import Indices

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
        found = _INSPECTIONS[layout.style](file, path, layout).found()
        if layout.style == "tensor":
            for name in dict.fromkeys(n for field in layout.fields for n in field.datasets):
                check_written(path, file[name])
        else:
            check_written(path, file[found.keys[0]][DATA], sample=0)
        return found


def read(
    path: Path,
    layout: Layout,
    found: Found,
    pair: tuple[Wanted, Wanted],
    *,
    positions: Indices,
    strides: tuple[int, ...],
    known: dict[bytes, int] | None = None,
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
        known: What is known of the samples that were read before, where they are read in parts, to
            find copies among all of them: none may have the same inputs. None: neither inputs nor
            targets may be the same.

    Raises:
        FileError: a value cannot be data (see `values`), a sample has another shape than the first,
            or the file cannot be read to its end.
    """
    every: tuple[Any, ...] = (..., *(slice(None, None, stride) for stride in strides))
    # The axes of the grid sorted by name, behind those of samples and channels.
    order = (0, 1, *(2 + int(axis) for axis in np.argsort(layout.axes)))
    with opened(path) as file:
        source = _READERS[layout.style](path, layout, found, file)
        bad = Suspects(path, layout.possible, source.fills, {} if known is None else known)
        step = min(max(1, READ_BYTES // source.bytes_read(wanted)) for wanted in pair)
        for start in range(0, found.samples, step):
            numbers = start + np.flatnonzero(positions[start : start + step] >= 0)
            if not len(numbers):
                continue
            arrays = []
            for wanted, values in zip(pair, source.read(numbers, pair), strict=True):
                # Striding in memory: HDF5 reads a strided selection point by point.
                values = values[every].transpose(order)
                arrays.append(np.asarray(values, dtype=np.float32))
                channels = np.moveaxis(values, 1, 0)
                for name, channel in zip(_names(wanted, values), channels, strict=True):
                    bad.look(name, numbers, channel[:, None], start=wanted is pair[0])
            bad.compare(numbers, arrays if known is None else arrays[:1])
            yield Block(positions[numbers], *arrays)
    bad.check()


def check_values(path: Path, layout: Layout, found: Found) -> None:
    """Read all that a task could need: whole datasets, all frames and points, all configurations.

    Raises:
        FileError: a value cannot be data (see `values`), a sample differs from the first in shape,
            parameters or coordinates, or the file cannot be read to its end.
    """
    framed = {name: field.framed for field in layout.fields for name in field.datasets}
    digests = [hashlib.blake2b(digest_size=16) for _ in range(found.samples)]
    with opened(path) as file:
        source = _READERS[layout.style](path, layout, found, file)
        bad = Suspects(path, layout.possible, source.fills)
        for name, numbers, values in source.everything(READ_BYTES):
            start = name in layout.fields[0].datasets
            if layout.style == "group":
                for channel in np.moveaxis(values, -1, 0):
                    bad.look(name, numbers, channel, start=start)
            else:
                framed_values = values if framed[name] else values[:, None]
                bad.look(name, numbers, framed_values, start=start)
            for number, one in zip(numbers.tolist(), values, strict=True):
                digests[number].update(np.ascontiguousarray(one).tobytes())
    for number, digest in enumerate(digests):
        bad.repeated(number, digest.digest())
    bad.check()


def _names(wanted: Wanted, values: Values) -> tuple[str, ...]:
    """Return the dataset of each channel of values `[n, channels, ...]`."""
    names = wanted.field.datasets
    return names if len(names) == values.shape[1] else names * values.shape[1]
