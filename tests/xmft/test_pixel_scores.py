"""Scores of pixels are those of scikit-learn and of plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score

from xmft.metrics import METRICS

RNG = np.random.default_rng(8)
SHAPE = (7, 1, 12, 9)
LOGITS = torch.from_numpy(RNG.normal(0, 2, SHAPE).round(1).astype(np.float32))  # with ties
TARGETS = torch.from_numpy((RNG.uniform(size=SHAPE) < 0.2).astype(np.float32))
WEIGHTS = torch.from_numpy((RNG.uniform(size=SHAPE) < 0.8).astype(np.float32))
KNOWN = WEIGHTS.numpy().ravel() > 0


def score(name: str, weights: torch.Tensor | None = WEIGHTS) -> float | None:
    return METRICS[name].score(LOGITS, TARGETS, weights)


def test_ranks_of_known_pixels() -> None:
    truth, given = TARGETS.numpy().ravel(), LOGITS.numpy().ravel()
    expected = 1 - roc_auc_score(truth[KNOWN], given[KNOWN])
    assert score("one_minus_auroc_pixels") == pytest.approx(expected, rel=1e-12)
    everything = 1 - roc_auc_score(truth, given)
    assert score("one_minus_auroc_pixels", None) == pytest.approx(everything, rel=1e-12)
    # Pair by pair: how often a hit pixel is ranked below another, half where they tie.
    hit, clear = (given[KNOWN & (truth == value)].astype(float) for value in (1, 0))
    pairs = np.sign(clear[None] - hit[:, None]).mean() / 2 + 0.5
    assert score("one_minus_auroc_pixels") == pytest.approx(pairs, rel=1e-9)


def test_missed_pixels_at_the_threshold_of_the_benchmark() -> None:
    for name, counted in (("fnr_pct", KNOWN), ("fnr_pct_unmasked", np.ones_like(KNOWN))):
        wrong = hits = 0
        pixels = zip(LOGITS.flatten().tolist(), TARGETS.flatten().tolist(), counted, strict=True)
        for logit, truth, known in pixels:
            hits += known and truth == 1
            wrong += known and truth == 1 and not logit > 0.5
        assert score(name) == pytest.approx(100 * wrong / hits, rel=1e-12)
    assert score("fnr_pct") != score("fnr_pct_unmasked")


def test_a_hard_decision_has_the_mean_of_both_error_rates() -> None:
    truth = (TARGETS * WEIGHTS).numpy().ravel() > 0
    called = ((LOGITS > 0) & (WEIGHTS > 0)).numpy().ravel()
    expected = 1 - roc_auc_score(truth, called)
    found = score("one_minus_auroc_hard")
    assert found == pytest.approx(expected, rel=1e-12)
    clear, alarms, missed, hits = confusion_matrix(truth, called).ravel()
    rates = (missed / (missed + hits) + alarms / (alarms + clear)) / 2
    assert found == pytest.approx(rates, rel=1e-12)
    assert found != pytest.approx(score("one_minus_auroc_pixels"), rel=0.05)


def test_what_cannot_be_scored_is_left_out() -> None:
    nothing = torch.zeros(SHAPE)
    for name in ("one_minus_auroc_pixels", "fnr_pct", "one_minus_auroc_hard"):
        assert METRICS[name].score(LOGITS, nothing, WEIGHTS) is None
        assert METRICS[name].score(LOGITS, TARGETS, nothing) is None
    nan = torch.full(SHAPE, torch.nan)
    assert np.isnan(METRICS["one_minus_auroc_pixels"].score(nan, TARGETS, WEIGHTS) or 0)
