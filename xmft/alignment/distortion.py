"""Feature-label distortion: what the source labels of features say about the target labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xmft.alignment.wasserstein import at_least_float32
from xmft.seeding import generator


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


@dataclass(frozen=True, kw_only=True)
class ClassMemory:
    """Means of the source predictions over the latest samples of each target class.

    The mean of few samples is sharper than that of the class, so that a batch with few of each
    class seems to tell the classes apart whatever they are: with hard predictions of s source
    classes by about (s - 1) / (2 n) nats for n samples of a class. Here a class is forgotten in the
    share in which it is renewed, which leaves the weight of `samples` samples to it; classes that
    a batch is full of are the batch's alone.

    Attributes:
        sums: Weighted sum of the predictions of each class `[k, s]`, changed in place.
        counts: Sum of these weights `[k]`, changed in place.
        samples: Samples that the mean of a class is made of, once it has had as many.
    """

    sums: Float[Tensor, "k s"]
    counts: Float[Tensor, " k"]
    samples: int

    def renewed(
        self, sums: Float[Tensor, "k s"], counts: Float[Tensor, " k"]
    ) -> tuple[Float[Tensor, "k s"], Float[Tensor, " k"]]:
        """Take in a batch; return the means and how much is behind each, 0 where nothing is.

        The means have the gradient of the batch's own, in full: what is minimised is a function of
        the means over the data, of which the running ones are the better estimate and the batch's
        the better derivative (stochastic compositional gradient: Wang, Fang and Liu, 2017).

        Args:
            sums: Sum of the predictions of each class in the batch.
            counts: Its samples of each class.
        """
        batch = sums / counts.clamp_min(1)[:, None]
        with torch.no_grad():
            kept = (1 - counts / self.samples).clamp_min(0)
            self.sums.mul_(kept[:, None]).add_(sums.detach())
            self.counts.mul_(kept).add_(counts)
            means = self.sums / self.counts.clamp_min(torch.finfo(counts.dtype).tiny)[:, None]
            missing = means.to(batch) - batch
        return batch + missing, self.counts.clone()


def feature_label_distortion(
    source_probabilities: Float[Tensor, "n s"],
    target_labels: Int64[Tensor, " n"],
    class_weights: Float[Tensor, " k"],
    memory: ClassMemory | None = None,
) -> Distortion:
    """Return H(Z'|Z) for the joint distribution P(z', z) = w_z' pbar_z'(z).

    H(Z'|Z) = sum_k w_k H(pbar_k) - H(sum_k w_k pbar_k) + H(Z'), with pbar_k the mean of the source
    predictions p_s(z | u) over the samples of target class k. The released code of RECRAFT
    minimises the first term alone, which a constant prediction brings to 0; the second forbids it.

    Args:
        source_probabilities: Predictions of the source classes `[n, s]`; rows sum to 1.
        target_labels: Target classes `[n]`, 0 to k - 1.
        class_weights: Share of each target class `[k]`, rescaled to sum to 1 over the classes that
            occur in `target_labels` or in the memory.
        memory: Earlier samples that count as well, with these from now on; None: these alone.

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
    with torch.autocast(members.device.type, enabled=False):
        sums = members.T @ source_probabilities
        if memory is None:
            means = sums / counts.clamp_min(1)[:, None]
        else:
            means, counts = memory.renewed(sums, counts)
        weights = class_weights.to(source_probabilities) * (counts > 0)
        weights = weights / weights.sum()
        marginal = entropy(weights @ means)
    source_given_target = (weights * entropy(means)).sum()
    target = entropy(weights)
    return Distortion(
        conditional=source_given_target - marginal + target,
        source_given_target=source_given_target,
        marginal=marginal,
        target=target,
    )


def chance_distortion(
    source_probabilities: Float[Tensor, "n s"],
    target_labels: Int64[Tensor, " n"],
    class_weights: Float[Tensor, " k"],
    draws: int = 16,
) -> Float[Tensor, ""]:
    """Return the H(Z'|Z) that these samples would show if the labels said nothing of them.

    It is the mean over seeded shuffles of the labels. With endless samples it would be H(Z'); what
    it is less is the bias of the estimate, and what `feature_label_distortion` is less than it is
    information.

    Args:
        source_probabilities: As in `feature_label_distortion`.
        target_labels: Likewise.
        class_weights: Likewise.
        draws: Shuffles.
    """
    orders = [generator("chance", draw).permutation(len(target_labels)) for draw in range(draws)]
    found = [
        feature_label_distortion(
            source_probabilities,
            target_labels[torch.from_numpy(order).to(target_labels.device)],
            class_weights,
        ).conditional
        for order in orders
    ]
    return torch.stack(found).mean()
