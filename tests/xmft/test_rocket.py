"""ROCKET: features against convolutions by numpy, the map against scikit-learn's ridge."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tests.xmft.test_neighbours import noisy
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.records import FitResult
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]

# Its kernels are compiled in every process, for some ten seconds.
pytestmark = pytest.mark.slow


def by_hand(series: np.ndarray, kernels: Any) -> np.ndarray:
    """Largest value and share of positive ones of each kernel over series `[n, length]`."""
    found = []
    for j in range(kernels.n_kernels):
        length, step, pad = kernels.length_[j], kernels.dilation_[j], kernels.padding_[j]
        weights = np.zeros((length - 1) * step + 1)
        weights[::step] = kernels.weights_[j, :length]
        padded = np.pad(series, ((0, 0), (pad, pad)))
        values = np.stack([np.correlate(row, weights, "valid") for row in padded])
        values += kernels.bias_[j]
        found += [values.max(axis=1), (values > 0).mean(axis=1)]
    return np.stack(found, axis=1)


def features(split: Split, model: Any, *, normalise: bool) -> np.ndarray:
    """Features of all channels, one channel after the other."""
    series = np.asarray(split.inputs, dtype=np.float64)
    assert normalise  # so that the scale of the whole split is of no matter
    series = series - series.mean(axis=2, keepdims=True)
    series = series / series.std(axis=2, keepdims=True)
    parts = [by_hand(series[:, c], kernels) for c, kernels in enumerate(model.scaled._kernels)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("kind", ["class_data", "multilabel_data"])
def test_it_is_a_ridge_on_random_convolutions(
    kind: str, recipe: Recipe, train: Train, request: pytest.FixtureRequest
) -> None:
    """One channel, and three that share the kernels out: 14, 13 and 13."""
    data = noisy(request.getfixturevalue(kind), 0.5)
    model, result = train("rocket", data, recipe, kernels=40, penalties=[1e-2])
    assert {one.n_kernels for one in model.scaled._kernels} <= {13, 14, 40}
    x, asked = (features(split, model, normalise=True) for split in (data.train, data.test))
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread < 1e-12] = 1
    x, asked = (x - mean) / spread, (asked - mean) / spread
    labels = np.asarray(data.train.targets)
    targets = np.eye(3)[labels] if data.task.kind == "classification" else labels
    # The penalty is relative to the mean square of a row or of a column, whichever are fewer.
    alpha = 1e-2 * (x**2).sum(axis=1).mean()
    expected = Ridge(alpha=alpha).fit(x, targets).predict(asked)
    found = model(torch.from_numpy(data.test.inputs)).numpy()
    np.testing.assert_allclose(found, expected - 0.5, atol=1e-3)
    if data.task.kind == "classification":  # the labels of the other toy are levels alone
        assert next(s.value for s in result.scores if s.split == "test") < 40


def test_series_are_told_apart_by_their_shape(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """Waves of another frequency, moved at random: a linear map cannot tell, convolutions can."""
    rng = np.random.default_rng(5)

    def moved(split: Split) -> Split:
        shifts = rng.integers(0, 32, len(split))
        rows = [np.roll(row, by, axis=1) for row, by in zip(split.inputs, shifts, strict=True)]
        return replace(split, inputs=np.stack(rows))

    data = replace(class_data, **{k: moved(v) for k, v in class_data.splits.items()})
    errors = {
        method: next(
            s.value for s in train(method, data, recipe, **o)[1].scores if s.split == "test"
        )
        for method, o in {"ridge": {}, "rocket": {"kernels": 200}}.items()
    }
    assert errors["rocket"] == 0 < errors["ridge"]


def test_the_seed_draws_the_kernels(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    x = torch.from_numpy(class_data.test.inputs)
    options = {"kernels": 20, "penalties": [1e-2]}
    first, again, other = (
        train("rocket", class_data, recipe, seed=seed, **options)[0](x) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("rows", [10, 45])
def test_it_learns_from_no_more_series_than_asked(
    rows: int, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, _ = train("rocket", class_data, recipe, kernels=30, rows=rows)
    assert len(model.regression.landmarks) == rows


def test_scale_matters_where_series_are_not_normalised(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    x = torch.from_numpy(class_data.test.inputs)
    for normalise in (True, False):
        model, _ = train("rocket", class_data, recipe, kernels=20, normalise=normalise)
        assert torch.allclose(model(3 * x), model(x), atol=1e-4) == normalise


def test_constant_series_are_no_matter(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    inputs = np.asarray(class_data.train.inputs).copy()
    inputs[3] = 2.5
    data = replace(class_data, train=replace(class_data.train, inputs=inputs))
    model, _ = train("rocket", data, recipe, kernels=30)
    assert torch.isfinite(model(torch.from_numpy(inputs))).all()


@pytest.mark.parametrize("shape", [(1, 8, 4), (1, 5)])
def test_what_are_no_series_is_refused(
    shape: tuple[int, ...], class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    def as_images(split: Split) -> Split:
        inputs = np.asarray(split.inputs)[:, :, : int(np.prod(shape))]
        return replace(split, inputs=inputs.reshape(-1, *shape))

    data = replace(class_data, **{k: as_images(v) for k, v in class_data.splits.items()})
    with pytest.raises(RequestError, match="'rocket' is for series of 7 points or more"):
        train("rocket", data, recipe)


def test_fields_are_refused(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    with pytest.raises(RequestError, match="'rocket' is for classification and multilabel tasks"):
        train("rocket", dense_data, recipe)


def test_too_much_for_the_memory_is_said(
    class_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmft.closed_forms.choosing._MOST_BYTES", 1000)
    with pytest.raises(RequestError, match=r"'rocket' would hold .* set fewer `kernels`"):
        train("rocket", class_data, recipe)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pyts" else find(name)
    )
    with pytest.raises(RequestError, match=r"pip install 'xmft\[series\]'"):
        METHODS["rocket"].check_installed()
    METHODS["knn"].check_installed()
