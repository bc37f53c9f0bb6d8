"""Nearest neighbours against scikit-learn's own classifier and regressor on the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.metrics import METRICS
from xmft.records import FitResult
from xmft.task import Recipe, Split, TaskData, Windows

Train = Callable[..., tuple[Any, FitResult]]
# What scikit-learn calls the weight of a vote.
VOTES = {"equal": "uniform", "near": "distance"}


def flat(split: Split, data: TaskData) -> np.ndarray:
    """Inputs standardised per channel by the training split, in rows."""
    train = np.asarray(data.train.inputs, dtype=np.float64)
    axes = (0, *range(2, train.ndim))
    mean, spread = (f(train, axis=axes, keepdims=True) for f in (np.mean, np.std))
    return ((np.asarray(split.inputs) - mean) / spread).reshape(len(split.inputs), -1)


def noisy(data: TaskData, size: float) -> TaskData:
    """The same samples under noise, so that their neighbours do not agree."""
    rng = np.random.default_rng(3)

    def moved(split: Split) -> Split:
        noise = size * rng.standard_normal(np.asarray(split.inputs).shape)
        return replace(split, inputs=(split.inputs + noise).astype(np.float32))

    return replace(data, **{name: moved(split) for name, split in data.splits.items()})


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("votes", VOTES)
@pytest.mark.parametrize("number", [1, 4])
def test_classes_are_those_of_scikit_learn(
    distance: str, votes: str, number: int, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = noisy(class_data, 1.5)
    options = {"neighbours": [number], "distances": [distance], "votes": [votes]}
    model, result = train("knn", data, recipe, **options)
    reference = KNeighborsClassifier(number, weights=VOTES[votes], metric=distance)
    reference.fit(flat(data.train, data), data.train.targets)
    shares = reference.predict_proba(flat(data.test, data))
    logits = model(torch.from_numpy(data.test.inputs))
    # Votes, and one more that is shared evenly, make up the chances.
    np.testing.assert_allclose(
        logits.softmax(dim=1).numpy(), (number * shares + 1 / 3) / (number + 1), rtol=1e-4
    )
    wrong = 100 * np.mean(shares.argmax(axis=1) != data.test.targets)
    assert 0 < wrong < 67  # noise, and something to be found in it
    assert next(s.value for s in result.scores if s.split == "test") == pytest.approx(wrong)
    assert result.measurements["fitting/after/neighbours"] == number


@pytest.mark.parametrize("votes", VOTES)
def test_fields_are_those_of_scikit_learn(
    votes: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = dense_data
    model, _ = train("knn", data, recipe, neighbours=[3], distances=["euclidean"], votes=[votes])
    reference = KNeighborsRegressor(3, weights=VOTES[votes])
    reference.fit(flat(data.train, data), data.train.targets.reshape(len(data.train), -1))
    expected = reference.predict(flat(data.test, data)).reshape(data.test.targets.shape)
    found = model(torch.from_numpy(data.test.inputs)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_labels_rank_as_the_share_of_neighbours_that_have_them(
    multilabel_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = noisy(multilabel_data, 3.0)
    data = replace(data, task=replace(data.task, metrics=("auroc", "label_error_pct")))
    model, result = train("knn", data, recipe, neighbours=[7], votes=["equal"])
    reference = KNeighborsRegressor(
        7, metric="euclidean" if "euclidean" in str(result.measurements) else "cosine"
    )
    reference.fit(flat(data.train, data), data.train.targets)
    shares = reference.predict(flat(data.test, data))
    logits = model(torch.from_numpy(data.test.inputs))
    np.testing.assert_allclose(logits.sigmoid().numpy(), (7 * shares + 0.5) / 8, rtol=1e-4)
    scores = {s.metric: s.value for s in result.scores if s.split == "test"}
    curves = [roc_auc_score(data.test.targets[:, label], shares[:, label]) for label in range(3)]
    assert scores["auroc"] == pytest.approx(np.mean(curves))
    missed = np.mean((shares > 0.5) != (data.test.targets > 0))
    assert scores["label_error_pct"] == pytest.approx(100 * missed)


@pytest.mark.parametrize("metric", ["error_pct", "f1_macro"])
def test_what_is_chosen_scores_best_on_validation(
    metric: str, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """By the main metric, whether less of it is better or more."""
    data = noisy(class_data, 1.5)
    data = replace(data, task=replace(data.task, metrics=(metric,)))
    options: dict[str, Any] = {"neighbours": [1, 2, 5, 20], "distances": ["euclidean", "manhattan"]}
    _, result = train("knn", data, recipe, **options)
    worth = {}
    for distance in options["distances"]:
        for votes in VOTES:
            for number in options["neighbours"]:
                reference = KNeighborsClassifier(number, weights=VOTES[votes], metric=distance)
                reference.fit(flat(data.train, data), data.train.targets)
                shares = torch.from_numpy(reference.predict_proba(flat(data.val, data)))
                worth[number, votes, distance] = METRICS[metric].score(
                    shares, torch.from_numpy(data.val.targets)
                )
    best = (min if metric == "error_pct" else max)(worth.values())
    scores = {s.split: s.value for s in result.scores}
    assert scores["val"] == pytest.approx(best) and len(set(worth.values())) > 2
    found = {key.removeprefix("fitting/after/"): v for key, v in result.measurements.items()}
    (distance,) = (name.removesuffix("_distance") for name in found if name.endswith("_distance"))
    votes = "near" if found["near_votes"] else "equal"
    assert worth[int(found["neighbours"]), votes, distance] == pytest.approx(best)


def test_windows_vote_as_the_task_says(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    """Each window asks its own neighbours; a sample is what its windows say."""

    def cut(split: Split) -> Split:
        windows = Windows.every([32] * len(split), (16,), 8)
        return replace(split, windows=windows)

    task = replace(class_data.task, pool="vote")
    data = replace(class_data, task=task, **{k: cut(v) for k, v in class_data.splits.items()})
    _, result = train("knn", data, recipe, neighbours=[1], distances=["euclidean"])

    def windows(split: Split) -> np.ndarray:
        parts = [split.inputs[:, 0, start : start + 16] for start in (0, 8, 16)]
        return np.stack(parts, axis=1).reshape(-1, 16)

    reference = KNeighborsClassifier(1)
    reference.fit(windows(data.train), np.repeat(data.train.targets, 3))
    votes = reference.predict(windows(data.test)).reshape(-1, 3)
    # Without three-way ties the most frequent class is the vote.
    counts = np.stack([(votes == label).sum(axis=1) for label in range(3)], axis=1)
    assert (counts.max(axis=1) > 1).all()
    wrong = 100 * np.mean(counts.argmax(axis=1) != data.test.targets)
    assert next(s.value for s in result.scores if s.split == "test") == pytest.approx(wrong)


def test_a_sample_that_is_there_has_its_own_class(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    data = replace(noisy(class_data, 3.0), val=class_data.val)
    data = replace(data, test=data.train)
    _, result = train("knn", data, recipe, neighbours=[9], votes=["near"], distances=["manhattan"])
    assert next(s.value for s in result.scores if s.split == "test") == 0


def test_no_more_neighbours_than_samples(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, result = train("knn", class_data, recipe, neighbours=[1000])
    assert result.measurements["fitting/after/neighbours"] == len(class_data.train)


def test_seeds_change_nothing(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    first, second = (train("knn", dense_data, recipe, seed=seed)[1] for seed in (0, 1))
    assert first.scores == second.scores


def test_too_much_for_the_memory_is_said(
    dense_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmft.closed_forms.choosing._MOST_BYTES", 1000)
    with pytest.raises(RequestError, match=r"'knn' would hold .* GiB for 45 samples of 64 inputs"):
        train("knn", dense_data, recipe)


@pytest.mark.parametrize(
    "options", [{"neighbours": [0]}, {"neighbours": []}, {"distances": ["far"]}, {"votes": ["no"]}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["knn"].Config.model_validate(options)
