"""Writing HDF5 files in PDEBench's two layouts.

"tensor" style: one dataset per field over all samples, coordinates beside them. "group" style: one
group per sample with `data`, `grid/x`, `grid/y`, `grid/t` and the attribute `config`. What this
project adds are root attributes only, so that PDEBench's own readers open the files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import yaml

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


class TensorWriter:
    """One dataset per field, `[sample, ...]`, contiguous and float32 as in the released files."""

    def __init__(
        self, file: h5py.File, coordinates: Arrays, times: npt.NDArray[np.float64]
    ) -> None:
        """Write the coordinates; fields without a time axis have one time, which is not stored."""
        self._file = file
        for name, values in coordinates.items():
            file.create_dataset(name, data=values.astype(np.float32))
        if len(times) > 1:
            # One entry more than there are frames, as in the released files.
            longer = np.append(times, 2 * times[-1] - times[-2])
            file.create_dataset("t-coordinate", data=longer.astype(np.float32))

    def write(self, arrays: Arrays, first: int, total: int) -> None:
        """See `Writer.write`."""
        for name, values in arrays.items():
            if name not in self._file:
                self._file.create_dataset(name, (total, *values.shape[1:]), np.float32)
            self._file[name][first : first + len(values)] = values


class GroupWriter:
    """One group per sample, named by its number."""

    def __init__(
        self,
        file: h5py.File,
        coordinates: Arrays,
        times: npt.NDArray[np.float64],
        configuration: Mapping[str, Any],
        name: str,
    ) -> None:
        """Remember what every group repeats.

        Args:
            file: The open file.
            coordinates: Grid coordinates by axis.
            times: Times of the frames.
            configuration: The `sim` part of each group's `config`.
            name: Name of the simulation, the first line of `config`.
        """
        self._file = file
        self._grid = {
            axis: values.astype(np.float32) for axis, values in {**coordinates, "t": times}.items()
        }
        self._configuration = configuration
        self._name = name

    def write(self, arrays: Arrays, first: int, total: int) -> None:
        """See `Writer.write`."""
        for i, data in enumerate(arrays["data"]):
            number = first + i
            group = self._file.create_group(f"{number:04d}")
            group.create_dataset("data", data=data)
            for axis, values in self._grid.items():
                group.create_dataset(f"grid/{axis}", data=values)
            own = {name: float(arrays[name][i]) for name in arrays if name != "data"}
            sim = {**self._configuration, **own, "seed": number}
            config = {"name": self._name, "sim": sim}
            group.attrs["config"] = yaml.safe_dump(config, sort_keys=False)
