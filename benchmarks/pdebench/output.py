"""Writing HDF5 files so that a full disk is an error and not a crash.

What this project adds to PDEBench's formats are root attributes only, so that PDEBench's own
readers open the files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


class OutputFile(io.FileIO):
    """A file that keeps its first write error for `check` instead of raising it.

    The HDF5 library does not survive an error while it closes a file (a full disk ends in a
    segmentation fault), so it must not see one.
    """

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write; after an error, pretend to."""
        view = memoryview(data)  # type: ignore[arg-type]
        written = 0
        while self.error is None and written < len(view):
            try:
                written += super().write(view[written:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size; after an error, pretend to."""
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error


@contextmanager
def opened(path: Path) -> Iterator[tuple[h5py.File, OutputFile]]:
    """Open a new HDF5 file for writing; the end is checked here, each write by who writes."""
    with OutputFile(path, "w+") as output:
        with h5py.File(output, "w") as file:
            yield file, output
        output.check()


class Writer(Protocol):
    """Writes batches of samples into an open file."""

    def write(self, arrays: Arrays, first: int, total: int) -> None:
        """Write samples `first`, `first` + 1, ... of `total`."""
