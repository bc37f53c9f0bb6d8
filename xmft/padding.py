"""What lies beyond the edges of fields: what comes round on periodic axes, or zeros, or the rim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Elsewhere = Literal["constant", "replicate"]


def extended(
    fields: Tensor,
    ends: Sequence[tuple[int, int]],
    periodic: Collection[int] = (),
    *,
    elsewhere: Elsewhere = "constant",
) -> Tensor:
    """Lengthen the axes of `[n, channels, *grid]` on both ends, by any number of points.

    Args:
        fields: Fields.
        ends: Points to add before and behind, by axis.
        periodic: Axes on which the field goes on from its other end.
        elsewhere: What is beyond the others: zeros (`constant`), or the last value (`replicate`).
    """
    still = [(0, 0) if axis in periodic else end for axis, end in enumerate(ends)]
    if any(map(any, still)):
        flat = [points for end in reversed(still) for points in end]  # the last axis first
        fields = functional.pad(fields, flat, mode=elsewhere)
    for axis in periodic:
        fields = _wrapped(fields, axis + 2, *ends[axis])
    return fields


def _wrapped(fields: Tensor, dim: int, before: int, behind: int) -> Tensor:
    if not (before or behind):
        return fields
    length = fields.shape[dim]
    pieces, place, end = [], -before, length + behind
    while place < end:
        start = place % length
        points = min(length - start, end - place)
        pieces.append(fields.narrow(dim, start, points))
        place += points
    return torch.cat(pieces, dim=dim)


def pad_to_multiple(fields: Tensor, factor: int, periodic: Collection[int] = ()) -> Tensor:
    """Lengthen the axes of `[n, channels, *grid]` at their end to the next multiple of `factor`.

    The added points repeat the field from its start on axes where it is periodic, else its last
    value.
    """
    missing = [(0, -length % factor) for length in fields.shape[2:]]
    return extended(fields, missing, periodic, elsewhere="replicate")


def cut(fields: Tensor, grid: Sequence[int]) -> Tensor:
    """Undo `pad_to_multiple`: keep the first points of each axis of `[n, channels, *grid]`."""
    for axis, length in enumerate(grid, start=2):
        fields = fields.narrow(axis, 0, length)
    return fields
