"""Files of ECG records as tests write and read them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from benchmarks import data as task_data
from benchmarks.nasbench360.ecg_files import CLASSES
from xmft.errors import DataError
from xmft.task import Recipe, TaskData

NAME = "nasbench360/ecg"


def content(count: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    data = np.empty(count, dtype=object)
    data[:] = [rng.integers(-900, 900, n).astype(np.int16) for n in rng.integers(2000, 3000, count)]
    labels = np.array([CLASSES[number % 4] for number in range(count)], dtype=object)
    return {"data": data, "label": labels}


def write(folder: Path, held: Any) -> Path:
    path = folder / "challenge2017.pkl"
    path.write_bytes(pickle.dumps(held))
    return path


def load(data_root: Path, **recipe: Any) -> TaskData:
    return task_data.load(NAME, data_root=data_root, recipe=Recipe(**recipe))


def message(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(data_root)
    return str(caught.value)


def raw(data_root: Path, held: dict[str, Any], form: str = "5") -> Path:
    folder = data_root / "training2017"
    folder.mkdir()
    lines = []
    for number, (values, label) in enumerate(zip(held["data"], held["label"], strict=True)):
        savemat(folder / f"A{number + 1:05d}.mat", {"val": values[None]}, format=form)
        lines.append(f"A{number + 1:05d},{label}\n")
    (data_root / "REFERENCE-v3.csv").write_text("".join(lines))
    return folder
