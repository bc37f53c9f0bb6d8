"""A miniature of DeepSEA: bases by chance, with a motif for each group of labels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

COUNTS = {"train": 160, "val": 24, "test": 40}
LABELS, LENGTH, BASES = 36, 1000, 4
GROUPS = BASES
"""Labels 0, 4, 8, ... go together, and so on."""

_TIME = (2022, 1, 1, 0, 0, 0)


def write(path: Path) -> None:
    """Write the arrays of the official file.

    Stretches that have a group's labels are rich in one base. In train and test each label is in
    some stretches and missing in others; the last label is in no stretch of val. The first stretch
    of each split has bases that are not known.
    """
    rng = np.random.RandomState(360)
    arrays: dict[str, npt.NDArray[np.generic]] = {"xmft_origin": np.array("miniature")}
    for name, count in COUNTS.items():
        having = rng.permutation(np.arange(count * GROUPS) % 2).reshape(count, GROUPS)
        having[:2] = [[0] * GROUPS, [1] * GROUPS]
        bases = rng.randint(0, BASES, (count, LENGTH))
        for group in range(GROUPS):
            more = (rng.random_sample((count, LENGTH)) < 0.35) & (having[:, group, None] == 1)
            bases[more] = group
        x = np.eye(BASES, dtype=np.uint8)[bases]
        x[0, 100:140] = 0
        y = having[:, np.arange(LABELS) % GROUPS].astype(np.uint8)
        if name == "val":
            y[:, -1] = 0
        arrays[f"x_{name}"], arrays[f"y_{name}"] = x, y
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _TIME), "w") as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
