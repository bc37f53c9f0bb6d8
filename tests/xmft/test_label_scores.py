"""Scores of labels against scikit-learn, loops, and numbers worked out by hand."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch import Tensor

from xmft.chunk_scores import chunk_auroc, chunk_f1, chunks
from xmft.errors import DataError
from xmft.metrics import LOSSES, METRICS


def of_classes(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, count, p=(0.6, 0.1, 0.25, 0.05))
    logits = rng.normal(size=(count, 4)) + 1.5 * np.eye(4)[labels]
    return torch.from_numpy(logits.astype(np.float32)), torch.from_numpy(labels)


def of_labels(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    targets = rng.random((count, 6)) < np.array([0.5, 0.3, 0.1, 0.05, 0.5, 0.4])
    logits = rng.normal(size=(count, 6)) + targets
    return (
        torch.from_numpy(logits.astype(np.float32)),
        torch.from_numpy(targets.astype(np.float32)),
    )


def test_one_minus_scores_are_scikit_learns() -> None:
    logits, labels = of_classes(3000)
    expected = 1 - f1_score(labels, logits.argmax(dim=1), average="macro")
    for name in ("one_minus_f1", "one_minus_f1_windows"):
        assert METRICS[name].score(logits, labels) == pytest.approx(expected, abs=1e-12)
    logits, targets = of_labels(3000)
    expected = 1 - roc_auc_score(targets, logits, average="macro")
    assert METRICS["one_minus_auroc"].score(logits, targets) == pytest.approx(expected, abs=1e-12)
    expected = 1 - average_precision_score(targets, logits, average="macro")
    assert METRICS["one_minus_map"].score(logits, targets) == pytest.approx(expected, abs=1e-12)


def test_f1_by_counting() -> None:
    logits, labels = of_classes(500, 1)
    predicted, scores = logits.argmax(dim=1).tolist(), []
    for one in range(4):
        pairs = [(p == one, t == one) for p, t in zip(predicted, labels.tolist(), strict=True)]
        right = sum(p and t for p, t in pairs)
        scores.append(2 * right / (sum(p for p, _ in pairs) + sum(t for _, t in pairs)))
    score = METRICS["one_minus_f1"].score(logits, labels)
    assert score == pytest.approx(1 - sum(scores) / 4, abs=1e-12)


def test_a_class_of_the_task_that_nothing_is_counts_as_missed() -> None:
    labels = torch.tensor([0, 0, 1, 2])
    logits = torch.nn.functional.one_hot(labels, 4).float()
    assert METRICS["one_minus_f1"].score(logits, labels) == pytest.approx(0.25)
    assert METRICS["one_minus_f1_chunks"].score(logits, labels) == pytest.approx(0)


def test_auroc_by_counting_pairs() -> None:
    logits, targets = of_labels(200, 2)
    logits[:50] = logits[50:100]  # ties count half
    areas = []
    for scores, truth in zip(logits.T.double(), targets.T > 0, strict=True):
        difference = scores[truth][:, None] - scores[~truth][None]
        areas.append(((difference > 0).double() + (difference == 0).double() / 2).mean().item())
    score = METRICS["one_minus_auroc"].score(logits, targets)
    assert score == pytest.approx(1 - sum(areas) / len(areas), abs=1e-12)


def test_a_label_with_one_value_is_left_out() -> None:
    logits, targets = of_labels(400)
    targets[:, 2], targets[:, 4] = 0, 1
    kept = [0, 1, 3, 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        area = METRICS["one_minus_auroc"].score(logits, targets)
        chunked = METRICS["one_minus_auroc_chunks"].score(logits, targets)
        precision = METRICS["one_minus_map"].score(logits, targets)
    expected = 1 - roc_auc_score(targets[:, kept], logits[:, kept], average="macro")
    assert area == pytest.approx(expected, abs=1e-12)
    assert chunked == pytest.approx(expected, abs=1e-6)
    kept.insert(3, 4)  # all samples have this one: their precision is 1
    expected = 1 - average_precision_score(targets[:, kept], logits[:, kept], average="macro")
    assert precision == pytest.approx(expected, abs=1e-12)
    targets[:] = 0
    for name in ("one_minus_auroc", "one_minus_auroc_chunks"):
        with pytest.raises(DataError, match="none can be scored"):
            METRICS[name].score(logits, targets)


def test_chunks_hold_each_sample_once_and_never_change() -> None:
    parts = [chunk.numpy() for chunk in chunks(2500, 1000)]
    assert [len(part) for part in parts] == [1000, 1000, 500]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(2500))
    # Of a file in which the samples of one record lie together, each chunk has all records.
    assert all(len(np.unique(part // 250)) == 10 for part in parts)
    assert next(chunks(10, 5)).tolist() == [2, 8, 4, 9, 1]


def test_chunks_against_loops() -> None:
    logits, labels = of_classes(2300, 3)
    scores = []
    for chunk in chunks(2300, 1000):
        p, t = logits.argmax(dim=1)[chunk].tolist(), labels[chunk].tolist()
        each = []
        for one in sorted({*p, *t}):
            right = sum(a == b == one for a, b in zip(p, t, strict=True))
            each.append(2 * right / (p.count(one) + t.count(one)))
        scores.append(sum(each) / len(each))
    found = METRICS["one_minus_f1_chunks"].score(logits, labels)
    assert found == pytest.approx(1 - sum(scores) / 3, abs=1e-12)
    logits, targets = of_labels(2300, 3)
    areas = [
        roc_auc_score(targets[chunk], logits[chunk].sigmoid(), average="macro")
        for chunk in chunks(2300, 1008)
    ]
    found = METRICS["one_minus_auroc_chunks"].score(logits, targets)
    assert found == pytest.approx(1 - sum(areas) / 3, abs=1e-12)


def test_chunks_are_another_quantity_than_the_whole() -> None:
    """Scores of different scale in two chunks: ranked within each they are perfect, together not.

    And a class that one chunk alone has counts in that chunk alone.
    """
    first, second = chunks(2016, 1008)
    logits, targets = torch.zeros(2016, 1), torch.zeros(2016, 1)
    targets[first[:100]] = targets[second[:100]] = 1
    logits[first[:100]], logits[second[:100]] = 1.0, 5.0
    logits[second[100:]] = 3.0
    assert METRICS["one_minus_auroc_chunks"].score(logits, targets) == 0
    # Of the pairs, those of the first chunk's positives with the second one's negatives are lost.
    assert METRICS["one_minus_auroc"].score(logits, targets) == pytest.approx(0.25, abs=1e-12)

    first, second = chunks(2000, 1000)
    labels, predicted = torch.zeros(2000, dtype=torch.int64), torch.zeros(2000, dtype=torch.int64)
    labels[first[:10]] = 1
    logits = torch.nn.functional.one_hot(predicted, 2).float()
    big = 2 * 1990 / (1990 + 2000)
    assert METRICS["one_minus_f1"].score(logits, labels) == pytest.approx(1 - big / 2, abs=1e-12)
    in_first = 2 * 990 / (990 + 1000) / 2
    assert METRICS["one_minus_f1_chunks"].score(logits, labels) == pytest.approx(
        1 - (in_first + 1) / 2, abs=1e-12
    )


def test_a_chunk_without_any_label_to_score_is_left_out() -> None:
    logits, targets = of_labels(300)
    order = torch.cat(list(chunks(300, 100)))
    targets[order[100:200]] = 0
    kept = [order[:100], order[200:]]
    expected = np.mean([roc_auc_score(targets[rows], logits[rows].sigmoid()) for rows in kept])
    areas = chunk_auroc(logits, targets, size=100)
    assert len(areas) == 2
    assert areas.mean().item() == pytest.approx(expected, abs=1e-12)
    assert len(chunk_f1(*of_classes(300), size=100)) == 3


def test_predictions_that_are_not_finite_have_no_areas() -> None:
    logits, targets = of_labels(300)
    logits[7, 1] = torch.nan
    for name in ("one_minus_auroc", "one_minus_auroc_chunks", "one_minus_map"):
        assert np.isnan(METRICS[name].score(logits, targets))


@pytest.mark.parametrize(("name", "weight"), [("pos4", 4.0), ("pos10", 10.0)])
def test_positive_weights(name: str, weight: float) -> None:
    logits, targets = of_labels(50)
    loss = LOSSES[f"binary_cross_entropy_{name}"]
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    y = targets.double().numpy()
    each = -(weight * y * np.log(p) + (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(loss(logits, targets).double(), each.mean(axis=1), rtol=1e-5)
    torch_loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.full((6,), weight))
    assert loss(logits, targets).mean().item() == pytest.approx(torch_loss(logits, targets).item())
    weights = torch.rand(50, 6)
    w = weights.double().numpy()
    expected = (each * w).sum(axis=1) / w.sum(axis=1)
    np.testing.assert_allclose(loss(logits, targets, weights).double(), expected, rtol=1e-5)
