"""Files of Cosmic: which visits are used, exposures and the levels of their sky."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.nasbench360.labelled import measured, plain_array
from xmft.errors import FileError

TRAIN, TEST = "npy_train", "npy_test"
FILTER = "f435w"
SKY = "sky.npy"
SIDE = 128

_GALAXIES = {
    "9490": "a2 a3",
    "10182": "pb pd",
    "10190": "13 28",
    "10260": "5 7",
    "10342": "3",
    "10407": "3",
    "10584": "13",
    "10760": "2 4",
    "12058": "1 6 12 16",
    "12513": "2 3",
    "13057": "1",
    "13364": "95",
    "13691": "11",
    "13737": "2 3",
    "13804": "6",
    "14343": "1",
    "14704": "1",
}
GALAXIES = frozenset(
    f"{proposal}/{visit}" for proposal, visits in _GALAXIES.items() for visit in visits.split()
)
"""Proposals and visits whose field is flagged GAL in the public code, 27 of its 72."""

_POINTS = 256
_CROP = slice((_POINTS - SIDE) // 2, (_POINTS + SIDE) // 2)
_PLANES = "an image, a mask of cosmic rays and perhaps one of pixels to ignore"
_NAME = re.compile(r"(\d+)_(.+)\.npy")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """One image and where its sky is.

    Attributes:
        path: The image.
        visit: Proposal and visit, `9490/a3`.
        sky: Level of its sky.
    """

    path: Path
    visit: str
    sky: float


def visit_of(path: Path) -> str:
    """Return the proposal and the visit that a file is of."""
    return "/".join(path.parts[-3:-1])


def half_of(path: Path) -> str:
    """Return whether a file is for training or for the test: the folder that says so."""
    return path.parts[-5]


def check_visit(path: Path) -> None:
    """Make sure that a file is of a visit that is used.

    Raises:
        FileError: it is of another.
    """
    if visit_of(path) not in GALAXIES:
        raise FileError(
            path,
            f"is of visit {visit_of(path)}",
            f"one of the {len(GALAXIES)} whose field is flagged GAL in the public code",
            between=" ",
        )


def exposures(paths: Sequence[Path], half: str) -> list[Exposure]:
    """Return the exposures of a half of the files, sorted by proposal, visit and number.

    Args:
        paths: Images and levels of the sky.
        half: `TRAIN` or `TEST`.

    Raises:
        FileError: a visit has no levels of the sky, or too few, or a name has no number.
    """
    mine = [path for path in paths if half_of(path) == half]
    levels = {visit_of(path): (path, read_sky(path)) for path in mine if path.name == SKY}
    found = []
    for path in mine:
        if path.name == SKY:
            continue
        visit = visit_of(path)
        if visit not in levels:
            raise _no_sky(path.parent)
        found.append(Exposure(path=path, visit=visit, sky=level_of(path, *levels[visit])))
    return sorted(found, key=_order)


def level_of(path: Path, sky_path: Path, levels: npt.NDArray[np.float64]) -> float:
    """Return the level of the sky of an image, by the number of the exposure in its name.

    Raises:
        FileError: there is none of that number.
    """
    number = _exposure_number(path)
    if number > len(levels):
        raise FileError(
            sky_path,
            f"holds the sky of {len(levels)} exposures",
            f"that of exposure {number}, which {path.name} is of",
            between=" ",
        )
    return float(levels[number - 1])


def read_sky(path: Path) -> npt.NDArray[np.float64]:
    """Read and check the levels of the sky of a visit, `[exposures]`.

    Raises:
        FileError: they are no such numbers.
    """
    if not path.is_file():
        raise _no_sky(path.parent)
    levels = np.asarray(plain_array(path, "one number for each exposure", ndim=1, kinds="fiu"))
    measured(path, "the levels of the sky", levels.astype(np.float64)[:, None])
    return levels.astype(np.float64)


def check_planes(path: Path) -> None:
    """Check the name, the type and the shape of an image without reading it.

    Raises:
        FileError: it is something else.
    """
    _exposure_number(path)
    _opened(path)


def read_crop(path: Path) -> npt.NDArray[np.float32]:
    """Read and check what is used of an image: itself, mask, pixels to ignore, `[3, 128, 128]`.

    Raises:
        FileError: values are not finite, or a mask holds others than 0 and 1.
    """
    used = np.asarray(_opened(path)[:, _CROP, _CROP], dtype=np.float32)
    measured(path, "the image", used[:1])
    # The second mask need not be there.
    for plane, what in zip(used[1:], ("cosmic rays", "ignored pixels"), strict=False):
        wrong = plane[(plane != 0) & (plane != 1)]
        if wrong.size:
            raise FileError(
                path,
                f"{wrong.size} pixels of the mask of {what} are none of its values, the first is "
                f"{wrong[0]:g}",
                "0 and 1",
            )
    if len(used) == 3:
        return used
    return np.concatenate([used, np.zeros_like(used[:1])])


def _no_sky(folder: Path) -> FileError:
    return FileError(folder, f"has no {SKY}", "the level of the sky of each exposure", between=" ")


def _opened(path: Path) -> npt.NDArray[np.floating]:
    found = plain_array(path, f"(3 or 2, {_POINTS}, {_POINTS}): {_PLANES}", ndim=3, kinds="f")
    if found.shape not in [(planes, _POINTS, _POINTS) for planes in (2, 3)]:
        raise FileError(
            path,
            f"found the shape {found.shape}",
            f"(3 or 2, {_POINTS}, {_POINTS}): {_PLANES}",
        )
    return found


def _exposure_number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    if match is None or int(match[1]) < 1:
        raise FileError(
            path,
            "has no number of an exposure in its name",
            "a name such as 1_0.npy: the exposure, from 1 on, and the part of it",
            between=" ",
        )
    return int(match[1])


def _order(exposure: Exposure) -> tuple[int | str, ...]:
    proposal, visit = exposure.visit.split("/")
    match = _NAME.fullmatch(exposure.path.name)
    assert match is not None
    # Numbers by size, as far as they are numbers.
    return len(proposal), proposal, visit, int(match[1]), len(match[2]), match[2]
