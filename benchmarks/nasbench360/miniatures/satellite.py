"""A miniature of Satellite: each crop greens at a time of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES, LENGTH = 24, 46
TRAIN, TEST = 240, 120


def write(train: Path, test: Path) -> None:
    """Write both files in the official layout.

    A class is the place of a peak (12 of them) and whether a dip follows it. One series of the
    training file is constant.
    """
    rng = np.random.RandomState(360)
    for path, count in ((train, TRAIN), (test, TEST)):
        kinds = rng.permutation(np.arange(count) % CLASSES)
        times, centre = np.arange(LENGTH), 4 + 3 * (kinds % 12)[:, None]
        values = 60 + 100 * np.exp(-(((times - centre) / 2.5) ** 2))
        dips = 100 * np.exp(-(((times - centre - 7) / 2.5) ** 2))
        values -= np.where(kinds[:, None] < 12, 0, dips)
        values += rng.normal(0, 6, values.shape)
        if path is train:
            values[5] = 80.0
        content = {
            "data": np.round(values, 2),
            "label": (1 + kinds).astype(np.int64),
            "xmft_origin": "miniature",
        }
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
