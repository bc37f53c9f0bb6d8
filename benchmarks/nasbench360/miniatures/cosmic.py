"""A miniature of Cosmic: galaxies by formula, crossed by bright short streaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_SIDE = 256


def write(folder: Path) -> None:
    """Write exposures of three visits to train on and one for the test.

    One file has no plane of ignored pixels; visits to other targets and another filter lie beside.
    """
    rng = np.random.RandomState(11)
    visits = {
        "npy_train/f435w/9490/a3": ("1_0", "2_0"),
        "npy_train/f435w/10760/2": ("1_0", "1_1"),
        "npy_train/f435w/14343/1": ("1_0", "2_3"),
        "npy_test/f435w/12058/1": ("1_0", "1_1"),
    }
    for visit, names in visits.items():
        place = folder / visit
        place.mkdir(parents=True)
        np.save(place / "sky.npy", rng.uniform(20, 60, 2).astype(np.float32))
        for name in names:
            planes = _exposure(rng)
            np.save(place / f"{name}.npy", planes[:2] if name == "2_3" else planes)
    for other in ("npy_train/f435w/9442/1", "npy_test/f606w/12058/1"):
        place = folder / other
        place.mkdir(parents=True)
        np.save(place / "1_0.npy", np.zeros((3, 2, 2), dtype=np.float32))


def _exposure(rng: np.random.RandomState) -> npt.NDArray[Any]:
    """Return image, cosmic rays and ignored pixels, float32 `[3, 256, 256]`."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    image = rng.normal(40, 5, (_SIDE, _SIDE))
    for _ in range(12):
        row, column = rng.uniform(0, _SIDE, 2)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        image += rng.uniform(50, 300) * np.exp(-distance / rng.uniform(20, 150))
    rays = np.zeros((_SIDE, _SIDE))
    for _ in range(240):
        row, column = rng.uniform(0, _SIDE, 2)
        angle, length = rng.uniform(0, np.pi), rng.randint(3, 14)
        for step in range(length):
            spot = int(row + step * np.sin(angle)), int(column + step * np.cos(angle))
            if 0 <= spot[0] < _SIDE and 0 <= spot[1] < _SIDE:
                rays[spot] = 1
    image += rays * rng.uniform(200, 900, (_SIDE, _SIDE))
    ignored = rng.uniform(size=(_SIDE, _SIDE)) < 0.01
    # What is to be ignored is often saturated.
    image[ignored] = 5000
    return np.stack([image, rays, ignored]).astype(np.float32)
