"""The layout of PDEBench's tensor-style HDF5 files, checked before anything is read.

One dataset per field, `[sample, *axes]` or `[sample, time, *axes]`. `x-coordinate` (and
`y-coordinate`) hold the cell centres, `t-coordinate` the times, with one entry more than there
are frames in the released files. Strides and frames follow from these coordinates, never from
fixed numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import numpy.typing as npt

from xmft.errors import DataError
from xmft.task import Origin

READ_BYTES = 2**25
_TIMES = "t-coordinate"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One frame of a dataset.

    Attributes:
        dataset: Its name in the file.
        framed: Axis 1 is time.
        time: The frame wanted; None where the dataset has one frame and no times.
    """

    dataset: str
    framed: bool = True
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a file should look like, and which parts of it are wanted.

    Attributes:
        inputs: What the model sees.
        targets: What it has to predict.
        axes: Names of the grid axes, `("x",)` or `("x", "y")`.
        attributes: Root attributes and the values they must have where they are present.
        mend: What to do about a file that is unusable; ends an error message.
    """

    inputs: Field
    targets: Field
    axes: tuple[str, ...]
    attributes: Mapping[str, float]
    mend: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in a file of the right layout.

    Attributes:
        origin: From the root attribute `xmft_origin`; files without it are the released ones.
        samples: Number of samples.
        points: Points on each grid axis.
        frames: Frame numbers of inputs and targets, None for a dataset without time.
    """

    origin: Origin
    samples: int
    points: tuple[int, ...]
    frames: tuple[int | None, int | None]


def inspect(path: Path, layout: Layout) -> Found:
    """Check the names, shapes, coordinates and attributes of a file without reading its fields.

    Raises:
        DataError: the file is unreadable or not what its name says.
    """
    with opened(path, layout) as file:
        return _Inspection(file, path, layout).found()


@contextmanager
def opened(path: Path, layout: Layout) -> Iterator[Any]:
    """Open a file; HDF5's own errors, then or later, become a `DataError`."""
    try:
        # The cache has to hold what one read decompresses: two frames share their chunks.
        with h5py.File(path, "r", rdcc_nbytes=2 * READ_BYTES) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path} is gone. {layout.mend}") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as HDF5 ({error}); found {path.stat().st_size} bytes, "
            f"truncated or damaged, expected a whole file. {layout.mend}"
        ) from error


class _Inspection:
    """One open file and what is expected of it."""

    def __init__(self, file: Any, path: Path, layout: Layout) -> None:
        self.file, self.path, self.layout = file, path, layout

    def found(self) -> Found:
        inputs, targets = self.layout.inputs, self.layout.targets
        for name, expected in self.layout.attributes.items():
            self.check_attribute(name, expected)
        points = tuple(len(self.coordinate(f"{axis}-coordinate")) for axis in self.layout.axes)
        samples = self.samples(inputs, points)
        if samples != self.samples(targets, points):
            raise self.wrong(
                f"'{inputs.dataset}' holds {samples} samples and '{targets.dataset}' "
                f"{self.samples(targets, points)}",
                "as many in both",
            )
        frames = (self.frame(inputs), self.frame(targets))
        return Found(origin=self.origin(), samples=samples, points=points, frames=frames)

    def wrong(self, found: str, expected: str) -> DataError:
        return DataError(f"{self.path}: {found}, expected {expected}. {self.layout.mend}")

    def dataset(self, name: str) -> Any:
        dataset = self.file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            held = ", ".join(f"'{key}'" for key in sorted(self.file)) or "nothing"
            raise self.wrong(f"the file holds {held}", f"a dataset '{name}'")
        if not np.issubdtype(dataset.dtype, np.floating):
            raise self.wrong(f"'{name}' is of type {dataset.dtype}", "floating-point numbers")
        return dataset

    def coordinate(self, name: str) -> npt.NDArray[np.float64]:
        dataset = self.dataset(name)
        values = np.asarray(dataset[()], dtype=np.float64).reshape(-1)
        if dataset.ndim != 1 or len(values) < 2 or not np.all(np.diff(values) > 0):
            raise self.wrong(
                f"'{name}' of shape {dataset.shape} does not rise from entry to entry",
                "a row of two or more rising coordinates",
            )
        return values

    def check_attribute(self, name: str, expected: float) -> None:
        if name not in self.file.attrs:
            return
        try:
            value = float(np.ravel(self.file.attrs[name])[0])
        except (TypeError, ValueError, IndexError):
            value = float("nan")
        if not np.isclose(value, expected, rtol=1e-6, atol=0):
            raise self.wrong(
                f"the attribute '{name}' is {self.file.attrs[name]}, so these are the data of "
                "another equation",
                f"{expected:g} as in the file's name",
            )

    def origin(self) -> Origin:
        origin = self.file.attrs.get("xmft_origin", "official")
        known: tuple[Origin, ...] = get_args(Origin)
        for name in known:
            if origin in (name, name.encode()):
                return name
        raise self.wrong(f"the attribute 'xmft_origin' is '{origin}'", f"one of {', '.join(known)}")

    def samples(self, field: Field, points: tuple[int, ...]) -> int:
        shape = self.dataset(field.dataset).shape
        axes = ("sample", *(("time",) if field.framed else ()), *self.layout.axes)
        if len(shape) != len(axes) or shape[len(axes) - len(points) :] != points:
            raise self.wrong(
                f"'{field.dataset}' has the shape {shape}",
                f"the axes ({', '.join(axes)}) on {' x '.join(map(str, points))} grid points",
            )
        return int(shape[0])

    def frame(self, field: Field) -> int | None:
        """Return the frame nearest to the wanted time, at most half a step away."""
        if not field.framed:
            return None
        count = self.dataset(field.dataset).shape[1]
        if field.time is None:
            if count != 1:
                raise self.wrong(f"'{field.dataset}' has {count} frames", "one frame")
            return 0
        times = self.coordinate(_TIMES)[:count]
        if len(times) < count or count < 2:
            raise self.wrong(
                f"'{field.dataset}' has {count} frames and '{_TIMES}' {len(times)} entries",
                "two or more frames, each with its time",
            )
        frame = int(np.argmin(np.abs(times - field.time)))
        # A little more than half a step: the times are stored in float32.
        if abs(times[frame] - field.time) > 0.501 * float(np.median(np.diff(times))):
            raise self.wrong(
                f"the frames of '{field.dataset}' lie between t={times[0]:g} and t={times[-1]:g}",
                f"one at t={field.time:g}",
            )
        return frame
