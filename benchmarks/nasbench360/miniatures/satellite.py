"""A miniature of Satellite: a few crops that are common, and many that are rare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES, LENGTH = 24, 46
TRAIN, TEST = 300, 100
COMMON = 4
"""Classes of which there are twenty series for each one of the others."""


def write(train: Path, test: Path) -> None:
    """Write both files in the official layout.

    Common crops differ in how long they are green; each rare one greens once, at a time of its own.
    One series of the training file is constant.
    """
    rng = np.random.RandomState(360)
    each = [20] * COMMON + [1] * (CLASSES - COMMON)
    for path, count in ((train, TRAIN), (test, TEST)):
        kinds = rng.permutation(np.resize(np.repeat(np.arange(CLASSES), each), count))
        times, start = np.arange(LENGTH), rng.randint(0, LENGTH, (count, 1))
        green = np.array([4, 16, 30, 42])[kinds % COMMON][:, None]
        season = (times + start) % LENGTH < green
        peak = np.abs(times - 2 * kinds[:, None] + 4) < 2
        values = 80 + 40.0 * np.where(kinds[:, None] < COMMON, season, peak)
        values += rng.normal(0, 4, values.shape)
        if path is train:
            values[5] = 80.0
        content = {
            "data": np.round(values, 2),
            "label": (1 + kinds).astype(np.int64),
            "xmft_origin": "miniature",
        }
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
