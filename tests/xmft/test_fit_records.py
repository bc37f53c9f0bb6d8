import copy
import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xmft.scoring as scoring
from xmft.errors import DivergedError
from xmft.examples import examples_of
from xmft.fit import fit
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Progress, Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]
Build = Callable[..., tuple[CrossModalModel, list[Stage]]]


class Interrupted(Exception):
    pass


class Keeper(Session):
    """Keeps states as bytes, as a checkpoint file would, and may die after one of them."""

    def __init__(self, *, dies_after: int | None = None) -> None:
        self.dies_after = dies_after
        self.states: list[bytes] = []
        self.forced: list[bool] = []

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        buffer = io.BytesIO()
        torch.save(state(), buffer)
        self.states.append(buffer.getvalue())
        self.forced.append(force)
        if len(self.states) == self.dies_after:
            raise Interrupted

    def restore(self) -> dict[str, Any] | None:
        if not self.states:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(self.states[-1]), weights_only=True)
        return state


def curve(result: FitResult, name: str, split: str = "train") -> list[float]:
    return [p.value for p in result.curves if (p.name, p.split) == (name, split)]


class Shard(Session):
    """One of several workers that never hears of the others."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size


def test_best_val_is_the_epoch_with_the_lowest_score(
    dense_data: TaskData, recipe: Recipe, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.model_copy(update={"epochs": 5})
    script = iter([3.0, 1.0, 2.0, 1.0, 4.0])  # the first of two equal ones wins
    model, stages = build("nft", dense_data, recipe)
    real = scoring.evaluate

    def evaluate(model: nn.Module, samples: Any, *rest: Any, **options: Any) -> dict[str, float]:
        found = real(model, samples, *rest, **options)
        value = next(script, None) if len(samples) == len(dense_data.val) else None
        return found if value is None else {**found, "nrmse": value}

    monkeypatch.setattr(scoring, "evaluate", evaluate)
    keeper = Keeper()
    result = fit(model, stages, dense_data, recipe, keeper, seed=0)

    assert curve(result, "nrmse", "val") == [3.0, 1.0, 2.0, 1.0, 4.0]
    by_hand = copy.deepcopy(model).eval()
    inputs, targets = (
        torch.from_numpy(x) for x in (dense_data.test.inputs, dense_data.test.targets)
    )
    for selection, epoch in (("best_val", 2), ("last", 5)):
        saved = torch.load(io.BytesIO(keeper.states[epoch - 1]), weights_only=True)
        by_hand.load_state_dict(saved["model"])
        with torch.no_grad():
            error = (by_hand(inputs) - targets).double().flatten(1).norm(dim=1)
        expected = (error / targets.double().flatten(1).norm(dim=1)).mean().item()
        (score,) = (
            s
            for s in result.scores
            if (s.split, s.selection, s.metric) == ("test", selection, "nrmse")
        )
        assert score.epoch == epoch
        assert score.value == pytest.approx(expected, rel=1e-6)


def test_a_validation_score_that_only_rises_selects_the_first_epoch(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    # The model starts at the training mean; where that is the truth, learning only does harm.
    mean = dense_data.train.targets.mean(axis=0, keepdims=True)
    val = replace(dense_data.val, targets=np.repeat(mean, len(dense_data.val), axis=0))
    _, result = train("nft", replace(dense_data, val=val), recipe)
    values = curve(result, "nrmse", "val")
    assert values == sorted(values) and values[0] < values[-1]
    found = {s.selection: s for s in result.scores if (s.split, s.metric) == ("val", "nrmse")}
    assert (found["best_val"].epoch, found["last"].epoch) == (1, 3)
    assert found["best_val"].value == pytest.approx(values[0])
    assert found["last"].value == pytest.approx(values[-1])


def test_every_metric_is_scored_on_both_splits_under_both_selections(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, result = train("recraft", dense_data, recipe)
    keys = [(s.split, s.selection, s.metric) for s in result.scores]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    assert {s.epoch for s in result.scores if s.selection == "last"} == {5}
    # Epochs count over both stages; alignment is not validated.
    assert [p.epoch for p in result.curves if p.name == "alignment/loss"] == [1, 2]
    assert [p.epoch for p in result.curves if p.name == "fitting/loss"] == [3, 4, 5]
    assert [p.epoch for p in result.curves if (p.split, p.name) == ("val", "nrmse")] == [3, 4, 5]
    assert {"align", "fit", "eval", "measure"} == result.seconds.keys()
    assert result.resumed_epochs == 0


def test_curves_have_the_first_metrics_and_the_scores_all(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    names = ("rmse", "nrmse", "nrmse_pdebench", "max_error")
    found = {}
    for count in (3, 4):
        # The fourth is only there to be left out.
        task = replace(dense_data.task, metrics=names[:count])
        _, result = train("nft", replace(dense_data, task=task), recipe)
        assert {p.name for p in result.curves if p.split == "val"} == set(names[:3])
        assert {s.metric for s in result.scores} == set(names[:count])
        found[count] = [s for s in result.scores if s.metric in names[:3]], result.curves
    assert found[3] == found[4]


def test_a_method_without_stages_is_scored_as_it_is(dense_data: TaskData, recipe: Recipe) -> None:
    class Half(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, :1] / 2

    result = fit(Half(), [], dense_data, recipe, Session(), seed=0)
    keys = [(s.split, s.selection, s.metric) for s in result.scores]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    assert {s.epoch for s in result.scores} == {0}
    assert (result.curves, result.measurements, result.resumed_epochs) == ((), {}, 0)
    assert result.seconds.keys() == {"eval"}
    error = dense_data.test.inputs[:, :1].astype(np.float64) / 2 - dense_data.test.targets
    sizes = np.linalg.norm(dense_data.test.targets.astype(np.float64), axis=2)
    expected = (np.linalg.norm(error, axis=2) / sizes).mean()
    for score in result.scores:
        if (score.split, score.metric) == ("test", "nrmse"):
            assert score.value == pytest.approx(expected, rel=1e-6)


def test_examples_are_predictions_of_the_last_epoch(
    dense_data: TaskData, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    keeper = Keeper()
    model, result = train("nft", dense_data, recipe, session=keeper)
    examples = result.examples
    assert examples is not None and len(examples) == 3
    assert np.array_equal(examples.inputs, dense_data.test.inputs[:3])
    assert np.array_equal(examples.targets, dense_data.test.targets[:3])
    last = torch.load(io.BytesIO(keeper.states[-1]), weights_only=True)["model"]
    model.load_state_dict(last)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(dense_data.test.inputs[:3])).numpy()
    assert examples.predictions.dtype == np.float32
    np.testing.assert_allclose(examples.predictions, expected, rtol=1e-6)
    _, again = train("nft", dense_data, recipe, session=keeper)  # from the last state
    assert again.examples is not None
    assert np.array_equal(again.examples.predictions, examples.predictions)
    assert train("nft", class_data, recipe)[1].examples is None
    assert train("nft", dense_data, recipe, session=Shard(1, 2))[1].examples is None


@pytest.mark.parametrize(
    ("shape", "kept", "stride"),
    [
        ((5, 1, 32), 3, 1),
        ((2, 1, 32), 2, 1),
        ((5, 2, 256, 256), 1, 1),  # 1.5 MiB each
        ((5, 1, 1024, 1024), 1, 3),  # 12 MiB
        ((5, 1, 10**6), 1, 6),
    ],
)
def test_examples_stay_small(shape: tuple[int, ...], kept: int, stride: int) -> None:
    fields = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape)
    examples = examples_of(Split(inputs=fields, targets=fields), lambda inputs: inputs + 1)
    assert (len(examples), examples.stride) == (kept, stride)
    every = (slice(kept), slice(None), *[slice(None, None, stride)] * (len(shape) - 2))
    assert np.array_equal(examples.inputs, fields[every])
    assert np.array_equal(examples.targets, fields[every])
    assert np.array_equal(examples.predictions, fields[every] + 1)
    arrays = (examples.inputs, examples.targets, examples.predictions)
    assert sum(array.nbytes for array in arrays) <= 2 * 2**20


def test_progress_runs_from_zero_to_all_steps(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    class Listener(Session):
        heard: list[Progress] = []  # noqa: RUF012

        def report(self, progress: Progress) -> None:
            self.heard.append(progress)

    train("orca", dense_data, recipe, session=Listener())
    for stage, steps in (("alignment", 20), ("fitting", 18)):
        heard = [p for p in Listener.heard if p.stage == stage]
        numbers = [p.step for p in heard]
        assert numbers == sorted(numbers) and (numbers[0], numbers[-1]) == (0, steps)
        assert {p.steps for p in heard} == {steps}
        assert heard[-1].losses.keys() == {"loss"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_epoch(
    value: float, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    calls = 0

    def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        loss = (model(batch.inputs) - batch.targets).flatten(1).norm(dim=1)
        return {"loss": loss * value if calls > 6 else loss}  # six batches in an epoch

    model, (fitting,) = build("nft", dense_data, recipe)
    keeper = Keeper()
    with pytest.raises(DivergedError, match=r"in epoch 2 of stage 'fitting' are not finite.*rate"):
        fit(model, [replace(fitting, objective=objective)], dense_data, recipe, keeper, seed=0)
    assert len(keeper.states) == 1  # nothing is kept of the epoch that went wrong
