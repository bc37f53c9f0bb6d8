"""Networks that learn what ridge or kernel ridge leave, against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import StandardScaler

from tests.xmft.test_closed_form import coarse, flat
from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from xmft.closed_forms.residual import ClosedFormBase, base_of
from xmft.metrics import METRICS
from xmft.records import FitResult
from xmft.seeding import generator
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Any]]]
BASES = ("ridge", "kernel")


@pytest.fixture(scope="module")
def data(dense_data: TaskData) -> TaskData:
    """The dense toy with a bend in its targets, and with noise."""
    rng = np.random.default_rng(3)

    def bent(split: Split) -> Split:
        noise = 0.1 * rng.standard_normal(split.targets.shape)
        return replace(split, targets=(split.targets + np.cos(split.targets) + noise).astype("f"))

    return replace(dense_data, **{name: bent(split) for name, split in dense_data.splits.items()})


def on(base: str, recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"base": base, **changes})


def fitted_base(base: str, data: TaskData) -> ClosedFormBase:
    found = base_of(data, Recipe(base=base), torch.device("cpu"))
    assert found is not None
    return found


def estimator(base: str, fit: ClosedFormBase) -> BaseEstimator:
    """The same map of scikit-learn, with the width and the penalty that were chosen."""
    regression = fit.model.regression
    if base == "ridge":
        return Ridge(alpha=regression.penalty)
    kernel = KernelRidge(
        kernel="rbf", gamma=1 / (2 * regression.width**2), alpha=regression.penalty
    )
    return TransformedTargetRegressor(kernel, transformer=StandardScaler(with_std=False))


def out_of_fold(base: str, fit: ClosedFormBase, data: TaskData) -> np.ndarray:
    count = len(data.train)
    folds = PredefinedSplit(generator("folds", count).permutation(count) % 5)
    targets = data.train.targets.astype(np.float64).reshape(count, -1)
    guess = cross_val_predict(estimator(base, fit), flat(data.train, data), targets, cv=folds)
    return guess.reshape(data.train.targets.shape)


def relative(guess: np.ndarray, targets: np.ndarray) -> float:
    axes = tuple(range(1, targets.ndim))
    sizes = [np.sqrt(np.square(x).sum(axis=axes)) for x in (guess - targets, targets)]
    return float(np.mean(sizes[0] / sizes[1]))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("stride", [1, 4])
def test_predictions_of_the_training_split_are_out_of_fold(
    base: str, stride: int, data: TaskData
) -> None:
    """With more features than samples, and with fewer."""
    data = coarse(data, stride)
    fit = fitted_base(base, data)
    expected = out_of_fold(base, fit, data)
    found = fit.of_training(np.arange(len(data.train))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    left = np.sqrt(np.square(data.train.targets - expected).mean(axis=(0, 2)))
    np.testing.assert_allclose(fit.spread.flatten(), left, rtol=1e-3)
    assert fit.spread.shape == (1, 1)


@pytest.mark.parametrize("base", BASES)
def test_the_base_alone_is_the_method_of_that_name(
    base: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, alone = train(base, data, recipe)
    expected = {(s.split, s.metric): s.value for s in alone.scores if s.selection == "last"}
    for changes in ({}, {"precision": "bfloat16"}):
        _, result = train("nft", data, on(base, recipe, epochs=1, **changes))
        found = {(s.split, s.metric): s.value for s in result.scores if s.selection == "base"}
        assert found == expected and len(found) == 6


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", ["nft", "fno", "unet", "pare", "mona", "recraft"])
def test_a_network_that_says_nothing_leaves_the_base(
    method: str, base: str, data: TaskData, build: Build
) -> None:
    model, _ = build(method, data, Recipe(base=base, max_tokens=8))
    silence(model)
    fit, inputs = fitted_base(base, data), torch.from_numpy(data.test.inputs)
    with torch.no_grad():
        found = model(inputs)
    assert torch.equal(found, fit(inputs))
    guess = estimator(base, fit)
    targets = data.train.targets.reshape(len(data.train), -1).astype(np.float64)
    guess.fit(flat(data.train, data), targets)
    expected = guess.predict(flat(data.test, data)).reshape(found.shape)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


def silence(model: Any) -> None:
    last = model.operator if hasattr(model, "operator") else model.head
    for parameter in last.parameters():
        parameter.requires_grad_(False).zero_()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", ["nft", "fno", "pare", "mona", "recraft"])
def test_losses_are_those_of_the_targets_beside_predictions_out_of_fold(
    method: str, base: str, data: TaskData, recipe: Recipe, train: Train, monkeypatch: Any
) -> None:
    """A silent network at no rate has their relative error, whose denominator is the target's."""
    from xmft import training

    stand = training._stand
    monkeypatch.setattr(training, "_stand", lambda m, b, k: (stand(m, b, k), silence(m)))
    still = on(base, recipe, epochs=1, batch_size=9, learning_rate=1e-30, weight_decay=0.0)
    options: dict[str, Any] = {
        "pare": {"begin_share": 0.0, "end_share": 0.0},
        "mona": {"alignment_rate": 1e-30},
        "recraft": {"alignment_rate": 1e-30},
    }
    _, result = train(method, data, still, **options.get(method, {}))
    guess = out_of_fold(base, fitted_base(base, data), data)
    expected = relative(guess, data.train.targets)
    losses = {p.name: p.value for p in result.curves if p.split == "train"}
    assert losses["fitting/loss"] == pytest.approx(expected, rel=1e-3)
    if method == "recraft":
        # The probe of the bound is the whole of this small split.
        found = result.measurements["alignment/before/target_fit"]
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("base", BASES)
def test_nothing_of_it_is_kept_in_states(base: str, data: TaskData, build: Build) -> None:
    bare, model = (build("nft", data, Recipe(base=b, max_tokens=8))[0] for b in ("mean", base))
    assert model.state_dict().keys() == bare.state_dict().keys()
    assert dict(model.named_parameters()).keys() == dict(bare.named_parameters()).keys()
    assert {k for k, _ in model.named_buffers()} == {k for k, _ in bare.named_buffers()}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method, dies_after", [("nft", 2), ("pare", 1), ("recraft", 3)])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    method: str, dies_after: int, base: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    recipe = on(base, recipe)
    model, result = train(method, data, recipe)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, data, recipe, session=keeper)
    resumed_model, resumed = train(method, data, recipe, session=keeper)
    assert resumed.resumed_epochs == dies_after
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))


# An alignment batch of `exact` is compared as a whole and cut by gradient caching.
@pytest.mark.parametrize("method", ["nft", "pare", "mona", "mona:exact"])
@pytest.mark.parametrize("size", [1, 3])
def test_micro_batches_change_nothing(
    size: int, method: str, data: TaskData, recipe: Recipe, train: Train
) -> None:
    name, _, order = method.partition(":")
    options = {"order": order} if order else {}
    recipe = on("ridge", recipe, epochs=2)
    whole, parts = (
        [p.value for p in train(name, data, recipe, micro_batch=m, **options)[1].curves]
        for m in (None, size)
    )
    assert parts == pytest.approx(whole, rel=1e-4)


def test_it_learns_what_a_line_cannot(train: Train) -> None:
    """A task with a linear and a nonlinear part."""
    rng = np.random.default_rng(0)
    at = np.linspace(0, 2 * np.pi, 32, endpoint=False)

    def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = rng.standard_normal((count, 3, 1))
        x = (sizes * np.sin(np.arange(1, 4)[:, None] * at)).sum(axis=1)
        return x, np.roll(x, 5, axis=1) + 0.5 * np.tanh(2 * x) ** 2

    data = TaskData.from_arrays("toy/parts", train=arrays(240), test=arrays(60))
    recipe = Recipe(epochs=12, learning_rate=3e-3, max_tokens=8)
    _, line = train("ridge", data, recipe)
    scores = [
        next(s.value for s in result.scores if (s.split, s.metric) == ("test", "nrmse"))
        for result in (line, train("nft", data, on("ridge", recipe))[1])
    ]
    assert scores[1] < 0.8 * scores[0]


@pytest.mark.parametrize("base", BASES)
def test_landmarks_are_those_of_the_other_folds(base: str, data: TaskData) -> None:
    """With many landmarks it is nearly the exact prediction, and none where they are few."""
    from xmft.closed_forms.fitting import Setting, fit_closed_form
    from xmft.regression import out_of_fold as predicted
    from xmft.samples import train_samples

    cpu, widths = torch.device("cpu"), (2.0,) if base == "kernel" else ()
    folds = torch.arange(len(data.train)) % 5
    found = []
    for exact, landmarks in ((1000, 1000), (2, 36), (2, 12)):
        setting = Setting(penalties=(1e-2,), widths=widths, exact=exact, landmarks=landmarks)
        model = fit_closed_form(data, Recipe(), setting, cpu, called="this")
        rows = model.scaled.rows_of(train_samples(data, cpu))
        guess = torch.empty(45, 32, dtype=torch.float64)
        for numbers, part in predicted(rows, model.regression, folds):
            guess[numbers] = part
        found.append(guess)
    errors = [((guess - found[0]).norm() / found[0].norm()).item() for guess in found[1:]]
    assert errors[0] < 0.05 and errors[0] < errors[1] < 1


@pytest.mark.parametrize("base", BASES)
def test_targets_without_weight_are_not_counted(base: str, data: TaskData) -> None:
    def hidden(split: Split) -> Split:
        weights = np.ones_like(split.targets)
        weights[:, :, :8] = 0
        targets = np.where(weights > 0, split.targets, 1e3).astype(np.float32)
        return replace(split, targets=targets, weights=weights)

    task = replace(data.task, metrics=("nrmse",))
    splits = {name: hidden(split) for name, split in data.splits.items()}
    fit = fitted_base(base, replace(data, task=task, **splits))
    unseen = fit.of_training(np.arange(45)).numpy()[:, :, 8:]
    left = np.sqrt(np.square(unseen - data.train.targets[:, :, 8:]).mean())
    assert fit.spread.item() == pytest.approx(left, rel=1e-4)


def test_metrics_of_the_scores_are_known(data: TaskData, recipe: Recipe, train: Train) -> None:
    model, result = train("nft", data, on("kernel", recipe, epochs=1))
    alone = [s for s in result.scores if s.selection == "base"]
    assert {s.metric for s in alone} <= METRICS.keys() and {s.epoch for s in alone} == {0}
    with torch.inference_mode():
        guess = model.closed_form(torch.from_numpy(data.test.inputs)).numpy()
    score = next(s.value for s in alone if (s.split, s.metric) == ("test", "nrmse"))
    assert score == pytest.approx(relative(guess, data.test.targets), rel=1e-5)
