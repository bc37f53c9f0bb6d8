"""Files of Cosmic: exposures with their masks, and the levels of their background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.nasbench360.labelled import measured, plain_array
from xmft.errors import FileError

SIDE, CROP = 256, 64
POINTS = SIDE - 2 * CROP
"""Pixels of each axis that are used."""
SKY = "sky.npy"


def read_exposure(
    path: Path,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return image, cosmic rays and known pixels of one file, each `[128, 128]`.

    Raises:
        FileError: it holds something else, or values that cannot be.
    """
    middle = slice(CROP, SIDE - CROP)
    planes = np.asarray(opened(path)[:, middle, middle], dtype=np.float32)
    measured(path, "the image", planes[:1])
    for number, what in ((1, "cosmic rays"), (2, "pixels to be ignored")):
        if len(planes) > number and not np.isin(planes[number], (0, 1)).all():
            wrong = planes[number][~np.isin(planes[number], (0, 1))][0]
            raise FileError(path, f"the mask of {what} holds {wrong:g}", "0 and 1 only")
    rays = planes[1].astype(np.uint8)
    ignored = planes[2] if len(planes) > 2 else np.zeros_like(planes[0])
    return planes[0], rays, (ignored == 0).astype(np.uint8)


def level_of(path: Path, levels: dict[Path, npt.NDArray[Any]]) -> float:
    """Return the background level of an exposure; `levels` keeps those of the visits.

    Raises:
        FileError: there is none.
    """
    place = path.with_name(SKY)
    if place not in levels:
        if not place.is_file():
            raise FileError(place, "is missing", f"the background levels of {path.parent}")
        levels[place] = np.asarray(opened(place))
        measured(place, "the array", levels[place][:, None])
    number = path.stem.partition("_")[0]
    if not number.isdigit() or not 1 <= int(number) <= len(levels[place]):
        raise FileError(
            path,
            f"is exposure {number!r}, and {place} has the levels of {len(levels[place])}",
            f"a name from 1_<n>.npy to {len(levels[place])}_<n>.npy",
        )
    return float(levels[place][int(number) - 1])


def opened(path: Path) -> npt.NDArray[Any]:
    """Open a file, memory-mapped, and check its shape.

    Raises:
        FileError: it is something else.
    """
    if path.name == SKY:
        return plain_array(path, "levels of the shape (exposures,)", ndim=1, kinds="fiu")
    what = f"an array of the shape (3, {SIDE}, {SIDE}), or (2, {SIDE}, {SIDE})"
    found = plain_array(path, what, ndim=3, kinds="fiub")
    if found.shape[0] not in (2, 3) or found.shape[1:] != (SIDE, SIDE):
        raise FileError(path, f"found the shape {found.shape}", what)
    return found
