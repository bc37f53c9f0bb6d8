"""ORCA's class-weighted dataset distance with Gaussian label distances."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from xmft.alignment.wasserstein import at_least_float32, squared_distances, transport_plan

# Relative to the largest eigenvalue, in float64: above the rounding of the eigenvalues, so that
# the slope of the root stays finite, and far below what matters in the value.
_SMOOTHING = 1e-14


class SourceClasses:
    """The labelled source features, prepared once for many calls of `otdd`.

    Each class is a Gaussian whose covariance is shrunk towards a multiple of the identity by the
    rule of Ledoit and Wolf (2004), because classes have fewer samples than dimensions. The
    covariance is kept as its factor, `D_c^T D_c + ridge_c I`: no `d x d` matrix is ever needed.
    A class with one sample has zero covariance.

    Attributes:
        features: `[n, d]`, sorted by class and moved by `-center`.
        labels: `[n]`, contiguous class numbers of the rows of `features`.
        center: Mean of the source `[d]`.
        means: Class means `[c, d]`, moved like `features`.
        deviations: `[n, d]`; the rows of class c are the factor D_c.
        ridge: `[c]`, the part of each covariance along the identity.
        traces: `[c]`, traces of the covariances.
        counts: Samples of each class.
    """

    def __init__(self, features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> None:
        """Prepare source features `[n, d]` with labels `[n]`; any integers will do as labels.

        Raises:
            ValueError: the shapes do not fit, or there is no sample.
        """
        _check(features, labels)
        _, labels = labels.to(features.device).unique(return_inverse=True)
        self.labels, order = labels.sort(stable=True)
        features = at_least_float32(features.detach())[order]
        self.center = features.mean(0)
        self.features = features - self.center
        self.counts: list[int] = torch.bincount(self.labels).tolist()
        groups = self.features.split(self.counts)
        self.means = torch.stack([group.mean(0) for group in groups])
        deviations, ridge = [], []
        for group, mean in zip(groups, self.means, strict=True):
            factor, level = _shrunk_factor(group - mean)
            deviations.append(factor)
            ridge.append(level)
        self.deviations = torch.cat(deviations)
        self.ridge = self.features.new_tensor(ridge)
        spread = torch.stack([d.square().sum() for d in self.deviations.split(self.counts)])
        self.traces = spread + features.shape[1] * self.ridge

    def covariance(self, index: int) -> Float[Tensor, "d d"]:
        """Return the covariance `[d, d]` of one class; for inspection."""
        factor = self.deviations.split(self.counts)[index]
        return factor.T @ factor + self.ridge[index] * torch.eye(factor.shape[1]).to(factor)


def _check(features: Tensor, labels: Tensor) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(features) == 0:
        raise ValueError(
            "Expected features [n, d] and labels [n] with n > 0, found "
            f"{tuple(features.shape)} and {tuple(labels.shape)}."
        )


def _shrunk_factor(deviations: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], float]:
    """Return (D, r) with shrunk covariance D^T D + r I, for samples minus their mean."""
    n, d = deviations.shape
    if n < 2:
        return torch.zeros_like(deviations), 0.0
    array = deviations.cpu().double().numpy()
    shrinkage = float(ledoit_wolf_shrinkage(array, assume_centered=True))
    level = float(np.square(array).sum()) / (n - 1) / d
    return deviations * ((1 - shrinkage) / (n - 1)) ** 0.5, shrinkage * level


def _sum_of_roots(matrices: Float[Tensor, "*b n n"]) -> Float[Tensor, "*b"]:
    """Return tr sqrt(M) of positive semi-definite matrices with a bounded slope at rank loss.

    `eigvalsh` has a backward without eigenvalue gaps, so equal eigenvalues do no harm.
    """
    values = torch.linalg.eigvalsh(matrices).clamp_min(0)
    floor = _SMOOTHING * values.detach().amax(-1, keepdim=True) + 1e-30
    return ((values + floor).sqrt() - floor.sqrt()).sum(-1)


def _symmetric_root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def bures(
    mean1: Float[Tensor, " d"],
    cov1: Float[Tensor, "d d"],
    mean2: Float[Tensor, " d"],
    cov2: Float[Tensor, "d d"],
) -> Float[Tensor, ""]:
    """Return the squared 2-Wasserstein distance between two Gaussians, differentiable in all four.

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2)   (Dowson and Landau, 1982)

    Costs two to four eigen-decompositions of `d x d` matrices in float64 on the CPU; `otdd` uses
    the low rank of small batches instead.

    Args:
        mean1: `[d]`.
        cov1: `[d, d]`, symmetric positive semi-definite.
        mean2: `[d]`.
        cov2: `[d, d]`, symmetric positive semi-definite.
    """
    first, second = cov1.cpu().double(), cov2.cpu().double()
    # The trace is the same with the roles swapped. Each form is differentiated only in the
    # covariance that stands in the middle: no derivative of a matrix root is needed.
    root = _symmetric_root(first.detach())
    overlap = _sum_of_roots(root @ second @ root)
    if cov1.requires_grad:
        root = _symmetric_root(second.detach())
        swapped = _sum_of_roots(root @ first @ root)
        overlap = overlap + swapped - swapped.detach()
    spread = first.trace() + second.trace() - 2 * overlap
    return (mean1 - mean2).square().sum() + spread.to(mean1)


def otdd(
    source: SourceClasses,
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Return ORCA's distance between a labelled source and a labelled batch of target features.

    sum_k w_k OT(source, F_k), F_k the features of target class k, with the ground cost
    |x - x'|^2 + W2^2(N(source class of x), N(F_k)) of Alvarez-Melis and Fusi (2020), the label
    distance being that between Gaussians. Both terms carry gradient to `features`.

    All of F_k has one label, hence the label term depends on the row of the cost only and cannot
    move the plan: OT(source, F_k) = W2^2(source, F_k) + the mean label distance over the source.

    The released code of ORCA (`otdd` with debiased Sinkhorn, eps = 0.1) weighs both terms by 1/2,
    so its loss is half of this one as eps goes to 0, and detaches its (non-Gaussian) label term.

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
    _check(features, labels)
    features = at_least_float32(features)
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
    weights = weights / weights.sum()
    order = labels.argsort(stable=True)
    groups = (features - source.center)[order].split(counts.tolist())
    shares = features.new_tensor(source.counts) / len(source.features)
    with torch.autocast(features.device.type, enabled=False):
        transport = torch.stack(_transport_terms(source, groups))
        label_terms = _label_distances(source, groups) @ shares
    return (weights * (transport + label_terms)).sum()


def _transport_terms(
    source: SourceClasses, groups: tuple[Float[Tensor, "_ d"], ...]
) -> list[Float[Tensor, ""]]:
    """Return W2^2 between the whole source and each group.

    The source is constant, so with the barycentre z_j of the source mass sent to sample j
    sum_ij P_ij |x_i - y_j|^2 = mean_i |x_i|^2 - mean_j |z_j|^2 + mean_j |y_j - z_j|^2,
    where only the last term has a gradient, and it is as small as `n_k x d`.
    """
    x = source.features
    with torch.no_grad():
        cost = squared_distances(x, torch.cat(groups))
    size = x.square().sum(1).mean()
    terms = []
    for group, part in zip(groups, cost.split([len(g) for g in groups], dim=1), strict=True):
        plan = transport_plan(part).to(x)
        barycentres = len(group) * (plan.T @ x)
        hidden = size - barycentres.square().sum(1).mean()
        terms.append(hidden + (group - barycentres).square().sum(1).mean())
    return terms


def _label_distances(
    source: SourceClasses, groups: tuple[Float[Tensor, "_ d"], ...]
) -> Float[Tensor, "k c"]:
    """Return W2^2 between the Gaussians of each group and of each source class.

    With Y = F_k minus its mean, over sqrt(n_k - 1), the eigenvalues of C1^(1/2) Y^T Y C1^(1/2) are
    those of the small matrix Y C1 Y^T = (D Y^T)^T (D Y^T) + ridge Y Y^T.
    """
    means = torch.stack([group.mean(0) for group in groups])
    scaled = torch.cat(
        [
            (group - mean) / max(len(group) - 1, 1) ** 0.5
            for group, mean in zip(groups, means, strict=True)
        ]
    )
    sizes = [len(group) for group in groups]
    # One product for all classes on both sides. From here on float64 and CPU: the matrices are
    # small, and a root of rounding errors of float32 would be visible.
    projected = (source.deviations @ scaled.T).cpu().double().split(source.counts)
    ridge = source.ridge.cpu().double()[:, None, None]
    wide = scaled.cpu().double()
    overlaps, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        gram = torch.stack([block[:, part].T @ block[:, part] for block in projected])
        overlaps.append(_sum_of_roots(gram + ridge * (wide[part] @ wide[part].T)))
        start += size
    overlap = torch.stack(overlaps).to(scaled)
    traces = torch.stack([part.square().sum() for part in scaled.split(sizes)])
    return squared_distances(source.means, means).T + source.traces + traces[:, None] - 2 * overlap
