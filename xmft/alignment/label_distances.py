"""Distances between a class of the source and a class of the target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.alignment.source_classes import SourceClasses
from xmft.alignment.wasserstein import moved_cost, squared_distances

# Relative to the largest eigenvalue, in float64: above the rounding of the eigenvalues, so that
# the slope of the root stays finite, and far below what matters in the value.
_SMOOTHING = 1e-14


def _sum_of_roots(matrices: Float[Tensor, "*b n n"]) -> Float[Tensor, "*b"]:
    """Return tr sqrt(M) of positive semi-definite matrices with a bounded slope at rank loss.

    `eigvalsh` has a backward without eigenvalue gaps, so equal eigenvalues do no harm.
    """
    values = torch.linalg.eigvalsh(matrices).clamp_min(0)
    floor = _SMOOTHING * values.detach().amax(-1, keepdim=True) + 1e-30
    return ((values + floor).sqrt() - floor.sqrt()).sum(-1)


def gaussian_distances(
    source: SourceClasses, groups: Sequence[Float[Tensor, "_ d"]]
) -> Float[Tensor, "k c"]:
    """Return W2^2 between the Gaussians of each group and of each source class.

    With Y = F_k minus its mean, over sqrt(n_k - 1), the eigenvalues of C1^(1/2) Y^T Y C1^(1/2) are
    those of the small matrix Y C1 Y^T = (D Y^T)^T (D Y^T) + ridge Y Y^T.

    Args:
        source: The prepared source.
        groups: Target features `[n_k, d]`, moved like the source.
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


def exact_distances(
    source: SourceClasses,
    groups: Sequence[Float[Tensor, "_ d"]],
    squared: Sequence[Float[Tensor, "n _"]],
) -> Float[Tensor, "k c"]:
    """Return W2^2 between the samples of each group and of each source class, by exact transport.

    Args:
        source: The prepared source.
        groups: Target features `[n_k, d]`, moved like the source.
        squared: Squared distances of the source from each group `[n, n_k]`, without gradient.
    """
    sides = list(
        zip(source.features.split(source.counts), source.squares.split(source.counts), strict=True)
    )
    rows = []
    for group, block in zip(groups, squared, strict=True):
        parts = zip(sides, block.split(source.counts), strict=True)
        rows.append(torch.stack([moved_cost(*side, group, part) for side, part in parts]))
    return torch.stack(rows)
