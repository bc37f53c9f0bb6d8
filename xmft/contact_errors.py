"""Errors of predicted distances between residues of a protein, in angstrom."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Pairs far apart in the sequence and close in space.
SEPARATION, CUTOFF = 24, 8.0
# A distance is at least so much; the benchmark's own floor.
_LEAST = 0.01


def clipped_squared_error(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " n"]:
    """Mean squared error of each sample against distances of at most 16 angstrom, weighted.

    Larger distances say little about a fold; the benchmark trains on what is clipped so, and
    scores what is not.
    """
    each = (prediction - target.clamp_max(16.0)).square()
    if weights is None:
        return each.flatten(1).mean(dim=1)
    shared = torch.broadcast_to(weights, each.shape).flatten(1)
    return (each.flatten(1) * shared).sum(dim=1) / shared.sum(dim=1).clamp_min(1e-8)


def close_pairs(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 2"]:
    """Mean absolute error over pairs that are 24 or more residues and 8 or fewer angstrom apart.

    The prediction for a pair is the mean of both triangles.

    Args:
        prediction: `[n, 1, residues, residues]`, of whole proteins.
        target: Likewise.
        weights: Likewise, 0 beyond the end of a protein.

    Returns:
        The error and 1; two zeros where a protein has no such pair.
    """
    return _over_pairs((prediction + prediction.transpose(2, 3)) / 2, target, weights)


def close_pairs_of_public_code(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 2"]:
    """As `close_pairs`, with the weights that public code gives to the two triangles.

    It averages the upper triangle with the lower one and then once more, which leaves a quarter of
    the upper and three quarters of the lower. Its mix-up of proteins' lengths is not repeated.
    """
    once = (prediction + prediction.transpose(2, 3)) / 2
    floored = once.clamp_min(_LEAST), prediction.transpose(2, 3).clamp_min(_LEAST)
    return _over_pairs((floored[0] + floored[1]) / 2, target, weights)


def _over_pairs(prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    places = torch.arange(target.shape[-1], device=target.device)
    counted = (places - places[:, None] >= SEPARATION) & (target <= CUTOFF)
    if weights is not None:
        counted = counted & (weights > 0)
    errors = (prediction.clamp_min(_LEAST) - target).abs().double() * counted
    count = counted.flatten(1).sum(dim=1)
    error = errors.flatten(1).sum(dim=1) / count.clamp_min(1)
    return torch.stack([error, (count > 0).double()], dim=1)


def mean_of_proteins(statistics: Tensor) -> Tensor | None:
    """Return the mean over proteins that have a pair; None where none has."""
    return statistics[0] / statistics[1] if statistics[1] > 0 else None
