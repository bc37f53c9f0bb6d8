"""Networks that read what a closed form says beside the input (`base_seen`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.test_residual_bases import data, fitted_base, on, out_of_fold, relative
from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from xmft.errors import RequestError
from xmft.methods import Context, Method, fitting_stage
from xmft.model import OperatorModel
from xmft.records import FitResult
from xmft.stages import Stage
from xmft.task import Recipe, TaskData
from xmft.training import assemble

__all__ = ["data"]

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Any]]]
METHODS = ("nft", "shift", "orca", "pare", "mona", "recraft", "fno", "unet")


def first_module(model: Any) -> Any:
    return model.operator if hasattr(model, "operator") else model.embedder


def scaled(values: np.ndarray, data: TaskData) -> np.ndarray:
    """Physical values of the targets in units of the training split, by numpy alone."""
    targets = data.train.targets.astype(np.float64)
    mean = targets.mean(axis=0)
    return np.asarray((values - mean) / np.sqrt(np.square(targets - mean).mean()))


@pytest.mark.parametrize("method", METHODS)
def test_training_reads_predictions_out_of_fold_and_the_rest_the_fit(
    method: str, data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row of a training batch is one of the closed form that did not see that sample."""
    from xmft import training

    read: list[Tensor] = []

    def listen(module: Any, given: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            read.append(given[0].detach().double())

    stand = training._stand

    def standing(model: Any, base: Any, kind: Any) -> None:
        stand(model, base, kind)
        first_module(model).register_forward_pre_hook(listen)

    monkeypatch.setattr(training, "_stand", standing)
    model, _ = train(method, data, on("kernel", recipe, base_seen=True, epochs=1))
    fit = fitted_base("kernel", data)
    unseen = scaled(out_of_fold("kernel", fit, data), data)
    known = model.standardised(torch.from_numpy(data.train.inputs)).double().numpy()
    rows = torch.cat(read).numpy()
    for row in rows:
        inputs, base = row[:-1], row[-1]
        sample = np.abs(known - inputs).max(axis=(1, 2)).argmin()
        np.testing.assert_allclose(inputs, known[sample], atol=1e-5)
        np.testing.assert_allclose(base, unseen[sample, 0], atol=2e-3)
    read.clear()
    model(torch.from_numpy(data.test.inputs))
    fields = fit(torch.from_numpy(data.test.inputs)).numpy()
    np.testing.assert_allclose(torch.cat(read)[:, -1:], scaled(fields, data), atol=1e-4)


def test_it_learns_of_the_base_what_the_input_does_not_show(train: Train) -> None:
    """A residual that is a plain function of the ridge's answer, and of the input a tangled one."""
    rng = np.random.default_rng(0)
    mix = np.linalg.qr(rng.standard_normal((32, 32)))[0]

    def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((count, 32))
        line = x @ mix
        return x, line + 0.5 * (np.square(line) - 1)

    data = TaskData.from_arrays("toy/tangled", train=arrays(400), test=arrays(80))
    recipe = Recipe(epochs=12, learning_rate=3e-3, max_tokens=8, base="ridge")
    scores = [
        next(s.value for s in result.scores if (s.split, s.metric) == ("test", "nrmse"))
        for seen in (False, True)
        for _, result in [train("nft", data, recipe.model_copy(update={"base_seen": seen}))]
    ]
    assert scores[1] < 0.8 * scores[0]


@pytest.mark.parametrize("method, dies_after", [("nft", 2), ("recraft", 3)])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    method: str, dies_after: int, data: TaskData, recipe: Recipe, train: Train
) -> None:
    recipe = on("kernel", recipe, base_seen=True, refine=True)
    model, result = train(method, data, recipe)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, data, recipe, session=keeper)
    resumed_model, resumed = train(method, data, recipe, session=keeper)
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))


def test_the_mean_is_nothing_to_read(data: TaskData, class_data: TaskData, build: Build) -> None:
    for task in (data, class_data):
        plain, seen = (
            build("nft", task, Recipe(max_tokens=8, base_seen=wanted))[0]
            for wanted in (False, True)
        )
        assert_same(snapshot(plain), snapshot(seen))


def test_a_method_that_leaves_the_base_out_is_told(data: TaskData, build: Build) -> None:
    model, _ = build("nft", data, Recipe(base="ridge", base_seen=True, max_tokens=8))
    inputs = torch.from_numpy(data.test.inputs)
    with pytest.raises(RequestError, match=r"embed\(inputs, batch\.base\)"):
        model.embed(inputs)
    assert model.embed(inputs, model.base(inputs)).ndim == 3


class Deaf(Method):
    """Builds its model without the recipe, and so without the channels."""

    name = "deaf"
    version = 1
    title = "a map that does not read its base"
    uses_backbone = False
    kinds = ("dense",)

    def model(self, context: Context) -> nn.Module:
        return OperatorModel(nn.Conv1d(2, 1, 1), context.data)

    def stages(self, context: Context) -> list[Stage]:
        return [fitting_stage(context, trains=("operator",))]


def test_a_model_that_does_not_read_it_is_refused(data: TaskData) -> None:
    recipe = Recipe(base="ridge", base_seen=True, max_tokens=8)
    with pytest.raises(RequestError, match="'deaf' builds a model that does not read its base"):
        assemble(data, Deaf, recipe=recipe)
    assemble(data, Deaf, recipe=recipe.model_copy(update={"base_seen": False}))


def test_scores_are_those_of_the_model_alone(data: TaskData, recipe: Recipe, train: Train) -> None:
    model, result = train("nft", data, on("ridge", recipe, base_seen=True, epochs=1))
    with torch.no_grad():
        guess = model(torch.from_numpy(data.test.inputs))
    score = next(
        s.value
        for s in result.scores
        if (s.split, s.metric, s.selection) == ("test", "nrmse", "last")
    )
    assert score == pytest.approx(relative(guess.numpy(), data.test.targets), rel=1e-4)
