"""A miniature of Cosmic: stars, which are round, and cosmic rays, which are broad streaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

# Images of each visit; the last two visits are for the test.
VISITS = {
    "npy_train/f435w/9490/a3": 4,
    "npy_train/f435w/10760/2": 4,
    "npy_train/f435w/12513/3": 2,
    "npy_test/f435w/12058/1": 2,
    "npy_test/f435w/12058/12": 1,
}
# Never opened: a visit of another field, and another filter.
DECOYS = ("npy_train/f435w/9442/1", "npy_test/f606w/12058/1")

_POINTS = 256


def write(folder: Path) -> None:
    """Write images with masks and the levels of the sky, about 8 MB: an image has its full size.

    The first image is to be ignored as a whole, the second has no cosmic ray, and every second one
    has no mask of ignored pixels.
    """
    rng = np.random.RandomState(6)
    images = 0
    for visit, count in VISITS.items():
        place = folder / visit
        place.mkdir(parents=True)
        # Two parts of each exposure.
        levels = 40 + 10 * rng.permutation(-(-count // 2)).astype(np.float64)
        np.save(place / "sky.npy", levels)
        for number in range(count):
            planes = _planes(rng, levels[number // 2], rays=0 if images == 1 else 14)
            if images == 0:
                planes[2] = 1
            kept = planes if images % 2 == 0 else planes[:2]
            np.save(place / f"{number // 2 + 1}_{number % 2}.npy", kept)
            images += 1
    for visit in DECOYS:
        place = folder / visit
        place.mkdir(parents=True)
        np.save(place / "sky.npy", np.zeros(1))
        np.save(place / "1_0.npy", np.zeros((3, 8, 8), dtype=np.float32))


def _planes(rng: np.random.RandomState, sky: float, *, rays: int) -> npt.NDArray[np.float32]:
    """Return image, mask and ignored pixels `[3, 256, 256]`."""
    image = sky + rng.normal(0, 6, (_POINTS, _POINTS))
    rows, columns = np.ogrid[:_POINTS, :_POINTS]
    star = np.exp(-((rows[:17] - 8) ** 2 + (columns[:, :17] - 8) ** 2) / 12)
    for row, column in rng.randint(8, _POINTS - 8, (60, 2)):
        place = slice(row - 8, row + 9), slice(column - 8, column + 9)
        image[place] += rng.uniform(40, 160) * star
    mask, ignored = np.zeros((2, _POINTS, _POINTS))
    for start in rng.randint(8, _POINTS - 8, (rays, 2)):
        angle, length = rng.uniform(0, 2 * np.pi), rng.randint(20, 60)
        down, right = rows - start[0], columns - start[1]
        reached = np.clip(down * np.cos(angle) + right * np.sin(angle), 0, length)
        distance = np.hypot(down - reached * np.cos(angle), right - reached * np.sin(angle))
        hit = distance < rng.uniform(4, 9)
        image[hit] += rng.uniform(200, 400)
        mask[hit] = 1
    # A bad column, bright as a ray.
    column = rng.randint(64, 192)
    image[:, column], ignored[:, column] = 500, 1
    # Whole electrons: the same to the last digit on every machine.
    return np.stack([np.rint(image), mask, ignored]).astype(np.float32)
