from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmft.errors import DataError
from xmft.methods import Context
from xmft.methods.pseudo_labels import VERSION
from xmft.records import FitResult
from xmft.stages import stratified_batches
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]


def context(data: TaskData, cache: Path) -> Context:
    return Context(
        data=data,
        recipe=Recipe(),
        backbone=None,
        proxy="",
        seed=0,
        device=torch.device("cpu"),
        cache=cache,
    )


def relabelled(data: TaskData, targets: Any) -> TaskData:
    return replace(data, train=Split(inputs=data.train.inputs, targets=targets))


def test_classes_of_a_classification_task_are_its_labels(
    class_data: TaskData, tmp_path: Path
) -> None:
    found = context(class_data, tmp_path).target_classes(7)
    assert found.dtype == np.int64 and np.array_equal(found, class_data.train.targets)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["dense_data", "multilabel_data"])
def test_other_targets_are_clustered_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    first = context(data, tmp_path).target_classes(4)
    assert first.shape == (45,) and set(first.tolist()) == {0, 1, 2, 3}
    monkeypatch.setattr("xmft.methods.method.pseudo_labels", lambda *_, **__: pytest.fail("again"))
    assert np.array_equal(context(data, tmp_path).target_classes(4), first)


def test_clusters_of_an_older_algorithm_are_made_anew(
    dense_data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(dense_data, tmp_path).target_classes(4)
    others = np.arange(45) % 4
    monkeypatch.setattr("xmft.methods.method.pseudo_labels", lambda *_, **__: others)
    monkeypatch.setattr("xmft.methods.method.VERSION", VERSION + 1)
    assert np.array_equal(context(dense_data, tmp_path).target_classes(4), others)


def test_equal_sets_of_labels_are_one_class(multilabel_data: TaskData, tmp_path: Path) -> None:
    """There are eight sets of three labels, so eight clusters are the sets."""
    classes = context(multilabel_data, tmp_path).target_classes(8)
    sets = np.unique(multilabel_data.train.targets, axis=0, return_inverse=True)[1].ravel()
    assert len(set(zip(classes.tolist(), sets.tolist(), strict=True))) == 8
    with pytest.raises(DataError, match=r"8 distinct samples.*option 'clusters'"):
        context(multilabel_data, tmp_path).target_classes(9)


@pytest.mark.parametrize("method", ["orca", "recraft"])
def test_a_class_with_one_sample_can_be_aligned(
    method: str, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    labels = np.where(np.arange(45) == 17, 2, np.arange(45) % 2)
    rows = stratified_batches(labels, 12, 5, seed=0)(0)
    assert all(17 in batch for batch in rows)
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train(method, relabelled(class_data, labels), short)
    losses = [p.value for p in result.curves if p.name == "alignment/loss"]
    assert losses and np.isfinite(losses).all()
