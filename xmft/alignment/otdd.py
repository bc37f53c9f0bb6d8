"""ORCA's class-weighted dataset distance."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xmft.alignment.label_distances import exact_distances, gaussian_distances
from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.source_classes import SourceClasses, check_labels
from xmft.alignment.wasserstein import Points, at_least_float32, moved_cost

# Blur of the public code, absolute in the units of the cost.
_EPSILON = 0.1


def otdd(
    source: SourceClasses,
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    class_weights: Float[Tensor, " k"] | None = None,
    inner: Literal["gaussian", "exact"] = "gaussian",
) -> Float[Tensor, ""]:
    """Return ORCA's distance between a labelled source and a labelled batch of target features.

    sum_k w_k OT(source, F_k), F_k the features of target class k, with the ground cost
    |x - x'|^2 + W2^2(source class of x, F_k) of Alvarez-Melis and Fusi (2020), the label distance
    being that between Gaussians or between the samples. Both terms carry gradient to `features`.

    All of F_k has one label, hence the label term depends on the row of the cost only and cannot
    move the plan: OT(source, F_k) = W2^2(source, F_k) + the mean label distance over the source.

    Args:
        source: The prepared source.
        features: Target features `[n, d]`.
        labels: Target classes `[n]`, 0 to k - 1 where `class_weights` are given.
        class_weights: Share of each class in the whole data `[k]`, rescaled to sum to 1 over the
            classes of the batch; None for the shares in the batch.
        inner: Label distances between Gaussians or between the samples themselves.

    Raises:
        ValueError: the shapes do not fit, or a label has no weight.
        DivergedError: the features hold NaN or infinite values.
    """
    weights, groups = _by_class(at_least_float32(features), labels, class_weights)
    with torch.no_grad():
        squared = source.squared_distances(torch.cat(groups))
    blocks = squared.split([len(group) for group in groups], dim=1)
    groups = [source.moved(group) for group in groups]
    with torch.autocast(features.device.type, enabled=False):
        transport = torch.stack(
            [
                moved_cost(source.features, source.squares, group, block)
                for group, block in zip(groups, blocks, strict=True)
            ]
        )
        if inner == "gaussian":
            distances = gaussian_distances(source, groups)
        else:
            distances = exact_distances(source, groups, blocks)
    label_terms = (distances * source.shares).sum(1)
    return (weights * (transport + label_terms)).sum()


class EntropicClasses:
    """The labelled source features, prepared once for many calls of `entropic_otdd`.

    Attributes:
        whole: All features under the cost 1/2 |x - y|^2.
        classes: The features of each class under the cost |x - y|^2.
        shares: Share of each class `[c]`.
    """

    def __init__(self, features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> None:
        """Prepare source features `[n, d]` with labels `[n]` under the blur of the public code.

        Raises:
            ValueError: the shapes do not fit, or there is no sample.
            DivergedError: the features hold NaN or infinite values.
        """
        check_labels(features, labels)
        features, labels = at_least_float32(features.detach()), labels.to(features.device)
        groups = [features[labels == label] for label in labels.unique()]
        self.whole = Blurred(Points(features), epsilon=_EPSILON)
        self.classes = [Blurred(Points(group), epsilon=_EPSILON, scale=1.0) for group in groups]
        self.shares = features.new_tensor([len(group) for group in groups]) / len(features)


def entropic_otdd(
    source: EntropicClasses,
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Return the distance as the public code of ORCA has it, up to a constant of the source.

    sum_k w_k (S(source, F_k) + 1/2 sum_c share_c W_ck), with the debiased divergence S of the cost
    1/2 |x - x'|^2, and W_ck that of |x - x'|^2 between source class c and F_k, without gradient.
    What the label distances within the source add to its self term is left out: it is constant.
    Half of `otdd` with exact label distances as the blur goes to 0.

    Args:
        source: The prepared source.
        features: Target features `[n, d]`.
        labels: Target classes `[n]`, 0 to k - 1 where `class_weights` are given.
        class_weights: Share of each class in the whole data `[k]`, rescaled to sum to 1 over the
            classes of the batch; None for the shares in the batch.

    Raises:
        ValueError: the shapes do not fit, or a label has no weight.
        DivergedError: the features hold NaN or infinite values.
    """
    weights, groups = _by_class(at_least_float32(features), labels, class_weights)
    terms = []
    for group in groups:
        fixed = group.detach()
        distances = torch.stack([sinkhorn_divergence(part, fixed) for part in source.classes])
        label_term = (distances * source.shares).sum()
        terms.append(sinkhorn_divergence(source.whole, group) + label_term / 2)
    return (weights * torch.stack(terms)).sum()


def _by_class(
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    class_weights: Float[Tensor, " k"] | None,
) -> tuple[Float[Tensor, " present"], list[Float[Tensor, "_ d"]]]:
    """Return the weight and the features of each class that is there."""
    check_labels(features, labels)
    classes, labels, counts = labels.to(features.device).unique(
        return_inverse=True, return_counts=True
    )
    if class_weights is None:
        weights = counts.to(features)
    elif int(classes[0]) >= 0 and int(classes[-1]) < len(class_weights):
        weights = class_weights.to(features)[classes]
    else:
        raise ValueError(
            f"The labels {int(classes[0])}..{int(classes[-1])} do not fit "
            f"{len(class_weights)} class weights."
        )
    order = labels.argsort(stable=True)
    return weights / weights.sum(), list(features[order].split(counts.tolist()))
