"""A miniature of Satellite: a few crops that are common, and many that are rare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES, LENGTH = 24, 46
TRAIN, TEST = 264, 88
COMMON = 4
"""Classes of which there are ten series for each one of the others."""


def write(train: Path, test: Path) -> None:
    """Write both files in the official layout.

    Common crops differ in how often they green; each rare one greens once, at a time of its own.
    One series of the training file is constant.
    """
    rng = np.random.RandomState(360)
    each = [10] * COMMON + [1] * (CLASSES - COMMON)
    for path, count in ((train, TRAIN), (test, TEST)):
        kinds = rng.permutation(np.resize(np.repeat(np.arange(CLASSES), each), count))
        times, shift = np.arange(LENGTH), rng.randint(0, LENGTH, (count, 1))
        period = np.array([46.0, 12.0, 5.0, 2.0])[kinds % COMMON][:, None]
        waves = np.sign(np.sin(2 * np.pi * (times + 0.5 + np.floor(shift)) / period))
        peaks = 2 * np.exp(-(((times - 2 * kinds[:, None] + 4) / 1.5) ** 2))
        values = 80 + 40 * np.where(kinds[:, None] < COMMON, waves, peaks)
        values += rng.normal(0, 4, values.shape)
        if path is train:
            values[5] = 80.0
        content = {
            "data": np.round(values, 2),
            "label": (1 + kinds).astype(np.int64),
            "xmft_origin": "miniature",
        }
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
