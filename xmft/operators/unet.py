"""A U-Net on one or two grid axes."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from xmft.convolutions import CONVOLUTION, Around
from xmft.padding import cut, pad_to_multiple

_UP: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_POOL: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_GROUPS = 8
_KERNEL = 3


class UNet(nn.Module):
    """Convolutions on ever coarser grids and back, with a bridge on each level.

    Each block is twice a convolution over 3 points per axis, normalisation and GELU; levels are
    joined by max-pooling and transposed convolutions, and features double from level to level, as
    in the U-Net of PDEBench (Ronneberger et al., 2015). Two things differ from it: groups are
    normalised instead of batches, so that a prediction depends on its own sample alone and small
    batches are no handicap, with a path past the norm, which would not see how large a field is;
    and the activation is not tanh.

    Grids need not divide by two: axes are padded at their end to the next multiple and cut
    afterwards. A small grid has fewer levels, so that the coarsest keeps two points per axis.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        grid: tuple[int, ...],
        *,
        features: int,
        levels: int,
        periodic: Collection[int] = (),
    ) -> None:
        """Build.

        Args:
            channels: Channels of inputs and outputs.
            grid: Points per axis, one or two axes.
            features: Features of the finest level.
            levels: How often the grid is halved, at most.
            periodic: Axes on which convolutions see what comes round beyond the edges; else zeros.
        """
        super().__init__()
        self.periodic = tuple(periodic)
        axes = len(grid)
        self.levels = min(levels, max(0, int(math.log2(min(grid))) - 1))
        widths = [features * 2**level for level in range(self.levels + 1)]
        starts = [channels[0], *widths[:-1]]
        self.down = nn.ModuleList(
            _block(axes, start, width, periodic)
            for start, width in zip(starts, widths, strict=True)
        )
        self.pool = _POOL[axes](2)
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.finer = nn.ModuleList(
            _UP[axes](coarse, fine, kernel_size=2, stride=2) for coarse, fine in rising
        )
        self.up = nn.ModuleList(_block(axes, 2 * fine, fine, periodic) for _, fine in rising)
        self.out = CONVOLUTION[axes](features, channels[1], kernel_size=1)

    def forward(self, fields: Tensor) -> Tensor:
        """Return `[n, channels, *grid]`."""
        grid = fields.shape[2:]
        x = pad_to_multiple(fields, 2**self.levels, self.periodic)
        bridges = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            bridges.append(x)
        bridges.pop()
        for step, block in zip(self.finer, self.up, strict=True):
            x = block(torch.cat([bridges.pop(), step(x)], dim=1))
        output: Tensor = self.out(x)
        return cut(output, grid)


class _Normalised(nn.Module):
    """Features normalised in groups, and behind the norm as they were, each by a gain of its own.

    The norm alone gives the same for three times the field; how far a shock has come depends on it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(_GROUPS, width), width)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        normalised: Tensor = self.norm(features)
        return normalised + self.gain.reshape(-1, *[1] * (features.ndim - 2)) * features


def _block(axes: int, start: int, width: int, periodic: Collection[int]) -> nn.Sequential:
    layers: dict[str, nn.Module] = {}
    around = Around(axes, _KERNEL // 2, periodic)
    for part, channels in enumerate((start, width)):
        if periodic:
            layers[f"around{part}"] = around
        of_part = [
            # No bias: the normalisation has one.
            CONVOLUTION[axes](channels, width, _KERNEL, padding=around.beyond, bias=False),
            _Normalised(width),
            nn.GELU(),
        ]
        # Parameters have the same names whatever is beyond the edges.
        layers |= {str(len(of_part) * part + place): layer for place, layer in enumerate(of_part)}
    return nn.Sequential(OrderedDict(layers))
