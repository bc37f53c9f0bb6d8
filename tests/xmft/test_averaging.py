"""The averaged weights against those of torch's own average of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.xmft.test_resuming import Keeper, assert_same, snapshot
from xmft.averaging import Averaged
from xmft.fit import fit
from xmft.metric import Metric
from xmft.records import FitResult
from xmft.steps import Training
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[Any, FitResult]]
DECAY = 0.8


@pytest.fixture
def averages(monkeypatch: pytest.MonkeyPatch) -> list[AveragedModel]:
    """What torch averages over the steps of fitting."""
    found: list[AveragedModel] = []
    step = Training.step

    def stepped(training: Training) -> None:
        step(training)
        if training.stage.account == "fit":
            if not found:
                average = get_ema_multi_avg_fn(DECAY)
                found.append(AveragedModel(training.model, multi_avg_fn=average))
            found[0].update_parameters(training.model)

    monkeypatch.setattr(Training, "step", stepped)
    return found


@pytest.mark.parametrize("method", ["nft", "fno", "fpt", "orca"])
def test_the_last_scores_are_those_of_the_average_of_torch(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train, averages: list[AveragedModel]
) -> None:
    recipe = recipe.model_copy(update={"average": DECAY, "epochs": 2})
    model, result = train(method, dense_data, recipe)
    (average,) = averages
    scores = {
        s.metric: s.value for s in result.scores if (s.split, s.selection) == ("test", "last")
    }
    x, y = (torch.from_numpy(part) for part in (dense_data.test.inputs, dense_data.test.targets))
    with torch.inference_mode():
        predicted = average.module.eval()(x)
    error = ((predicted - y).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)).mean()
    assert scores["nrmse"] == pytest.approx(float(error), rel=1e-6)
    if _best(result) == 2:
        assert_same(snapshot(model), snapshot(average.module))


def _best(result: FitResult) -> int:
    return next(s.epoch for s in result.scores if s.selection == "best_val")


def test_what_validation_chose_is_an_average(
    dense_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worst epoch, which is not the last one, stands for the best.
    monkeypatch.setattr(Metric, "better", lambda _, value, other: value > other)
    recipe = recipe.model_copy(update={"average": DECAY})
    _, result = train("nft", dense_data, recipe)
    best = _best(result)
    assert best < recipe.epochs
    curve = {p.epoch: p.value for p in result.curves if (p.split, p.name) == ("val", "nrmse")}
    (score,) = [
        s.value
        for s in result.scores
        if (s.split, s.selection, s.metric) == ("val", "best_val", "nrmse")
    ]
    assert score == pytest.approx(curve[best], rel=1e-6) == max(curve.values())


def test_training_does_not_notice(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    _, plain = train("nft", dense_data, recipe)
    _, averaged = train("nft", dense_data, recipe.model_copy(update={"average": DECAY}))

    def curves(result: FitResult, split: str) -> list[float]:
        return [p.value for p in result.curves if p.split == split]

    assert curves(plain, "train") == curves(averaged, "train")
    assert curves(plain, "val") != curves(averaged, "val")


def test_complex_weights_and_what_is_frozen() -> None:
    torch.manual_seed(0)
    model = nn.Module()
    model.real = nn.Parameter(torch.randn(3))
    model.complex = nn.Parameter(torch.randn(2, 2, dtype=torch.complex64))
    model.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
    ours = Averaged(model, DECAY)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    for _ in range(5):
        with torch.no_grad():
            model.real.add_(torch.randn(3))
            model.complex.add_(torch.randn(2, 2, dtype=torch.complex64))
        ours.update()
        theirs.update_parameters(model)
    own = snapshot(model)
    with ours.in_place():
        assert_same(snapshot(model), snapshot(theirs.module))
    assert_same(snapshot(model), own)
    assert ours.state_dict().keys() == {"real", "complex"}


def test_a_trial_that_pauses_is_scored_by_the_average_and_goes_on_from_the_weights(
    dense_data: TaskData, recipe: Recipe, build: Callable[..., Any], train: Train
) -> None:
    recipe = recipe.model_copy(update={"average": DECAY})
    whole_model, whole = train("nft", dense_data, recipe)
    keeper = Keeper()
    model, stages = build("nft", dense_data, recipe)
    paused = fit(model, stages, dense_data, recipe, keeper, seed=0, until=1)
    curve = next(p.value for p in whole.curves if (p.split, p.name) == ("val", "nrmse"))
    (score,) = [s for s in paused.scores if (s.selection, s.metric) == ("last", "nrmse")]
    assert score.value == pytest.approx(curve, rel=1e-6)
    model, stages = build("nft", dense_data, recipe)
    resumed = fit(model, stages, dense_data, recipe, keeper, seed=0)
    assert (resumed.scores, resumed.curves) == (whole.scores, whole.curves)
    assert_same(snapshot(model), snapshot(whole_model))
