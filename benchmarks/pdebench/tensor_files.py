"""PDEBench's tensor-style HDF5 files (`.hdf5`): one dataset per field over all samples.

The axes of a dataset are `[sample, *axes]` or `[sample, time, *axes]` with the axes in the order
x, y. `x-coordinate` (and `y-coordinate`) hold the cell centres, `t-coordinate` the times, with one
entry more than there are frames in the released files. Strides and frames follow from these
coordinates, never from fixed numbers. The parameters of the equation are root attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.hdf5 import check_link, check_stored
from benchmarks.pdebench.checks import Inspection
from benchmarks.pdebench.layout import Field, Found, Layout, Values, Wanted, number_bytes
from benchmarks.pdebench.values import declared_fills
from benchmarks.splits import Indices

_TIMES = "t-coordinate"


class TensorInspection(Inspection):
    """Checks names, shapes, coordinates and parameters without reading the fields."""

    def found(self) -> Found:
        """Return what the file holds."""
        self.parameters(dict(self.file.attrs), "the file", "attribute")
        centres = [self.axis(self.file, f"{axis}-coordinate") for axis in self.layout.axes]
        points = tuple(map(len, centres))
        counts = {
            name: self.samples(field, name, points)
            for field in self.layout.fields
            for name in field.datasets
        }
        first, samples = next(iter(counts.items()))
        for name, count in counts.items():
            if count != samples:
                raise self.wrong(
                    f"'{first}' holds {samples} samples and '{name}' {count}", "as many in both"
                )
        framed = {
            name: self.file[name].shape[1]
            for field in self.layout.fields
            for name in (field.datasets if field.framed else ())
        }
        timed = self.layout.last_time is not None
        expected = max(framed.values()) if timed else 1
        times = None
        for name, frames in framed.items():
            if timed:
                times = self.times(self.file, _TIMES, name, frames)
            if frames != expected:
                raise self.wrong(
                    f"'{name}' has {frames} frames",
                    f"{expected} frames" if timed else "one frame",
                )
        return Found(
            origin=self.origin(),
            tolerance=self.tolerance(),
            seed=self.seed(),
            samples=samples,
            keys=(),
            points=points,
            native=self.native(centres[0]),
            times=times,
        )

    def samples(self, field: Field, name: str, points: tuple[int, ...]) -> int:
        """Return the number of samples in a dataset of the right shape."""
        check_link(self.path, self.file, name)
        dataset = self.dataset(self.file, name)
        check_stored(self.path, dataset)
        shape = dataset.shape
        axes = ("sample", *(("time",) if field.framed else ()), *self.layout.axes)
        if len(shape) != len(axes) or shape[len(axes) - len(points) :] != points:
            raise self.wrong(
                f"'{name}' has the shape {shape}",
                f"the axes ({', '.join(axes)}) on {' x '.join(map(str, points))} grid points",
            )
        return int(shape[0])


class TensorReader:
    """Reads samples of an open file that was inspected."""

    def __init__(self, path: Path, layout: Layout, found: Found, file: Any) -> None:
        self.found = found
        # Kept open, for a dataset takes its cache of chunks with it when it is closed.
        self.datasets = {name: file[name] for field in layout.fields for name in field.datasets}
        self.fills = {name: declared_fills(dataset) for name, dataset in self.datasets.items()}

    def read(self, numbers: Indices, pair: tuple[Wanted, Wanted]) -> Iterator[Values]:
        """Yield inputs and targets `[n, channels, *axes]` of samples in rising order."""
        part = slice(int(numbers[0]), int(numbers[-1]) + 1)
        for wanted in pair:
            frame = () if wanted.frame is None else (wanted.frame,)
            channels = [self.datasets[name][(part, *frame)] for name in wanted.field.datasets]
            yield np.stack([values[numbers - numbers[0]] for values in channels], axis=1)

    def bytes_read(self, wanted: Wanted) -> int:
        """Return what one sample costs to read; a compressed chunk costs all of its frames."""
        dataset = self.datasets[wanted.field.datasets[0]]
        one_frame = wanted.field.framed and not dataset.chunks
        return number_bytes(dataset.shape[2 if one_frame else 1 :]) * len(wanted.field.datasets)

    def everything(self, size: int) -> Iterator[tuple[str, Indices, Values]]:
        """Yield whole datasets, some samples of about `size` bytes at a time, with their name."""
        for name, dataset in sorted(self.datasets.items()):
            step = max(1, size // number_bytes(dataset.shape[1:]))
            for start in range(0, self.found.samples, step):
                values = dataset[start : start + step]
                yield name, np.arange(start, start + len(values)), values


class TensorWriter:
    """One dataset per field, `[sample, ...]`, contiguous and float32 as in the released files."""

    def __init__(
        self,
        file: h5py.File,
        coordinates: Mapping[str, npt.NDArray[Any]],
        times: npt.NDArray[np.float64],
    ) -> None:
        """Write the coordinates; fields without a time axis have one time, which is not stored."""
        self._file = file
        for name, values in coordinates.items():
            file.create_dataset(name, data=values.astype(np.float32))
        if len(times) > 1:
            # One entry more than there are frames, as in the released files.
            longer = np.append(times, 2 * times[-1] - times[-2])
            file.create_dataset(_TIMES, data=longer.astype(np.float32))

    def write(self, arrays: Mapping[str, npt.NDArray[Any]], first: int, total: int) -> None:
        """Write samples `first`, `first` + 1, ... of `total`."""
        for name, values in arrays.items():
            if name not in self._file:
                self._file.create_dataset(name, (total, *values.shape[1:]), np.float32)
            self._file[name][first : first + len(values)] = values
