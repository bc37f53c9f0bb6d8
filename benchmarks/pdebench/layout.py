"""What a file of PDEBench should look like, and what was found in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.hdf5 import opened as opened  # the readers know it by this name
from benchmarks.pdebench.values import Possible
from xmft.errors import FileError
from xmft.task import Origin

Style = Literal["tensor", "group"]
"""`tensor`: one dataset per field, samples along its first axis. `group`: one group per sample."""

Values = npt.NDArray[np.floating[Any]]

READ_BYTES = 2**25
DATA = "data"
"""The one dataset of each sample in a group-style file."""

# Times are stored in float32, some of them as the sum of many steps.
_TIME_SHARE = 1e-3
_STEP_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Field:
    """What becomes the channels of an array.

    Attributes:
        datasets: Names in the file, one channel each (tensor style), or `data` (group style).
        channels: Which entries of the last axis of `data`; meant for the group style alone.
        framed: Axis 1 is time, or the only frame.
    """

    datasets: tuple[str, ...]
    channels: tuple[int, ...] = ()
    framed: bool = True

    @property
    def name(self) -> str:
        """For messages."""
        return ", ".join(f"'{name}'" for name in self.datasets)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One frame of some channels; `frame` is None for a dataset without time."""

    field: Field
    frame: int | None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is expected of a file.

    Attributes:
        style: See `Style`.
        fields: What is wanted of it; their datasets are checked.
        channels: Length of the last axis of `data` (group style).
        axes: Names of the grid axes in the order of the file, such as `("x",)` or `("y", "x")`.
        domain: Limits of every axis.
        domain_note: What is known of files with other limits; follows an error message.
        last_time: Final time; None: the data have no time.
        parameters: Parameters and the values they must have where the file names them; None:
            differs from sample to sample.
        foreign: Names of parameters that only files of other tasks have.
        possible: What values can be data.
    """

    style: Style
    fields: tuple[Field, ...]
    channels: int
    axes: tuple[str, ...]
    domain: tuple[float, float]
    domain_note: str
    last_time: float | None
    parameters: Mapping[str, float | None]
    foreign: frozenset[str]
    possible: Possible


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in a file of the right layout.

    Attributes:
        origin: From the root attribute `xmft_origin`; files without it are the released ones.
        tolerance: From the root attribute `xmft_tolerance`, if there is one: relative L2 error of
            the stored solutions.
        seed: From the root attribute `xmft_seed`, if there is one: of the generated samples.
        samples: Number of samples.
        keys: Names of the groups in the order of the samples; empty in the tensor style.
        points: Points on each grid axis, in the order of the file.
        native: Points per axis of the grid that was solved on; a strided file keeps fewer of them.
        times: Times of the frames; None where the data have no time.
    """

    origin: Origin
    tolerance: float | None
    seed: int | None = None
    samples: int
    keys: tuple[str, ...]
    points: tuple[int, ...]
    native: int
    times: npt.NDArray[np.float64] | None


def time_slack(times: npt.NDArray[np.float64], last: float | None) -> float:
    """Return by how much a time may be off: rounding, never as much as another frame."""
    step = float(np.median(np.diff(times)))
    return min(_STEP_SHARE * step, np.inf if last is None else _TIME_SHARE * last)


def frame_at(path: Path, layout: Layout, found: Found, time: float | None) -> int:
    """Return the frame at a time; of data without time, the only one.

    Raises:
        FileError: there is no frame at that time.
    """
    times = found.times
    if time is None or times is None:
        return 0
    frame = int(np.argmin(np.abs(times - time)))
    if abs(times[frame] - time) > time_slack(times, layout.last_time):
        inside = 0 < frame < len(times) - 1
        raise FileError(
            path,
            f"the frames of {layout.fields[0].name} lie between t={times[0]:g} and t={times[-1]:g}"
            + (f", the nearest at t={times[frame]:g}" if inside else ""),
            f"one at t={time:g}",
        )
    return frame


def number_bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of an array of that shape in float32."""
    return int(np.prod(shape, dtype=np.int64)) * 4
