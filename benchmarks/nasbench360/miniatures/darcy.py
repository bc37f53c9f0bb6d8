"""A miniature of Darcy flow: the real problem on 61 x 61 nodes, one file in each MATLAB format."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from benchmarks.nasbench360 import darcy_flow

POINTS = 61


def write(train: Path, test: Path) -> None:
    """Write the file for training as MATLAB's old format, that for the test as the new one."""
    for path, count, seed in ((train, 90, 0), (test, 24, 1)):
        fields = [
            darcy_flow.draw_coefficient(np.random.default_rng([seed, number]), POINTS)
            for number in range(count)
        ]
        content = {
            "coeff": np.array(fields, dtype=np.float32),
            "sol": np.array([darcy_flow.solve(a) for a in fields], dtype=np.float32),
        }
        if path == train:
            savemat(path, content, do_compression=True)
            continue
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file.create_dataset(name, data=values.transpose(2, 1, 0), compression="gzip")
