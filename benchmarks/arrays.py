"""One array on disk, written some samples at a time: dense, or of samples of unequal length.

`<name>.npy` holds the values; of ragged samples one behind the other, and `<name>.offsets.npy`
where each begins. The type is that of the first block.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.splits import Indices
from xmft.errors import DataError
from xmft.task import Ragged

Array = npt.NDArray[Any]

# The shape is known at the end alone: room for it is left at the start.
_HEADER = 128


class ArrayWriter(Protocol):
    """Takes the samples of one array, each exactly once."""

    def write(self, positions: Indices, part: Array | Ragged) -> None:
        """Write samples to their places."""

    def close(self) -> None:
        """Finish; the file is whole from here on."""


def writer(folder: Path, name: str, total: int, first: Array | Ragged) -> ArrayWriter:
    """Return what writes an array.

    Args:
        folder: Where to.
        name: Of the array.
        total: Number of samples.
        first: First samples that will be written; they say type and shape.
    """
    if isinstance(first, Ragged):
        return _Ragged(folder, name, total, first)
    return _Dense(folder, name, total, first)


def opened(folder: Path, name: str) -> Array | Ragged | None:
    """Return an array, memory-mapped and read-only; None where there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    path, offsets = folder / f"{name}.npy", folder / f"{name}.offsets.npy"
    if not path.exists():
        return None
    values: Array = np.load(path, mmap_mode="r")
    return Ragged(values=values, offsets=np.load(offsets)) if offsets.exists() else values


def part_of(array: Array | Ragged, start: int, stop: int) -> Array | Ragged:
    """Return samples `start` to `stop` of an array without copying any."""
    if not isinstance(array, Ragged):
        return array[start:stop]
    offsets = array.offsets[start : stop + 1]
    return Ragged(values=array.values[offsets[0] : offsets[-1]], offsets=offsets - offsets[0])


class _Dense:
    def __init__(self, folder: Path, name: str, total: int, first: Array) -> None:
        self._name, self._total, self._written = name, total, 0
        path = folder / f"{name}.npy"
        self._array: Array = np.lib.format.open_memmap(
            path, "w+", dtype=first.dtype, shape=(total, *first.shape[1:])
        )
        _reserve(path)

    def write(self, positions: Indices, part: Array | Ragged) -> None:
        if isinstance(part, Ragged) or part.dtype != self._array.dtype:
            raise DataError(
                f"The {self._name} were read as {self._array.dtype} and then as {part.dtype}; all "
                "blocks of a task need one type."
            )
        self._array[positions] = part
        self._written += len(positions)

    def close(self) -> None:
        _check_count(self._name, self._written, self._total)
        assert isinstance(self._array, np.memmap)
        self._array.flush()


def _reserve(path: Path) -> None:
    """Take the room that a file will need.

    Writing to mapped memory for which the disk has no room kills the process without a word.

    Raises:
        OSError: there is not enough.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        except OSError as error:
            # Some file systems cannot; then writing has to show it.
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise


class _Ragged:
    def __init__(self, folder: Path, name: str, total: int, first: Ragged) -> None:
        self._name, self._total = name, total
        self._folder, self._dtype, self._shape = folder, first.dtype, first.values.shape[1:]
        self._lengths: list[Indices] = []
        self._written = 0
        self._path = folder / f"{name}.npy"
        self._path.write_bytes(bytes(_HEADER))

    def write(self, positions: Indices, part: Array | Ragged) -> None:
        if (
            not isinstance(part, Ragged)
            or part.dtype != self._dtype
            or part.values.shape[1:] != self._shape
        ):
            raise DataError(f"The blocks of the ragged {self._name} differ in type or shape.")
        if (positions != np.arange(self._written, self._written + len(part))).any():
            raise DataError(f"The blocks of the ragged {self._name} must come in order.")
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(part.values).data)
        self._lengths.append(part.lengths)
        self._written += len(part)

    def close(self) -> None:
        _check_count(self._name, self._written, self._total)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(self._lengths))])
        np.save(self._folder / f"{self._name}.offsets.npy", offsets)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (int(offsets[-1]), *self._shape),
        }
        start = np.lib.format.magic(1, 0)
        room = _HEADER - len(start) - 2
        text = f"{header!r}".ljust(room - 1) + "\n"
        with self._path.open("r+b") as file:
            file.write(start + struct.pack("<H", room) + text.encode())


def _check_count(name: str, written: int, total: int) -> None:
    if written != total:
        raise DataError(f"The files gave {written} {name}, expected {total} as announced.")
