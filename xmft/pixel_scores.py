"""Scores of a yes or no at every pixel, pooled over the pixels of all samples, from logits.

What a weight of 0 marks is not scored, unless a score says otherwise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# NAS-Bench-360 and DASH call a pixel positive where its logit, not its probability, is above 0.5.
BENCHMARK_LOGIT = 0.5


def pixel_auroc(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " n"]:
    """Area under the ROC curve over all pixels together: how logits rank them.

    That is the share of the pairs of a positive and a negative pixel which are ranked rightly, a
    tie counting one half (Mann and Whitney, 1947). The pairs are counted, so that the area is exact
    and half the memory and time of scikit-learn's curve are enough: the test of Cosmic has seven
    million pixels.

    Args:
        logits: `[n, 1, height, width]`, of all samples.
        targets: Likewise, 0 or 1.
        weights: Likewise; pixels of weight 0 are left out.

    Returns:
        One value; none where all pixels are alike, which have no curve.
    """
    if not torch.isfinite(logits).all():
        return torch.full((1,), torch.nan)
    truth = targets > 0
    known = torch.ones_like(truth)
    if weights is not None:
        known = torch.broadcast_to(weights > 0, truth.shape)
    positive, negative = logits[known & truth], logits[known & ~truth].sort().values
    if not len(positive) or not len(negative):
        return torch.empty(0, dtype=torch.float64)
    below = torch.searchsorted(negative, positive).sum()
    not_above = torch.searchsorted(negative, positive, right=True).sum()
    return ((below + not_above).double() / (2.0 * len(positive) * len(negative)))[None]


def missed(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Float[Tensor, "n 2"]:
    """Positive pixels of each sample with a logit of at most 0.5, and all positive ones."""
    truth = targets > 0
    if weights is not None:
        truth = truth & (weights > 0)
    wrong = truth & ~(logits > BENCHMARK_LOGIT)
    return _counted(logits, wrong, truth)


def missed_of_all(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 2"]:
    """As `missed`, with the pixels of weight 0 counted: what NAS-Bench-360 computes."""
    return missed(logits, targets)


def hard_counts(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 4"]:
    """Missed and all positive pixels, false alarms and all negative pixels of each sample.

    A pixel is called positive where its logit is above 0. As ORCA's code has it, those of weight 0
    are neither positive nor called so: they count as true negatives.
    """
    truth, called = targets > 0, logits > 0
    if weights is not None:
        truth, called = truth & (weights > 0), called & (weights > 0)
    return _counted(logits, truth & ~called, truth, called & ~truth, ~truth)


def _counted(logits: Tensor, *parts: Tensor) -> Tensor:
    """Count pixels of each sample, `[n, parts]`; a logit that is NaN is no decision."""
    counts = torch.stack([part.flatten(1).double().sum(dim=1) for part in parts], dim=1)
    broken = ~torch.isfinite(logits).flatten(1).all(dim=1, keepdim=True)
    return counts.masked_fill(broken, torch.nan)


def one_minus_known(statistics: Tensor) -> Tensor | None:
    """Return 1 minus the one value; None where there is none."""
    return 1 - statistics[0] if len(statistics) else None


def percentage(counts: Tensor) -> Tensor | None:
    """Return the first count in percent of the second; None where that is 0."""
    return 100 * counts[0] / counts[1] if counts[1] != 0 else None


def half_of_both_rates(counts: Tensor) -> Tensor | None:
    """Return the mean of false negative and false positive rate of `hard_counts`.

    It is 1 minus the area under the ROC curve of a hard decision.
    """
    if counts[1] == 0 or counts[3] == 0:
        return None
    return (counts[0] / counts[1] + counts[2] / counts[3]) / 2
