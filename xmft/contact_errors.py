"""Errors of predicted distances between residues of a protein, in angstrom."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.errors import RequestError

# Pairs far apart in the sequence and close in space.
SEPARATION, CUTOFF = 24, 8.0
# A distance is at least so much; the benchmark's own floor.
_LEAST = 0.01
# Distances beyond are as good as this one in training, and residues beyond the canvas of public
# code are not scored by it.
_FAR, _CANVAS = 16.0, 512


def clipped_squared_error(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " n"]:
    """Mean squared error of each sample against distances of at most 16 angstrom, weighted.

    Larger distances say little about a fold; the benchmark trains on what is clipped so, and
    scores what is not.
    """
    each = (prediction - target.clamp_max(_FAR)).square()
    if weights is None:
        return each.flatten(1).mean(dim=1)
    shared = torch.broadcast_to(weights, each.shape).flatten(1)
    return (each.flatten(1) * shared).sum(dim=1) / shared.sum(dim=1).clamp_min(1e-8)


def clipped_squared_error_everywhere(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, " n"]:
    """As `clipped_squared_error`, but what is beyond the end of a protein counts as far away.

    Public code fills its squares up with distances of 100 angstrom, clips these too, and means
    over all of a square.
    """
    if weights is not None:
        target = torch.where(weights > 0, target, _FAR)
    return clipped_squared_error(prediction, target)


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
    return _over_pairs((prediction + _other_triangle(prediction)) / 2, target, weights)


def close_pairs_of_public_code(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 2"]:
    """As `close_pairs`, with the weights that public code gives to the two triangles."""
    return _over_pairs(_twice_averaged(prediction), target, weights)


def columns_of_public_code(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> Float[Tensor, "n 512 3"]:
    """What public code scores, apart for each residue as the later one of a pair.

    Args:
        prediction: See `close_pairs`.
        target: Likewise.
        weights: Likewise.

    Returns:
        Sum of the errors, number of pairs, and 1 where the protein has the residue. Residues
        beyond 512 are left out, as that code has no room for them.
    """
    errors, counted = _errors(_twice_averaged(prediction), target, weights)
    inside = torch.ones_like(counted) if weights is None else (weights > 0).expand_as(counted)
    columns = [errors.sum(dim=(1, 2)), counted.sum(dim=(1, 2)), inside.any(dim=2).any(dim=1)]
    room = (0, _CANVAS - target.shape[-1])
    return functional.pad(torch.stack([column.double() for column in columns], dim=1), room).mT


def mean_of_leading_blocks(statistics: Tensor) -> Tensor | None:
    """Return the mean over proteins of the mean error in their first L x L pairs, or None.

    L is the length of the *first* protein of the list, whichever is scored: public code passes
    proteins one by one to a function that takes the one it gets for the first. That code has no
    number for a protein without a pair in the block; here it is left out.

    Args:
        statistics: `[n, 512, 3]` from `columns_of_public_code`, in the order of the list.
    """
    length = int(statistics[0, :, 2].sum())
    # Of a pair the later residue is in the block or not; the other one comes before it.
    error, count = statistics[:, :length, :2].sum(dim=1).unbind(dim=1)
    scored = count > 0
    return (error[scored] / count[scored]).mean() if scored.any() else None


def _twice_averaged(prediction: Tensor) -> Tensor:
    """Average both triangles as public code does.

    It averages the upper triangle with the lower one and then once more, which leaves a quarter of
    the upper and three quarters of the lower.
    """
    other = _other_triangle(prediction)
    once = ((prediction + other) / 2).clamp_min(_LEAST)
    return (once + other.clamp_min(_LEAST)) / 2


def _other_triangle(prediction: Tensor) -> Tensor:
    if prediction.ndim != 4 or prediction.shape[2] != prediction.shape[3]:
        raise RequestError(
            "Distances between residues are scored on squares, but the predictions have the shape "
            f"{tuple(prediction.shape)}. Choose another metric than 'mae8' for this task."
        )
    return prediction.mT


def _over_pairs(prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    errors, counted = _errors(prediction, target, weights)
    count = counted.flatten(1).sum(dim=1)
    error = errors.flatten(1).sum(dim=1) / count.clamp_min(1)
    return torch.stack([error, (count > 0).double()], dim=1)


def _errors(prediction: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the absolute errors of the pairs that are scored, 0 elsewhere, and which they are."""
    places = torch.arange(target.shape[-1], device=target.device)
    counted = (places - places[:, None] >= SEPARATION) & (target <= CUTOFF)
    if weights is not None:
        counted = counted & (weights > 0)
    return (prediction.clamp_min(_LEAST) - target).abs().double() * counted, counted


def mean_of_proteins(statistics: Tensor) -> Tensor | None:
    """Return the mean over proteins that have a pair; None where none has."""
    return statistics[0] / statistics[1] if statistics[1] > 0 else None
