"""Scores of pixels: over batches, of broken predictions, and whole samples that are ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score
from torch import Tensor, nn

from xmft.evaluation import evaluate
from xmft.label_scores import binary_cross_entropy
from xmft.metrics import METRICS
from xmft.samples import Samples
from xmft.session import Session
from xmft.split import Split

NAMES = ("one_minus_auroc_pixels", "fnr_pct", "fnr_pct_unmasked", "one_minus_auroc_hard")


def drawn(count: int = 7, side: int = 24, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that know something of a mask, in steps so that many tie, and what is known."""
    rng = torch.Generator().manual_seed(seed)
    shape = (count, 1, side, side)
    targets = (torch.rand(shape, generator=rng) < 0.1).float()
    logits = (torch.randn(shape, generator=rng) + 1.5 * targets - 0.7).mul(8).round() / 8
    weights = (torch.rand(shape, generator=rng) < 0.8).float()
    # One sample of which nothing is known.
    weights[2] = 0
    return logits, targets, weights


def flat(*tensors: Tensor) -> list[np.ndarray[Any, Any]]:
    return [tensor.numpy().ravel().astype(np.float64) for tensor in tensors]


def by_scikit_learn(logits: Tensor, targets: Tensor, weights: Tensor) -> dict[str, float]:
    z, y, w = flat(logits, targets, weights)
    known = w > 0
    scores = {"one_minus_auroc_pixels": 1 - roc_auc_score(y[known], z[known])}
    for name, chosen in (("fnr_pct", known), ("fnr_pct_unmasked", np.ones_like(known))):
        _, _, missed, found = confusion_matrix(y[chosen], z[chosen] > 0.5).ravel()
        scores[name] = 100 * missed / (missed + found)
    # As the public code has it: logits and truth are zero where nothing is known.
    scores["one_minus_auroc_hard"] = 1 - roc_auc_score(y * w, z * w > 0)
    return scores


def by_loop(logits: Tensor, targets: Tensor, weights: Tensor) -> dict[str, float]:
    z, y, w = flat(logits, targets, weights)
    counts = {name: [0, 0, 0, 0] for name in NAMES}
    for logit, truth, weight in zip(z, y, w, strict=True):
        for name, above, kept in (
            ("fnr_pct", 0.5, weight > 0),
            ("fnr_pct_unmasked", 0.5, True),
            ("one_minus_auroc_hard", 0.0, True),
        ):
            known = weight > 0 or name == "fnr_pct_unmasked"
            found, there = bool(logit > above and known), bool(truth and known)
            counts[name][2 * (not there) + (not found)] += kept
    scores = {}
    for name in ("fnr_pct", "fnr_pct_unmasked"):
        found, missed, _, _ = counts[name]
        scores[name] = 100 * missed / (found + missed)
    found, missed, false, left = counts["one_minus_auroc_hard"]
    scores["one_minus_auroc_hard"] = (missed / (found + missed) + false / (false + left)) / 2
    known = w > 0
    inside, outside = z[known & (y > 0)], z[known & (y == 0)]
    right = sum(np.sum(outside < one) + np.sum(outside == one) / 2 for one in inside)
    scores["one_minus_auroc_pixels"] = 1 - right / (len(inside) * len(outside))
    return scores


@pytest.mark.parametrize("reference", [by_scikit_learn, by_loop])
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_those_of(reference: Callable[..., dict[str, float]], seed: int) -> None:
    parts = drawn(seed=seed)
    expected = reference(*parts)
    found = {name: METRICS[name].score(*parts) for name in NAMES}
    assert found == pytest.approx(expected, rel=1e-12)
    # They differ in what they say, so that none stands in for another.
    assert len({round(value / (100 if "pct" in name else 1), 3) for name, value in expected.items()
                }) == 4  # fmt: skip


def test_without_weights_all_pixels_are_known() -> None:
    logits, targets, _ = drawn()
    ones = torch.ones_like(targets)
    for name in NAMES:
        metric = METRICS[name]
        assert metric.score(logits, targets) == metric.score(logits, targets, ones)
        # A weight for each sample is one for each of its pixels.
        some = (torch.arange(7) % 2).float().view(-1, 1, 1, 1)
        assert metric.score(logits, targets, some) == metric.score(logits, targets, some * ones)


def test_hard_scores_are_the_mean_of_two_rates() -> None:
    logits, targets, weights = drawn(seed=3)
    z, y, _ = flat(logits, targets, weights)
    missed, false = np.mean(z[y > 0] <= 0), np.mean(z[y == 0] > 0)
    ones = torch.ones_like(targets)
    found = METRICS["one_minus_auroc_hard"].score(logits, targets, ones)
    assert found == pytest.approx((missed + false) / 2, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_truth_there_is_no_score(name: str) -> None:
    logits, targets, weights = drawn()
    metric = METRICS[name]
    assert metric.score(logits, torch.zeros_like(targets), weights) is None
    nothing = metric.score(logits, targets, torch.zeros_like(weights))
    everywhere = metric.score(logits, torch.ones_like(targets), torch.ones_like(weights))
    if name == "fnr_pct_unmasked":
        assert nothing == metric.score(logits, targets)
    else:
        assert nothing is None
    assert (everywhere is None) == ("auroc" in name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_broken_predictions_have_no_number(name: str, broken: float) -> None:
    logits, targets, weights = drawn()
    logits[0, 0, 0, 0], weights[0, 0, 0, 0] = broken, 1
    score = METRICS[name].score(logits, targets, weights)
    assert score is not None and np.isnan(score)


def test_scores_over_batches_and_workers_are_those_of_the_whole() -> None:
    logits, targets, weights = drawn(count=9, side=16)
    split = Split(inputs=logits.numpy(), targets=targets.numpy(), weights=weights.numpy())
    samples = Samples(split, torch.device("cpu"))
    metrics = [METRICS[name] for name in NAMES]
    found = evaluate(nn.Identity(), samples, metrics, Session())
    assert found == pytest.approx(
        {name: METRICS[name].score(logits, targets, weights) for name in NAMES}, rel=1e-12
    )


def test_a_million_pixels_are_ranked_exactly() -> None:
    """A seventh of the official test."""
    rng = torch.Generator().manual_seed(0)
    shape = (60, 1, 128, 128)
    targets = (torch.rand(shape, generator=rng) < 0.03).float()
    logits = torch.randn(shape, generator=rng) + targets
    found = METRICS["one_minus_auroc_pixels"].score(logits, targets, torch.ones(shape))
    assert found is not None
    z, y = flat(logits, targets)
    assert found == pytest.approx(1 - roc_auc_score(y, z), rel=1e-11)


def test_ignored_pixels_do_not_teach() -> None:
    logits, targets, weights = drawn()
    logits.requires_grad_()
    loss = binary_cross_entropy(logits, targets, weights)
    loss.sum().backward()
    assert logits.grad is not None
    assert (logits.grad[weights == 0] == 0).all() and (logits.grad[weights > 0] != 0).all()
    assert loss[2] == 0
    # The public code multiplies logits and truth, and takes the mean over all pixels: the same
    # but for the share of known pixels, and log 2 for each of the others.
    bce, loss, logits = (
        nn.functional.binary_cross_entropy_with_logits,
        loss.detach(),
        logits.detach(),
    )
    for sample in (0, 1, 3):
        share = weights[sample].mean()
        public = bce(logits[sample] * weights[sample], targets[sample] * weights[sample])
        expected = share * loss[sample] + (1 - share) * np.log(2)
        assert public.item() == pytest.approx(expected.item(), rel=1e-5)
