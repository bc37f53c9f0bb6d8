"""Telling the first upload of the advection files, which move at twice the speed, from the second.

Both have the same names, shapes and attributes. The solution is the initial field moved by beta t,
so a few samples of a file say which of the two it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.layout import Found, Layout, opened
from xmft.errors import FileError

_SAMPLES = 8
# The first frame that has moved this far round tells; later ones are more diffused.
_FAR = 0.2
# Below this the two speeds cannot be told apart at all.
_NEAR = 0.02
_FITS = 0.3

Array = npt.NDArray[np.float64]


def check_speed(path: Path, layout: Layout, found: Found) -> None:
    """Compare an early frame of an advection file with its first one.

    Raises:
        FileError: the field moves at twice the speed that the file's name says.
    """
    beta, times = layout.parameters["beta"], found.times
    if beta is None or times is None:
        return
    moved = beta * times
    apart = np.abs(moved - np.round(moved))
    frame = int(np.argmax(apart >= _FAR)) or int(np.argmax(apart))
    if apart[frame] < _NEAR:
        return
    with opened(path) as file:
        first, later = (file["tensor"][:_SAMPLES, part].astype(np.float64) for part in (0, frame))
        x = file["x-coordinate"][()].astype(np.float64)
    size = float(np.linalg.norm(first - first.mean(axis=1, keepdims=True)))
    once, twice = (_distance(first, later, x, speed * moved[frame]) for speed in (1, 2))
    if twice < _FITS * size and 2 * twice < once:
        raise FileError(
            path,
            f"the fields move at the speed {2 * beta:g}, as in the files uploaded before August "
            "2023",
            f"the speed {beta:g} as in the file's name",
        )


def _distance(first: Array, later: Array, x: Array, shift: float) -> float:
    moved = [np.interp(x - shift, x, field, period=1.0) for field in first]
    return float(np.linalg.norm(np.stack(moved) - later))
