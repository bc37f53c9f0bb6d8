"""Tasks whose splits a function makes, of files or of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks import data
from benchmarks.entry import ArrayEntry
from tests.benchmarks.test_prepare import TASK
from xmft.errors import DataError
from xmft.task import Recipe, Split, Task


def _splits(recipe: Recipe, paths: tuple[Path, ...] = ()) -> Mapping[str, Split]:
    count = recipe.samples or 20
    x = np.random.default_rng(1).normal(size=(count, 1, 8)).astype(np.float32)
    if paths:
        x[0] = float(paths[0].read_text())
    return {
        "train": Split(inputs=x[4:], targets=x[4:]),
        "val": Split(inputs=x[2:4], targets=x[2:4]),
        "test": Split(inputs=x[:2], targets=x[:2]),
    }


def test_a_task_made_by_a_function(data_root: Path, cache: Path) -> None:
    entry = ArrayEntry(task=TASK, load=_splits)
    found = data.load(entry, data_root=data_root, recipe=Recipe(samples=12))
    assert len(found.train) == 8 and found.checked and found.origin == "official"
    assert found.source == "official: made by toy/field itself"
    assert not (cache / "prepared").exists()
    other = Task(**{**vars(TASK), "version": 2})
    prints = [
        data.locate(one, data_root=data_root, recipe=recipe).fingerprint
        for one in (entry, ArrayEntry(task=other, load=_splits))
        for recipe in (Recipe(), Recipe(samples=12))
    ]
    assert len(set(prints)) == 4 and found.fingerprint == prints[1]
    assert data.verify(entry, data_root=data_root) == []

    def not_finite(recipe: Recipe) -> Mapping[str, Split]:
        splits = _splits(recipe)
        np.asarray(splits["val"].targets)[0] = np.inf
        return splits

    with pytest.raises(DataError, match="validation inputs hold values that are NaN or infinite"):
        data.load(ArrayEntry(task=TASK, load=not_finite), data_root=data_root)


def test_a_function_with_files(data_root: Path) -> None:
    entry = ArrayEntry(task=TASK, load=_splits, files=("value.txt",))
    with pytest.raises(DataError, match=r"needs value\.txt"):
        data.load(entry, data_root=data_root)
    prints = []
    for value in ("3", "4"):
        (data_root / "value.txt").write_text(value)
        found = data.load(entry, data_root=data_root)
        assert np.asarray(found.test.inputs)[0, 0, 0] == float(value)
        prints.append(found.fingerprint)
    assert len(set(prints)) == 2
