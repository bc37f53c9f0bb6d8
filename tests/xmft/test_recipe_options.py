"""Options of how to fit: none is lost by an interruption, and parts of a batch change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from tests.xmft.test_stopping import Asked
from xmft.errors import RequestError, StoppedError
from xmft.records import FitResult
from xmft.symmetries import Symmetries
from xmft.task import Recipe, TaskData
from xmft.training import assemble

Train = Callable[..., tuple[Any, FitResult]]

OPTIONS: dict[str, dict[str, Any]] = {
    "cosine": {"schedule": "cosine"},
    "onecycle": {"schedule": "onecycle"},
    "undecayed": {"decay_all": False, "weight_decay": 0.3},
    "layers": {"layer_decay": 0.5},
    "average": {"average": 0.9},
    "norms": {"encoder": "norms"},
    "frozen": {"encoder": "frozen"},
    "lora": {"encoder": "lora", "lora_rank": 4},
    "ranking": {"loss": "ranking"},
    "symmetries": {"augment": "symmetries"},
}
TOGETHER: dict[str, Any] = {key: value for each in OPTIONS.values() for key, value in each.items()}
CASES = [*((name, "nft") for name in OPTIONS), ("together", "orca"), ("together", "pare")]


def periodic(data: TaskData) -> TaskData:
    """The dense toy, whose waves may be moved round, and which has a loss of its own."""
    task = replace(data.task, symmetries=Symmetries(periodic=(0,)), loss="rmse")
    return replace(data, task=task)


@pytest.fixture
def data(dense_data: TaskData) -> TaskData:
    return periodic(dense_data)


def changed(recipe: Recipe, name: str) -> Recipe:
    return recipe.model_copy(update=OPTIONS.get(name, TOGETHER))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_does_something(
    name: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, plain = train("nft", data, recipe)
    _, result = train("nft", data, changed(recipe, name))
    assert result.scores != plain.scores


@pytest.mark.parametrize("name, method", CASES)
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    name: str, method: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    recipe = changed(recipe, name)
    model, result = train(method, data, recipe)
    aligned = method == "orca"
    keeper = Keeper(dies_after=2 + 2 * aligned)
    with pytest.raises(Interrupted):
        train(method, data, recipe, session=keeper)
    resumed_model, resumed = train(method, data, recipe, session=keeper)
    assert resumed.resumed_epochs == keeper.dies_after
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))


# 45 samples in batches of 8 are 6 steps, each with a question: in the middle of the second epoch,
# and while it is validated.
@pytest.mark.parametrize("question", [11, 14])
def test_a_run_that_is_stopped_within_an_epoch_does_too(
    question: int, data: TaskData, recipe: Recipe, train: Train
) -> None:
    recipe = changed(recipe, "together")
    model, result = train("nft", data, recipe)
    session = Asked({question: "stop"})
    with pytest.raises(StoppedError):
        train("nft", data, recipe, session=session)
    assert session.places[-1][1] == 1 and session.places[-1][2] > 0
    resumed_model, resumed = train("nft", data, recipe, session=session)
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))


def test_parts_of_a_batch_change_nothing(data: TaskData, recipe: Recipe, train: Train) -> None:
    recipe = changed(recipe, "together")
    whole, result = train("nft", data, recipe)
    parts, in_parts = train("nft", data, recipe, micro_batch=3)
    for key, value in snapshot(whole).items():
        torch.testing.assert_close(snapshot(parts)[key], value, atol=1e-5, rtol=1e-4, msg=key)
    assert [s.value for s in in_parts.scores] == pytest.approx(
        [s.value for s in result.scores], rel=1e-4
    )


@pytest.mark.parametrize("method", ["nft", "pare", "orca"])
def test_the_ranking_loss_is_the_metric_that_ranks(
    method: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, ranking = train(method, data, changed(recipe, "ranking"))
    _, same = train(method, replace(data, task=replace(data.task, loss="nrmse")), recipe)
    assert (ranking.scores, ranking.curves) == (same.scores, same.curves)


def test_what_no_loss_is_the_mean_of_is_refused(class_data: TaskData, recipe: Recipe) -> None:
    with pytest.raises(RequestError, match="'toy/classification' is ranked by 'error_pct'"):
        assemble(class_data, "nft", backbone="tiny-sequence", recipe=changed(recipe, "ranking"))


@pytest.mark.parametrize("name", ["average", "layers", "undecayed"])
def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(
    name: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    whole = train("nft", data, changed(recipe, name))
    keeper = Keeper(dies_after=1)
    with pytest.raises(Interrupted):
        train("nft", data, recipe, session=keeper)
    model, result = train("nft", data, changed(recipe, name), session=keeper)
    assert result.resumed_epochs == 0
    assert result.scores == whole[1].scores
    assert_same(snapshot(model), snapshot(whole[0]))
