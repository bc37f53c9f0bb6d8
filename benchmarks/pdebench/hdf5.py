"""PDEBench's tensor-style HDF5 files (`.hdf5`), checked before anything is read.

One dataset per field, `[sample, *axes]` or `[sample, time, *axes]` with the axes in the order x, y.
`x-coordinate` (and `y-coordinate`) hold the cell centres, `t-coordinate` the times, with one entry
more than there are frames in the released files. Strides and frames follow from these coordinates,
never from fixed numbers. The parameters of the equation are root attributes.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.pdebench.checks import Inspection
from benchmarks.pdebench.groups import GroupInspection
from benchmarks.pdebench.layout import Field, Found, Layout, opened

_TIMES = "t-coordinate"


def inspect(path: Path, layout: Layout) -> Found:
    """Check the names, shapes, coordinates and parameters of a file without reading its fields.

    Of a group-style file the first group is checked, the others while they are read.

    Raises:
        FileError: the file is unreadable or not what its name says.
    """
    with opened(path) as file:
        if layout.style == "group":
            return GroupInspection(file, path, layout).found()
        return _TensorInspection(file, path, layout).found()


class _TensorInspection(Inspection):
    def found(self) -> Found:
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
            samples=samples,
            keys=(),
            points=points,
            native=self.native(centres[0]),
            times=times,
        )

    def samples(self, field: Field, name: str, points: tuple[int, ...]) -> int:
        shape = self.dataset(self.file, name).shape
        axes = ("sample", *(("time",) if field.framed else ()), *self.layout.axes)
        if len(shape) != len(axes) or shape[len(axes) - len(points) :] != points:
            raise self.wrong(
                f"'{name}' has the shape {shape}",
                f"the axes ({', '.join(axes)}) on {' x '.join(map(str, points))} grid points",
            )
        return int(shape[0])
