"""Fields made a little longer, so that their grid divides, and cut again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional

Padding = Literal["zeros", "circular"]


def pad_to_multiple(fields: Tensor, factor: int, padding: Padding) -> Tensor:
    """Lengthen the axes of `[n, channels, *grid]` at their end to the next multiple of `factor`.

    The added points repeat the field from its start where it is periodic, else its last value.
    """
    missing = [-length % factor for length in fields.shape[2:]]
    if not any(missing):
        return fields
    mode = "circular" if padding == "circular" else "replicate"
    return functional.pad(fields, _ends(missing), mode=mode)


def _ends(missing: Sequence[int]) -> list[int]:
    """Write points to add at the end of each axis as `functional.pad` wants it, last axis first."""
    return [points for count in reversed(missing) for points in (0, count)]


def cut(fields: Tensor, grid: Sequence[int]) -> Tensor:
    """Undo `pad_to_multiple`: keep the first points of each axis of `[n, channels, *grid]`."""
    for axis, length in enumerate(grid, start=2):
        fields = fields.narrow(axis, 0, length)
    return fields
