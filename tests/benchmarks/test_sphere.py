"""Photographs on a sphere are those of a slow loop over its points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.nasbench360.sphere import Projected, on_sphere, random_rotation

RNG = np.random.default_rng(4)


def slow_sphere(image: np.ndarray[Any, Any], rotation: np.ndarray[Any, Any]) -> list[list[float]]:
    """One channel point by point, in plain Python."""
    out = []
    for j in range(60):
        line = []
        for k in range(60):
            beta, alpha = math.pi * j / 60, math.pi * k / 30
            p = [math.sin(beta) * math.cos(alpha), math.sin(beta) * math.sin(alpha), math.cos(beta)]
            x, y, z = (sum(rotation[i][m] * p[m] for m in range(3)) for i in range(3))
            t = 2.001 / (2.001 - (z + 1))
            r, c = ((t * v + 1.5) / 3 * 32 for v in (x, y))
            total = 0.0
            for row, row_weight in ((int(r) - 1, int(r) + 1 - r), (int(r) + 1, r - (int(r) - 1))):
                for col, col_weight in (
                    (int(c) - 1, int(c) + 1 - c),
                    (int(c) + 1, c - (int(c) - 1)),
                ):
                    if 0 <= row < 32 and 0 <= col < 32:
                        total += image[row][col] * row_weight * col_weight
            line.append(total)
        out.append(line)
    return out


def test_the_sphere_is_that_of_a_slow_loop() -> None:
    image = RNG.integers(0, 256, (1, 2, 32, 32), dtype=np.uint8)
    image[0, 1] = 0  # a constant channel stays 0
    for rotation in (np.eye(3), random_rotation(0, 7)):
        found = on_sphere(image, rotation)[0].astype(int)
        slow = np.array(slow_sphere(image[0, 0], rotation))
        expected = 255 * (slow - slow.min()) / (slow.max() - slow.min())
        assert np.abs(found[0] - np.floor(expected)).max() <= 1
        assert (found[0] != np.floor(expected)).mean() < 1e-3
        assert not found[1].any()


def test_rotations_are_rotations_and_point_everywhere() -> None:
    every = np.array([random_rotation(0, block) for block in range(400)])
    np.testing.assert_allclose(
        every @ every.transpose(0, 2, 1), np.tile(np.eye(3), (400, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(every), 1)
    # Of a uniform rotation every entry has mean 0 and variance 1/3.
    assert np.abs(every.mean(axis=0)).max() < 4 * math.sqrt(1 / 3 / 400)
    np.testing.assert_allclose(every.var(axis=0), 1 / 3, atol=0.08)


def test_images_keep_their_rotation_however_they_are_read() -> None:
    images = RNG.integers(0, 256, (1003, 3, 32, 32), dtype=np.uint8)
    sphere = Projected(images, 5)
    rows = np.array([2, 499, 500, 999, 1000])
    some = sphere[rows]
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(
            some[place], on_sphere(images[row : row + 1], random_rotation(5, row // 500))[0]
        )
