"""Distances between two sets of features that need no transport."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.alignment.wasserstein import Points

# Widths of the kernels, in units of the mean squared distance.
_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Return the squared maximum mean discrepancy, mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    k is the sum of five Gaussian kernels exp(-|a - b|^2 / width), each twice as wide as the one
    before, around the mean squared distance between two different samples of both sets together,
    which is held fixed for the gradient. Means run over all pairs, so equal sets give 0.

    Args:
        x: Features `[n, d]`.
        y: Features `[m, d]`.

    Returns:
        A scalar of float32 or better, at least 0 up to rounding.

    Raises:
        ValueError: the shapes do not fit.

    Source: Gretton et al. (JMLR 2012); kernels of Long et al. (ICML 2015).
    """
    both = torch.cat([x, y])
    squared = Points(both).squared_distances(both)
    n, pairs = len(x), len(both) * (len(both) - 1)
    # Coinciding samples have no width; any will do for distances of 0.
    unit = (squared.detach().sum() / pairs).clamp_min(torch.finfo(squared.dtype).tiny)
    kernel = torch.stack([torch.exp(-squared / (unit * width)) for width in _WIDTHS]).sum(0)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def mean_distance(points: Points, y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Return the mean of |x_i - y_j| over all pairs of two sets of features.

    Args:
        points: The one set, prepared.
        y: Features `[m, d]`.

    Raises:
        ValueError: the shapes do not fit.
    """
    squared = points.squared_distances(y)
    # The slope of the root is infinite at 0; below rounding errors of the squares it is cut off.
    floor = torch.finfo(squared.dtype).eps * points.squares.mean()
    return squared.clamp_min(floor + torch.finfo(squared.dtype).tiny).sqrt().mean()
