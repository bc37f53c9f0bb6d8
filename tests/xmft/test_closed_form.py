"""Ridge and kernel ridge against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from xmft.closed_forms import choosing
from xmft.errors import RequestError
from xmft.metrics import METRICS
from xmft.records import FitResult
from xmft.task import Kind, Recipe, Split, Task, TaskData

Train = Callable[..., tuple[Any, FitResult]]
METHODS = ("ridge", "kernel")


def flat(split: Split, data: TaskData) -> np.ndarray:
    """Inputs as scikit-learn takes them: standardised per channel by the training split."""
    train = data.train.inputs.astype(np.float64)
    axes = (0, *range(2, train.ndim))
    mean, spread = (f(train, axis=axes, keepdims=True) for f in (np.mean, np.std))
    return ((split.inputs - mean) / spread).reshape(len(split), -1)


def sklearn_predictions(
    method: str, data: TaskData, targets: np.ndarray, split: Split, penalty: float, width: float
) -> np.ndarray:
    x, centre = flat(data.train, data), targets.mean(axis=0)
    if method == "ridge":
        size = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
        model = Ridge(alpha=penalty * size).fit(x, targets)
        return model.predict(flat(split, data))
    distances = pairwise_distances(x)[np.triu_indices(len(x), 1)]
    # torch takes the lower of the two middle values as the median, numpy their mean.
    median = np.sort(distances)[(len(distances) - 1) // 2]
    gamma = 1 / (2 * (width * median) ** 2)
    model = KernelRidge(kernel="rbf", gamma=gamma, alpha=penalty).fit(x, targets - centre)
    return model.predict(flat(split, data)) + centre


def options(method: str, penalties: list[float], widths: list[float]) -> dict[str, Any]:
    return {"penalties": penalties} | ({"widths": widths} if method == "kernel" else {})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("penalty", [1e-3, 0.3])
@pytest.mark.parametrize("enough", [True, False])
def test_fields_are_those_of_scikit_learn(
    method: str, penalty: float, enough: bool, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """With fewer features than samples, and with more."""
    data = dense_data if not enough else coarse(dense_data, 4)
    assert (len(data.train) > data.train.inputs[0].size) is enough
    model, result = train(method, data, recipe, **options(method, [penalty], [2.0]))
    targets = data.train.targets.astype(np.float64).reshape(len(data.train), -1)
    expected = sklearn_predictions(method, data, targets, data.test, penalty, 2.0)
    found = model(torch.from_numpy(data.test.inputs)).numpy().reshape(len(data.test), -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    score = next(s.value for s in result.scores if s.split == "test" and s.metric == "nrmse")
    truth = data.test.targets.reshape(len(data.test), -1)
    norms = np.linalg.norm(expected - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert score == pytest.approx(norms.mean(), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_width_and_penalty_are_the_best_of_validation(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = dense_data
    penalties, widths = [1e-8, 1e-4, 1e-2, 1.0], [0.5, 2.0, 8.0]
    targets = data.train.targets.astype(np.float64).reshape(len(data.train), -1)
    worth = {}
    for width in widths if method == "kernel" else [1.0]:
        for penalty in penalties:
            guess = sklearn_predictions(method, data, targets, data.val, penalty, width)
            arrays = guess.reshape(data.val.targets.shape), data.val.targets
            worth[width, penalty] = METRICS["nrmse"].score(
                *(torch.from_numpy(a.astype(np.float32)) for a in arrays)
            )
    _, result = train(method, data, recipe, **options(method, penalties, widths))
    scores = {s.split: s.value for s in result.scores if s.metric == "nrmse"}
    assert scores["val"] == pytest.approx(min(worth.values()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_labels_are_targets_of_zero_and_one(
    method: str,
    kind: Kind,
    class_data: TaskData,
    multilabel_data: TaskData,
    recipe: Recipe,
    train: Train,
) -> None:
    data = class_data if kind == "classification" else multilabel_data
    labels = np.asarray(data.train.targets)
    targets = np.eye(3)[labels] if kind == "classification" else labels.astype(np.float64)
    expected = sklearn_predictions(method, data, targets, data.test, 1e-2, 2.0)
    model, result = train(method, data, recipe, **options(method, [1e-2], [2.0]))
    found = model(torch.from_numpy(data.test.inputs)).numpy()
    np.testing.assert_allclose(found, expected - 0.5, rtol=1e-4, atol=1e-5)
    if kind == "classification":
        wrong = 100 * np.mean(expected.argmax(axis=1) != data.test.targets)
        assert next(s.value for s in result.scores if s.split == "test") == pytest.approx(wrong)


@pytest.mark.parametrize("method", METHODS)
def test_on_many_samples_the_landmarks_answer(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """With all samples as landmarks it is the exact solution; with a third of them, near it."""
    pinned = options(method, [1e-2], [2.0])
    exact, _ = train(method, dense_data, recipe, **pinned)
    x = torch.from_numpy(dense_data.test.inputs)
    errors = []
    for landmarks in (44, 15):
        near, _ = train(method, dense_data, recipe, **pinned, exact=2, landmarks=landmarks)
        assert len(near.regression.landmarks) == landmarks
        errors.append(((near(x) - exact(x)).norm() / exact(x).norm()).item())
    assert errors[0] < 0.02 and errors[0] < errors[1] < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_choice_on_some_samples_holds_for_all(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    pinned = options(method, [1e-2], [2.0])
    model, _ = train(method, dense_data, recipe, **pinned, landmarks=20)
    assert len(model.regression.landmarks) == len(dense_data.train)


@pytest.mark.parametrize("method", METHODS)
def test_seeds_change_nothing(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    first, second = (train(method, dense_data, recipe, seed=seed)[1] for seed in (0, 1))
    assert first.scores == second.scores
    assert {s.epoch for s in first.scores} == {0}


@pytest.mark.parametrize("method", METHODS)
def test_samples_that_are_all_alike(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """Nothing can be told from them but the mean of the targets."""

    def alike(split: Split) -> Split:
        return replace(split, inputs=np.ones_like(split.inputs))

    data = replace(dense_data, **{k: alike(v) for k, v in dense_data.splits.items()})
    model, _ = train(method, data, recipe)
    mean = data.train.targets.mean(axis=0)
    found = model(torch.from_numpy(data.test.inputs)).numpy()
    np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), rtol=1e-4, atol=1e-4)


def test_too_much_for_the_memory_is_said(
    dense_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_MOST_BYTES", 1000)
    with pytest.raises(RequestError, match=r"would hold .* GiB for 45 samples of 64 inputs"):
        train("kernel", dense_data, recipe)


def coarse(data: TaskData, stride: int) -> TaskData:
    def cut(split: Split) -> Split:
        return Split(inputs=split.inputs[..., ::stride], targets=split.targets[..., ::stride])

    task: Task = data.task
    return replace(data, task=task, **{k: cut(v) for k, v in data.splits.items()})
