"""Convolutions over whole fields that keep their grid, and two that start as nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xmft.padding import extended

CONVOLUTION: Mapping[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
"""By the number of axes."""
# Two layers of five points see four to each side: more than a border between patches is wide.
_KERNEL = 5
_HIDDEN = 32


class Around(nn.Module):
    """Fields lengthened on their periodic axes, so that a convolution sees what comes round.

    Attributes:
        ends: Points before and behind, by axis; none on axes that are not periodic.
        beyond: Points of zeros that the convolution itself has to add, by axis.
    """

    def __init__(self, axes: int, reach: int, periodic: Collection[int]) -> None:
        """Build.

        Args:
            axes: Axes of the grid.
            reach: Points that the convolution sees beyond an edge.
            periodic: Axes that are periodic.
        """
        super().__init__()
        self.periodic = tuple(periodic)
        mine = [reach if axis in self.periodic else 0 for axis in range(axes)]
        self.ends = [(points, points) for points in mine]
        self.beyond = tuple(reach - points for points in mine)

    def forward(self, fields: Tensor) -> Tensor:
        """Return `[n, channels, *grid]`."""
        return extended(fields, self.ends, self.periodic)


class ResidualConvolution(nn.Module):
    """Fields plus two layers of convolutions over them and, if there are any, fields beside them.

    The second layer starts at zero, so that a model starts as the one without.
    """

    def __init__(
        self, channels: int, axes: int, *, beside: int = 0, periodic: Collection[int] = ()
    ) -> None:
        """Build.

        Args:
            channels: Channels of the fields.
            axes: Axes of their grid, one or two.
            beside: Channels that are looked at as well.
            periodic: Axes on which what comes round is seen beyond the edges; else zeros.
        """
        super().__init__()
        convolution = CONVOLUTION[axes]
        self.around = Around(axes, _KERNEL // 2, periodic)
        padding = self.around.beyond
        self.enter = convolution(channels + beside, _HIDDEN, _KERNEL, padding=padding)
        self.leave = convolution(_HIDDEN, channels, _KERNEL, padding=padding)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, fields: Tensor, beside: Tensor | None = None) -> Tensor:
        """Return `[n, channels, *grid]`.

        Args:
            fields: `[n, channels, *grid]`.
            beside: `[n, beside, *grid]`.
        """
        seen = fields if beside is None else torch.cat([fields, beside], dim=1)
        hidden = functional.gelu(self.enter(self.around(seen)))
        change: Tensor = self.leave(self.around(hidden))
        return fields + change
