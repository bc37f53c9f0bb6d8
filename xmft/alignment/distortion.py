"""Feature-label distortion: what the source labels of features say about the target labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xmft.alignment.wasserstein import at_least_float32


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """The conditional entropy H(Z'|Z) and its three parts, scalars in nats.

    conditional = source_given_target - marginal + target

    Attributes:
        conditional: H(Z'|Z), what remains unknown of the target label; the quantity to minimise.
        source_given_target: H(Z|Z') = sum_k w_k H(pbar_k).
        marginal: H(Z) = H(sum_k w_k pbar_k); falls with a collapse onto one source class.
        target: H(Z'), constant for a given choice of classes.
    """

    conditional: Float[Tensor, ""]
    source_given_target: Float[Tensor, ""]
    marginal: Float[Tensor, ""]
    target: Float[Tensor, ""]


def entropy(probabilities: Float[Tensor, "*b c"]) -> Float[Tensor, "*b"]:
    """Return the entropy in nats over the last axis; 0 log 0 is 0, with a finite gradient."""
    tiny = torch.finfo(probabilities.dtype).tiny
    return -(probabilities * probabilities.clamp_min(tiny).log()).sum(-1)


def feature_label_distortion(
    source_probabilities: Float[Tensor, "n s"],
    target_labels: Int64[Tensor, " n"],
    class_weights: Float[Tensor, " k"],
) -> Distortion:
    """Return H(Z'|Z) for the joint distribution P(z', z) = w_z' pbar_z'(z).

    H(Z'|Z) = sum_k w_k H(pbar_k) - H(sum_k w_k pbar_k) + H(Z'), with pbar_k the mean of the source
    predictions p_s(z | u) over the samples of target class k. The released code of RECRAFT
    minimises the first term alone, which a constant prediction brings to 0; the second forbids it.

    Args:
        source_probabilities: Predictions of the source classes `[n, s]`; rows sum to 1.
        target_labels: Target classes `[n]`, 0 to k - 1.
        class_weights: Share of each target class `[k]`, rescaled to sum to 1 over the classes that
            occur in `target_labels`.

    Returns:
        The distortion with its parts; `conditional` is non-negative up to rounding.

    Raises:
        ValueError: the shapes do not fit, or a label is outside of the weights.

    Source: feature-label distortion, Eq. 7 of RECRAFT (arXiv 2601.18231), as a conditional entropy.
    """
    n, k = len(source_probabilities), len(class_weights)
    if source_probabilities.ndim != 2 or target_labels.shape != (n,) or n == 0:
        raise ValueError(
            "Expected probabilities [n, s] and labels [n] with n > 0, found "
            f"{tuple(source_probabilities.shape)} and {tuple(target_labels.shape)}."
        )
    if target_labels.min() < 0 or target_labels.max() >= k:
        raise ValueError(
            f"The labels {int(target_labels.min())}..{int(target_labels.max())} do not fit "
            f"{k} class weights."
        )
    source_probabilities = at_least_float32(source_probabilities)
    members = torch.nn.functional.one_hot(target_labels, k).to(source_probabilities)
    counts = members.sum(0)
    present = counts > 0
    weights = class_weights.to(source_probabilities) * present
    weights = weights / weights.sum()
    with torch.autocast(members.device.type, enabled=False):
        means = (members.T @ source_probabilities) / counts.clamp_min(1)[:, None]
        marginal = entropy(weights @ means)
    source_given_target = (weights * entropy(means)).sum()
    target = entropy(weights)
    return Distortion(
        conditional=source_given_target - marginal + target,
        source_given_target=source_given_target,
        marginal=marginal,
        target=target,
    )
