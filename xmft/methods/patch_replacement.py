"""Tokens of a source in the place of tokens of the target, chosen by a gate (PaRe)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Replaced = Literal["lowest", "highest"]
Relaxation = Literal["entropic", "iterated"]

# Each step halves the interval; what is left is below the rounding of float32.
_HALVINGS = 40


def top_k(scores: Float[Tensor, "n t"], k: int) -> Bool[Tensor, "n t"]:
    """Mark the k largest scores of each row; of equal ones the earlier.

    Raises:
        ValueError: k is negative or larger than a row.
    """
    if not 0 <= k <= scores.shape[1]:
        raise ValueError(f"Cannot choose {k} of {scores.shape[1]} tokens.")
    order = scores.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, order[:, :k], True)


def relaxed_top_k(scores: Float[Tensor, "n t"], k: int, temperature: float) -> Float[Tensor, "n t"]:
    """Return degrees of being among the k largest: in (0, 1), with the sum k in each row.

    They are sigmoid((s - c) / temperature), where c makes the sum k: what maximises <s, m> plus
    temperature times the binary entropy of m. The gradient is that of the whole map, c included.

    Args:
        scores: Finite scores.
        k: How many; with none or all of a row the degrees are constant.
        temperature: As it goes to 0, the degrees go to `top_k`.

    Raises:
        ValueError: k is negative or larger than a row.
    """
    tokens = scores.shape[1]
    if not 0 <= k <= tokens:
        raise ValueError(f"Cannot choose {k} of {tokens} tokens.")
    if k in (0, tokens):
        return torch.full_like(scores, float(k > 0)) + 0 * scores
    with torch.no_grad():
        # At these ends every degree is above or below k / tokens.
        shift = temperature * math.log(k / (tokens - k))
        low = scores.amin(dim=1, keepdim=True) - shift
        high = scores.amax(dim=1, keepdim=True) - shift
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            many = ((scores - middle) / temperature).sigmoid().sum(dim=1, keepdim=True) > k
            low, high = torch.where(many, middle, low), torch.where(many, high, middle)
        centre = (low + high) / 2
        degrees = ((scores - centre) / temperature).sigmoid()
        slope = (degrees * (1 - degrees)).sum(dim=1, keepdim=True)
        tiny = torch.finfo(scores.dtype).tiny
    # One Newton step from the solution: it moves nothing, and carries the gradient of c.
    excess = ((scores - centre) / temperature).sigmoid().sum(dim=1, keepdim=True) - k
    centre = centre + temperature * excess / slope.clamp_min(tiny)
    return ((scores - centre) / temperature).sigmoid()


def iterated_top_k(
    scores: Float[Tensor, "n t"], k: int, temperature: float
) -> Float[Tensor, "n t"]:
    """Return degrees of being among the k largest as the sum of k softmaxes, one after the other.

    Each takes one token, softly, and what it has taken is masked for the next by log(1 - taken).

    Args:
        scores: Finite scores.
        k: How many.
        temperature: Of the softmaxes.

    Raises:
        ValueError: k is negative or larger than a row.

    Source: Xie and Ermon (IJCAI 2019), as in the public code of PaRe.
    """
    if not 0 <= k <= scores.shape[1]:
        raise ValueError(f"Cannot choose {k} of {scores.shape[1]} tokens.")
    tiny = torch.finfo(scores.dtype).tiny
    degrees, taken = 0 * scores, torch.zeros_like(scores)
    for _ in range(k):
        scores = scores + (1 - taken).clamp_min(tiny).log()
        taken = (scores / temperature).softmax(dim=1)
        degrees = degrees + taken
    return degrees


def replace_tokens(
    target: Float[Tensor, "n t d"],
    source: Float[Tensor, "n s d"],
    target_gate: Float[Tensor, "n t"],
    source_gate: Float[Tensor, "n s"],
    k: int,
    *,
    replaces: Replaced = "lowest",
    temperature: float | None = None,
    relaxation: Relaxation = "entropic",
) -> Float[Tensor, "n t d"]:
    """Put the k source tokens of the highest gate where the target has its lowest.

    The tokens go over in their own order and carry the positions that their embedding gave them.

    Args:
        target: Tokens of the target.
        source: Tokens of the source.
        target_gate: Gate of each target token, with noise if the choice is to be random.
        source_gate: Gate of each source token, likewise.
        k: Tokens exchanged, at most min(t, s).
        replaces: Which target tokens make room.
        temperature: None: the gate only chooses, and gets no gradient. Otherwise a token that
            stays is multiplied by 1, but with the gradient of its degree in `relaxed_top_k`
            (straight through), and the gate learns.
        relaxation: Where there is a temperature, whose degrees: of `relaxed_top_k`, or of
            `iterated_top_k`, which then choose as well.

    Returns:
        The mixed tokens, as many as the target has.

    Raises:
        ValueError: k is larger than one of the two sequences.

    Source: patch replacement of PaRe (ICML 2024).
    """
    sign, keep = 1 if replaces == "lowest" else -1, target.shape[1] - k
    of_target, of_source = sign * target_gate, source_gate
    if temperature is not None:
        relaxed = relaxed_top_k if relaxation == "entropic" else iterated_top_k
        of_target, of_source = (
            relaxed(of_target, keep, temperature),
            relaxed(source_gate, k, temperature),
        )
    iterated = temperature is not None and relaxation == "iterated"
    stays = top_k(of_target if iterated else sign * target_gate, keep)
    comes = top_k(of_source if iterated else source_gate, k)
    # Stable: places and tokens keep their order. They are equally many in each row.
    places = (~stays).int().argsort(dim=1, descending=True, stable=True)[:, :k, None]
    tokens = comes.int().argsort(dim=1, descending=True, stable=True)[:, :k, None]
    if temperature is None:
        kept = target * stays[..., None]
    else:
        kept = target * _straight_through(stays, of_target)[..., None]
        source = source * _straight_through(comes, of_source)[..., None]
    width = target.shape[2]
    moved = source.gather(1, tokens.expand(-1, -1, width)).to(kept.dtype)
    return kept.scatter_add(1, places.expand(-1, -1, width), moved)


def _straight_through(chosen: Tensor, degrees: Tensor) -> Tensor:
    """Return 0 and 1 with the gradient of `degrees`."""
    # In this order the difference is exactly 0.
    return chosen.to(degrees.dtype) + (degrees - degrees.detach())
