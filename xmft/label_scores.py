"""Losses and scores of predicted labels, from logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.errors import DataError


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " n"]:
    """Cross-entropy of each sample, natural logarithm, times its weight `[n]`."""
    each = functional.cross_entropy(logits, labels, reduction="none")
    return each if weights is None else each * weights


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, *, positive: float = 1.0
) -> Float[Tensor, " n"]:
    """Binary cross-entropy of each sample, mean over its labels or points, natural logarithm.

    With weights, the mean is a weighted one.

    Args:
        logits: `[n, ...]`.
        targets: The same shape, of 0 and 1.
        weights: Of that shape, or one that broadcasts to it.
        positive: What the terms of the labels that are there are multiplied with; rare ones are
            missed too easily otherwise. The mean is not divided by it.
    """
    each = functional.binary_cross_entropy_with_logits(
        logits,
        targets,
        reduction="none",
        pos_weight=None if positive == 1 else logits.new_tensor(positive),
    )
    if weights is None:
        return each.flatten(1).mean(dim=1)
    shared = torch.broadcast_to(weights, targets.shape).flatten(1)
    return (each.flatten(1) * shared).sum(dim=1) / shared.sum(dim=1).clamp_min(1e-8)


def error_pct(logits: Tensor, labels: Tensor) -> Float[Tensor, " n"]:
    """0-1 error in percent: 100 where the largest logit is not the label's."""
    return (logits.argmax(dim=1) != labels).to(torch.float32) * 100


def label_error_pct(logits: Tensor, targets: Tensor) -> Float[Tensor, " n"]:
    """Share of wrong labels of each sample in percent; a label is given where its logit is above 0.

    Args:
        logits: `[n, labels]`.
        targets: `[n, labels]` of 0 and 1.
    """
    return ((logits > 0) != (targets > 0)).to(torch.float32).mean(dim=1) * 100


def label_auroc(logits: Tensor, targets: Tensor) -> Float[Tensor, " labels"]:
    """Area under the ROC curve of each label over a whole split, by scikit-learn.

    A label that all or none of the samples have has no curve, and is left out.

    Args:
        logits: `[n, labels]`, of all samples.
        targets: `[n, labels]` of 0 and 1.

    Raises:
        DataError: no label has a curve.
    """
    from sklearn.metrics import roc_auc_score

    return _of_labels(roc_auc_score, logits, targets, least_negatives=1)


def label_average_precision(logits: Tensor, targets: Tensor) -> Float[Tensor, " labels"]:
    """Average precision of each label over a whole split, by scikit-learn.

    A label that no sample has is left out; arguments and errors as `label_auroc`.
    """
    from sklearn.metrics import average_precision_score

    return _of_labels(average_precision_score, logits, targets, least_negatives=0)


def class_f1(logits: Tensor, labels: Tensor) -> Float[Tensor, " classes"]:
    """F1 score of each class over a whole split, by scikit-learn; 0 for one that is never right.

    Args:
        logits: `[n, classes]`, of all samples.
        labels: `[n]`.
    """
    from sklearn.metrics import f1_score

    scores = f1_score(
        labels.numpy(),
        logits.argmax(dim=1).numpy(),
        labels=range(logits.shape[1]),
        average=None,
        zero_division=0.0,
    )
    return torch.from_numpy(scores)


def one_minus_mean(scores: Tensor) -> Tensor:
    """Return what is missing to 1 in the mean, so that less is better."""
    return 1 - scores.mean()


def _of_labels(
    score: Callable[..., float], logits: Tensor, targets: Tensor, *, least_negatives: int
) -> Tensor:
    """Score label by label; NaN where a logit is."""
    if not torch.isfinite(logits).all():
        return torch.full((1,), torch.nan)
    positives = (targets > 0).sum(dim=0)
    known = (positives > 0) & (len(targets) - positives >= least_negatives)
    if not known.any():
        raise DataError(
            f"None of {targets.shape[1]} labels is there in some of the {len(targets)} samples and "
            "missing in others, so that none can be scored. Use more samples."
        )
    # Logits, not probabilities: large ones would tie in floating point.
    columns = zip(targets.T[known].numpy() > 0, logits.T[known].numpy(), strict=True)
    return torch.tensor([score(truth, logit) for truth, logit in columns], dtype=torch.float64)
