"""A miniature of Cosmic: galaxies by formula, crossed by bright streaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_SIDE = 256


def write(folder: Path) -> None:
    """Write exposures of three visits to train on and one for the test.

    Some files have no plane of ignored pixels; visits to other targets and another filter lie
    beside. Files have their full size, 9 MB in all: methods that sort targets into classes need ten
    to train on.
    """
    rng = np.random.RandomState(11)
    visits = {
        "npy_train/f435w/9490/a3": ("1_0", "1_1", "2_0", "2_1", "2_2"),
        "npy_train/f435w/10760/2": ("1_0", "1_1", "1_2", "2_0", "2_1"),
        "npy_train/f435w/14343/1": ("1_0", "2_3"),
        "npy_test/f435w/12058/1": ("1_0", "1_1"),
    }
    for visit, names in visits.items():
        place = folder / visit
        place.mkdir(parents=True)
        np.save(place / "sky.npy", rng.uniform(20, 60, 2).astype(np.float32))
        for name in names:
            planes = _exposure(rng)
            np.save(place / f"{name}.npy", planes[:2] if name.startswith("2_") else planes)
    for other in ("npy_train/f435w/9442/1", "npy_test/f606w/12058/1"):
        place = folder / other
        place.mkdir(parents=True)
        np.save(place / "1_0.npy", np.zeros((3, 2, 2), dtype=np.float32))


def _exposure(rng: np.random.RandomState) -> npt.NDArray[Any]:
    """Return image, cosmic rays and ignored pixels, float32 `[3, 256, 256]`.

    The rays are broader than real ones, so that patches of an image can learn them in seconds.
    """
    rows, columns = np.ogrid[:_SIDE, :_SIDE]
    image = rng.normal(40, 5, (_SIDE, _SIDE))
    for _ in range(12):
        row, column = rng.uniform(0, _SIDE, 2)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        image += rng.uniform(20, 60) * np.exp(-distance / rng.uniform(20, 150))
    rays = np.zeros((_SIDE, _SIDE), dtype=bool)
    for _ in range(14):
        start, angle = rng.uniform(0, _SIDE, 2), rng.uniform(0, 2 * np.pi)
        down, right = rows - start[0], columns - start[1]
        sine, cosine = np.sin(angle), np.cos(angle)
        along = np.clip(down * cosine + right * sine, 0, rng.uniform(20, 60))
        distance = np.hypot(down - along * cosine, right - along * sine)
        rays |= distance < rng.uniform(4, 9)
    image += rays * rng.uniform(200, 400, (_SIDE, _SIDE))
    ignored = rng.uniform(size=(_SIDE, _SIDE)) < 0.01
    # What is to be ignored is often saturated.
    image[ignored] = 1000
    # Whole electrons, the same on every machine.
    return np.stack([np.rint(image), rays, ignored]).astype(np.float32)
