"""Scores of predicted masks `[n, 1, *grid]`, from logits, over all pixels of a split together.

Pixels of weight 0 are those whose truth nobody knows. Where a split has no pixel of the mask, or
none outside of it, there is nothing to score.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Ignored = Literal["left out", "counted", "negative"]
"""Pixels of weight 0 are not scored; scored as all others; or right, and not of the mask."""


def ranked_pairs(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " 2"]:
    """Count the pairs of a pixel of the mask and one outside that the logits rank rightly.

    The area under the ROC curve is their share (Mann and Whitney 1947), exactly: the counts are
    whole numbers, and a tie counts one half.

    Args:
        logits: `[n, 1, *grid]`, of all samples.
        targets: The same shape, of 0 and 1.
        weights: Of that shape, or one that broadcasts to it; pixels of weight 0 are left out.

    Returns:
        The pairs that are ranked rightly, and all pairs.
    """
    known = _known(targets, weights)
    inside = logits[known & (targets > 0)]
    outside = logits[known & (targets <= 0)].sort().values
    pairs = float(len(inside)) * len(outside)
    if not (torch.isfinite(inside).all() and torch.isfinite(outside).all()):
        return torch.tensor([torch.nan, pairs], dtype=torch.float64)
    below = torch.searchsorted(outside, inside).sum()
    not_above = torch.searchsorted(outside, inside, right=True).sum()
    return torch.stack([(below + not_above).double() / 2, below.new_tensor(pairs).double()])


def outcomes(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    threshold: float,
    ignored: Ignored = "left out",
) -> Float[Tensor, "n 4"]:
    """Count the pixels of each sample that are found, missed, falsely found and rightly left.

    Args:
        logits: `[n, 1, *grid]`.
        targets: The same shape, of 0 and 1.
        weights: Of that shape, or one that broadcasts to it.
        threshold: A pixel is found where its logit is above.
        ignored: What happens with pixels of weight 0.
    """
    known, found, there = _known(targets, weights), logits > threshold, targets > 0
    if ignored == "negative":
        found, there = found & known, there & known
    scored = known if ignored == "left out" else torch.ones_like(known)
    counts = torch.stack(
        [
            (one & scored).flatten(1).sum(dim=1)
            for one in (found & there, ~found & there, found & ~there, ~found & ~there)
        ],
        dim=1,
    ).double()
    # A comparison with NaN is no prediction.
    broken = ~torch.isfinite(logits).flatten(1).all(dim=1, keepdim=True)
    return counts.masked_fill(broken, torch.nan)


def _known(targets: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return torch.ones_like(targets, dtype=torch.bool)
    return torch.broadcast_to(weights > 0, targets.shape)


def one_minus_share(statistics: Tensor) -> Tensor | None:
    """Return 1 - the share of pairs that are ranked rightly; None where there are no pairs."""
    right, pairs = statistics
    return 1 - right / pairs if pairs != 0 else None


def missed_pct(counts: Tensor) -> Tensor | None:
    """Return the share of the mask's pixels that are missed, in percent; None if it has none."""
    found, missed, _, _ = counts
    return 100 * missed / (found + missed) if found + missed != 0 else None


def balanced_error(counts: Tensor) -> Tensor | None:
    """Return the mean of the shares of missed and of falsely found pixels.

    That is 1 - the area under the ROC curve of predictions which are 0 or 1.
    """
    found, missed, false, left = counts
    if found + missed == 0 or false + left == 0:
        return None
    return (missed / (found + missed) + false / (false + left)) / 2


PIXEL_SCORES: tuple[
    tuple[str, Callable[..., Tensor], Literal["mean", "all"], Callable[[Tensor], Tensor | None]],
    ...,
] = (
    ("one_minus_auroc_pixels", ranked_pairs, "all", one_minus_share),
    # At NAS-Bench-360's threshold of the logit, a probability of 0.62.
    ("fnr_pct", partial(outcomes, threshold=0.5), "mean", missed_pct),
    # As it scores them itself, ignored pixels too.
    ("fnr_pct_all", partial(outcomes, threshold=0.5, ignored="counted"), "mean", missed_pct),
    # ORCA's, which it calls AUROC.
    (
        "one_minus_auroc_hard",
        partial(outcomes, threshold=0.0, ignored="negative"),
        "mean",
        balanced_error,
    ),
)
"""Name, statistics, how they are reduced, and what makes the score of them."""
