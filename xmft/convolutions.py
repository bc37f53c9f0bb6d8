"""Small convolutions over whole fields, which start as nothing: a stem, and a refinement."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
# Two layers of five points see four to each side: more than a border between patches is wide.
_KERNEL = 5
_HIDDEN = 32


class ResidualConvolution(nn.Module):
    """Fields plus two layers of convolutions over them and, if there are any, fields beside them.

    The second layer starts at zero, so that a model starts as the one without. Beyond the edge
    there are zeros.
    """

    def __init__(self, channels: int, axes: int, *, beside: int = 0) -> None:
        """Build.

        Args:
            channels: Channels of the fields.
            axes: Axes of their grid, one or two.
            beside: Channels that are looked at as well.
        """
        super().__init__()
        convolution, edge = _CONV[axes], _KERNEL // 2
        self.enter = convolution(channels + beside, _HIDDEN, _KERNEL, padding=edge)
        self.leave = convolution(_HIDDEN, channels, _KERNEL, padding=edge)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, fields: Tensor, beside: Tensor | None = None) -> Tensor:
        """Return `[n, channels, *grid]`.

        Args:
            fields: `[n, channels, *grid]`.
            beside: `[n, beside, *grid]`.
        """
        seen = fields if beside is None else torch.cat([fields, beside], dim=1)
        change: Tensor = self.leave(functional.gelu(self.enter(seen)))
        return fields + change
