"""Logistic regression against scikit-learn on the same arrays, and against its own optimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from tests.xmft.test_neighbours import flat, noisy
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.records import FitResult
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]


def test_classes_are_those_of_scikit_learn(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = noisy(class_data, 1.5)
    model, result = train("logistic", data, recipe, penalties=[3.0])
    reference = LogisticRegression(C=1 / 3, max_iter=1000)
    reference.fit(flat(data.train, data), data.train.targets)
    expected = reference.predict_proba(flat(data.test, data))
    found = model(torch.from_numpy(data.test.inputs)).softmax(dim=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)
    wrong = 100 * np.mean(expected.argmax(axis=1) != data.test.targets)
    assert next(s.value for s in result.scores if s.split == "test") == pytest.approx(wrong)
    assert result.measurements["fitting/after/penalty"] == 3
    assert result.measurements["fitting/after/converged"] == 1


def test_each_label_is_at_the_least_of_its_loss(
    multilabel_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """The sum of cross-entropies and half the penalty times the squares, by another optimiser."""
    data = noisy(multilabel_data, 2.0)
    model, _ = train("logistic", data, recipe, penalties=[20.0])
    x, truth = flat(data.train, data), data.train.targets[:, 1]

    def loss(parameters: np.ndarray) -> float:
        logits = x @ parameters[:-1] + parameters[-1]
        entropy = np.logaddexp(0, logits) - truth * logits
        return float(entropy.sum() + 10 * (parameters[:-1] ** 2).sum())

    least = minimize(loss, np.zeros(x.shape[1] + 1), method="BFGS", tol=1e-5)
    expected = flat(data.test, data) @ least.x[:-1] + least.x[-1]
    found = model(torch.from_numpy(data.test.inputs))[:, 1]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("enough", [True, False])
def test_the_penalty_is_the_best_of_validation(
    enough: bool, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """Chosen on some of the samples if they are many, and fitted to all of them."""
    data = noisy(class_data, 2.5)
    most = 45 if enough else 20
    kept = np.linspace(0, 44, most).astype(int)
    x, y = flat(data.train, data), data.train.targets
    penalties, worth = [1e-2, 1.0, 1e2, 1e4], {}
    for penalty in penalties:
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(x[kept], y[kept])
        worth[penalty] = float(np.mean(model.predict(flat(data.val, data)) != data.val.targets))
    assert len(set(worth.values())) > 1
    model, result = train("logistic", data, recipe, penalties=penalties, chosen_on=most)
    chosen = result.measurements["fitting/after/penalty"]
    assert worth[chosen] == min(worth.values())
    reference = LogisticRegression(C=1 / chosen, max_iter=1000, tol=1e-6).fit(x, y)
    expected = reference.predict_proba(flat(data.test, data))
    found = model(torch.from_numpy(data.test.inputs)).softmax(dim=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-3)


def test_what_has_not_converged_says_so(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    data = noisy(class_data, 1.5)
    _, result = train("logistic", data, recipe, penalties=[1e-2], iterations=3)
    assert result.measurements["fitting/after/converged"] == 0
    assert result.measurements["fitting/after/iterations"] == 3


def without(split: Split, *classes: int) -> Split:
    kept = ~np.isin(split.targets, classes)
    return Split(inputs=split.inputs[kept], targets=split.targets[kept])


@pytest.mark.parametrize("missing", [(1,), (0, 1)])
def test_a_class_without_samples_is_never_the_answer(
    missing: tuple[int, ...], class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = replace(class_data, train=without(class_data.train, *missing))
    model, _ = train("logistic", data, recipe)
    logits = model(torch.from_numpy(data.test.inputs))
    assert torch.isfinite(logits).all()
    found = logits.argmax(dim=1).numpy()
    assert not np.isin(found, missing).any()
    seen = ~np.isin(data.test.targets, missing)
    assert (found == data.test.targets)[seen].mean() > 0.8


def test_labels_that_all_or_none_have(
    multilabel_data: TaskData, recipe: Recipe, train: Train
) -> None:
    targets = multilabel_data.train.targets.copy()
    targets[:, 0], targets[:, 2] = 1, 0
    data = replace(multilabel_data, train=replace(multilabel_data.train, targets=targets))
    model, _ = train("logistic", data, recipe)
    logits = model(torch.from_numpy(data.test.inputs)).numpy()
    odds = np.log(45.5 / 0.5)
    np.testing.assert_allclose(logits[:, 0], odds, rtol=1e-5)
    np.testing.assert_allclose(logits[:, 2], -odds, rtol=1e-5)
    assert ((logits[:, 1] > 0) == (data.test.targets[:, 1] > 0)).mean() > 0.8


def test_seeds_change_nothing(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    first, second = (train("logistic", class_data, recipe, seed=seed)[1] for seed in (0, 1))
    assert first.scores == second.scores and first.measurements == second.measurements


def test_fields_are_refused(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    with pytest.raises(RequestError, match="'logistic' is for classification and multilabel tasks"):
        train("logistic", dense_data, recipe)


def test_too_much_for_the_memory_is_said(
    class_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmft.closed_forms.choosing._MOST_BYTES", 1000)
    with pytest.raises(RequestError, match=r"'logistic' would hold .* GiB for 45 samples of 32"):
        train("logistic", class_data, recipe)


@pytest.mark.parametrize("options", [{"penalties": [0.0]}, {"penalties": []}, {"iterations": 0}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["logistic"].Config.model_validate(options)
