"""Adding a task takes one file and one line: `toy_ecg.py`, and `catalog.add`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import benchmarks
from benchmarks import catalog
from tests.benchmarks.toy_ecg import CLASSES, ENTRY, LENGTH
from xmft.errors import DataError, RequestError
from xmft.task import Ragged, Recipe

RECORDS = 40


@pytest.fixture
def task(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(catalog.TASKS, "_entries", dict(catalog.TASKS))
    benchmarks.add_task(ENTRY)
    folder, rng = data_root / "ecg", np.random.default_rng(1)
    folder.mkdir()
    lines = []
    for number in range(RECORDS):
        values = rng.integers(-900, 900, (1, LENGTH + 37 * number)).astype(np.int16)
        savemat(folder / f"A{number:05d}.mat", {"val": values})
        lines.append(f"A{number:05d},{CLASSES[number % 4]}")
    (data_root / "labels.csv").write_text("\n".join(lines))
    return ENTRY.task.name


def test_a_task_of_many_files_in_one_file(task: str, data_root: Path, cache: Path) -> None:
    source = Path(__file__).with_name("toy_ecg.py")
    assert len(source.read_text().splitlines()) <= 60
    assert task in benchmarks.tasks()
    data = benchmarks.load_task(task, data_root=data_root)
    assert data.checked and data.decode is not None and data.augment is None
    (folder,) = (cache / "prepared").iterdir()
    inputs = data.train.inputs
    assert isinstance(inputs, Ragged) and inputs.dtype == np.int16
    assert isinstance(inputs.values.base, np.memmap) or isinstance(inputs.values, np.memmap)
    assert data.train.targets.dtype == np.uint8
    assert len(data.test.inputs) == 4 and len(data.val.inputs) == 3 and len(inputs) == 33
    for split in data.splits.values():
        assert split.windows is not None and len(split) > len(split.inputs)
        np.testing.assert_array_equal(np.unique(split.group_of_row), np.arange(len(split.inputs)))
    # Stored as they were recorded: two bytes a value.
    values = sum(LENGTH + 37 * number for number in range(RECORDS))
    assert (folder / "inputs.npy").stat().st_size == 2 * values + 128


def test_it_is_read_once_and_its_model_trains(
    task: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xmft.training import train

    benchmarks.load_task(task, data_root=data_root)
    monkeypatch.setattr(type(ENTRY), "_record", None)
    data = benchmarks.load_task(task, data_root=data_root)
    trained = train(data, "scratch", recipe=Recipe(epochs=1, layers=1, max_tokens=8))
    assert 0 <= trained.scores["error_pct"] <= 100


def test_its_files_are_checked(task: str, data_root: Path) -> None:
    path = data_root / "ecg" / "A00003.mat"
    savemat(path, {"val": np.zeros((1, 9), np.int16)})
    with pytest.raises(DataError) as caught:
        benchmarks.load_task(task, data_root=data_root)
    assert str(caught.value).startswith(f"{path}: found 9 values, expected at least 1000. Move the")
    assert f"`xmft data fetch {task} --data {data_root}`." in str(caught.value)
    with pytest.raises(RequestError, match=r"samples of their own size; the recipe asks for .* 64"):
        benchmarks.load_task(task, data_root=data_root, recipe=Recipe(resolution=64))
