from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xmft.errors import DataError
from xmft.fit import fit
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]


def nrmse(prediction: np.ndarray, truth: np.ndarray) -> float:
    rows = [
        np.linalg.norm(p - y) / np.linalg.norm(y)
        for p, y in zip(prediction.astype(np.float64), truth.astype(np.float64), strict=True)
    ]
    return float(np.mean(rows))


@pytest.fixture
def same_shape(dense_data: TaskData) -> TaskData:
    """The toy with its first input channel alone, as many channels as the target has."""

    def cut(split: Split) -> Split:
        return replace(split, inputs=split.inputs[:, :1])

    return replace(
        dense_data, train=cut(dense_data.train), val=cut(dense_data.val), test=cut(dense_data.test)
    )


@pytest.mark.parametrize("method", ["identity", "mean"])
def test_trivial_methods_score_what_they_say(
    method: str, same_shape: TaskData, recipe: Recipe, train: Train
) -> None:
    model, result = train(method, same_shape, recipe)
    assert result.curves == () and result.resumed_epochs == 0
    assert not list(model.parameters())
    expected = {}
    for split in ("val", "test"):
        rows: Split = getattr(same_shape, split)
        mean = same_shape.train.targets.astype(np.float64).mean(axis=0)
        guess = rows.inputs if method == "identity" else np.broadcast_to(mean, rows.targets.shape)
        expected[split] = nrmse(np.array(guess), rows.targets)
    found = {(s.split, s.selection): s.value for s in result.scores if s.metric == "nrmse"}
    assert found == {
        (split, selection): pytest.approx(expected[split], rel=1e-5)
        for split in ("val", "test")
        for selection in ("last", "best_val")
    }
    assert {s.epoch for s in result.scores} == {0}


@pytest.mark.parametrize("method", ["identity", "mean"])
def test_trivial_methods_are_the_same_for_every_seed_and_worker_state(
    method: str, same_shape: TaskData, recipe: Recipe, train: Train
) -> None:
    first, second = (train(method, same_shape, recipe, seed=seed)[1] for seed in (0, 1))
    assert first.scores == second.scores


def test_identity_needs_equal_shapes(dense_data: TaskData, recipe: Recipe, build: Build) -> None:
    with pytest.raises(DataError, match=r"shape \(2, 32\), targets \(1, 32\)"):
        build("identity", dense_data, recipe)


def test_parts_of_a_batch_add_up(same_shape: TaskData, recipe: Recipe, train: Train) -> None:
    whole, parts = (train("unet", same_shape, recipe, micro_batch=size)[1] for size in (None, 3))
    assert [p.value for p in parts.curves] == pytest.approx(
        [p.value for p in whole.curves], rel=1e-3
    )


def test_the_zero_stages_of_fit_are_booked_as_scoring(
    same_shape: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build("mean", same_shape, recipe)
    result = fit(model, stages, same_shape, recipe, Session(), seed=0)
    assert set(result.seconds) == {"eval"}
