"""Photographs thrown onto a rotated sphere and read off its grid.

The rule is that of spherical MNIST (Cohen et al., 2018) for three channels, as NAS-Bench-360 took
it: a stereographic map from the north pole, one random rotation for every 500 images, and values
that are stretched to 0..255 for each image and channel. Its interpolation is kept as it is, with
taps two pixels apart whose weights add up to two: it is part of what the images are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks.splits import Indices

BANDWIDTH = 30
ROTATED_TOGETHER = 500

# Height of the eye above the plane, half of a thousandth above the lifted north pole.
_EYE = 2.001
_Floats = npt.NDArray[np.float64]


class Projected:
    """Images `[n, 3, side, side]` as they look on the sphere; computed for the rows asked for."""

    def __init__(self, images: npt.NDArray[np.uint8], seed: int) -> None:
        """Take the images; `seed` decides the rotations."""
        self._images = images
        self._seed = seed

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: Indices) -> npt.NDArray[np.uint8]:
        """Return rows on the sphere, `[k, 3, 60, 60]`."""
        numbers = np.arange(len(self))[rows]
        out = np.empty((len(numbers), 3, 2 * BANDWIDTH, 2 * BANDWIDTH), np.uint8)
        for block in np.unique(numbers // ROTATED_TOGETHER).tolist():
            chosen = np.flatnonzero(numbers // ROTATED_TOGETHER == block)
            rotation = random_rotation(self._seed, block)
            out[chosen] = on_sphere(self._images[numbers[chosen]], rotation)
        return out


def random_rotation(seed: int, block: int) -> _Floats:
    """Return a uniformly distributed rotation `[3, 3]` (Arvo, 1992).

    `RandomState` is the one generator of numpy whose stream is promised never to change.
    """
    turn, direction, height = np.random.RandomState([seed, block]).uniform(size=3)
    about = 2 * np.pi * turn
    around_pole = np.array(
        [
            [np.cos(about), np.sin(about), 0],
            [-np.sin(about), np.cos(about), 0],
            [0, 0, 1],
        ]
    )
    way = 2 * np.pi * direction
    mirror = np.array(
        [np.cos(way) * np.sqrt(height), np.sin(way) * np.sqrt(height), np.sqrt(1 - height)]
    )
    rotation: _Floats = (2 * np.outer(mirror, mirror) - np.eye(3)) @ around_pole
    return rotation


def on_sphere(images: npt.NDArray[np.uint8], rotation: _Floats) -> npt.NDArray[np.uint8]:
    """Throw images `[n, channels, side, side]` onto the sphere.

    Args:
        images: Photographs; their rows run along the first axis of the plane.
        rotation: Of the sphere, `[3, 3]`.

    Returns:
        `[n, channels, 60, 60]`, polar angle by azimuth.
    """
    side = images.shape[-1]
    points = _grid() @ rotation.T
    # From the eye through the point, lifted by one, down to the plane.
    reach = _EYE / (_EYE - (points[..., 2] + 1))
    rows, columns = (side * ((reach * points[..., axis] + 1.5) / 3) for axis in (0, 1))
    values = np.zeros((*images.shape[:2], *rows.shape))
    for row, row_weight in _taps(rows):
        for column, column_weight in _taps(columns):
            inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
            weight = np.where(inside, row_weight * column_weight, 0.0)
            values += images[:, :, row * inside, column * inside] * weight
    low, high = (extreme(values, axis=(2, 3), keepdims=True) for extreme in (np.min, np.max))
    spread = np.where(high > low, high - low, 1.0)
    return (255 * ((values - low) / spread)).astype(np.uint8)


def _taps(places: _Floats) -> list[tuple[Indices, _Floats]]:
    """Return the two pixels of each place, before and behind, with their weights."""
    middle = places.astype(np.int64)
    return [(middle - 1, middle + 1 - places), (middle + 1, places - (middle - 1))]


@cache
def _grid() -> _Floats:
    """Return the points of the grid of Driscoll and Healy, `[60, 60, 3]`."""
    steps = np.arange(2 * BANDWIDTH)
    polar, azimuth = np.meshgrid(
        np.pi * steps / (2 * BANDWIDTH), np.pi * steps / BANDWIDTH, indexing="ij"
    )
    return np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )
