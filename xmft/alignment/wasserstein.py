"""Exact optimal transport between two batches of features.

The plan comes from the network simplex of POT, so the distance has no entropic bias and no
regularisation to tune against the scale of the features. Only the plan is found outside autograd:
at the optimum the derivative of the cost is that of <P, C> with P held fixed (envelope theorem).
"""

from __future__ import annotations

import numpy as np
import ot
import torch
from jaxtyping import Float
from torch import Tensor

from xmft.errors import DivergedError

# The simplex stops at the optimum; the bound only has to be out of reach of real problems, since
# a plan cut short would be silently wrong.
_MAX_PIVOTS = 10**8


# What is said where the cost is not finite, whichever way the transport is found.
NOT_FINITE = (
    "The transport cost is not finite: the features hold NaN or infinite values. "
    "Lower the learning rate of the alignment stage or check the inputs."
)


def transport_plan(cost: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Find the exact optimal coupling of two uniform measures for a ground cost.

    Args:
        cost: Ground cost `[n, m]` on any device.

    Returns:
        The plan `[n, m]`, float64 on the CPU, without gradient.

    Raises:
        ValueError: the cost is no matrix, or a side is empty.
        DivergedError: the cost holds NaN or infinite values.
    """
    if cost.ndim != 2 or 0 in cost.shape:
        raise ValueError(f"The cost must be a non-empty matrix, found shape {tuple(cost.shape)}.")
    # `.cpu()` before `.double()`: not every accelerator has float64.
    matrix = cost.detach().cpu().double().contiguous().numpy()
    if not np.isfinite(matrix).all():
        raise DivergedError(NOT_FINITE)
    # What a row or a column costs whatever its partner cannot move the plan; taking it out leaves
    # the simplex fewer pivots to make. `make bench` times a step.
    matrix = matrix - matrix.mean(1, keepdims=True)
    matrix -= matrix.mean(0)
    rows, columns = (np.full(size, 1 / size) for size in matrix.shape)
    # The simplex wants the two sums equal to the last digit.
    columns = columns * (rows.sum() / columns.sum())
    return torch.from_numpy(ot.emd(rows, columns, matrix, numItermax=_MAX_PIVOTS))


class Points:
    """A set of features, prepared once for many distances to it.

    The points are moved by their mean, since far from the origin the expansion of a squared
    distance would cancel. Gradient flows through to the features, if they have any.

    Attributes:
        features: `[n, d]`, moved by `-center`.
        center: Mean of the features `[d]`, without gradient.
        squares: `|x_i - center|^2`, `[n]`.
    """

    def __init__(self, features: Float[Tensor, "n d"]) -> None:
        """Prepare features `[n, d]`.

        Raises:
            ValueError: they are not a matrix with at least one row.
        """
        if features.ndim != 2 or len(features) == 0:
            raise ValueError(f"Expected features [n, d] with n > 0, found {tuple(features.shape)}.")
        features = at_least_float32(features)
        self.center = features.detach().mean(0)
        self.features = features - self.center
        self.squares = self.features.square().sum(1)

    @property
    def spread(self) -> float:
        """Root mean square distance of the points from their mean."""
        return self.squares.mean().sqrt().item()

    def moved(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """Return other features moved like these.

        Raises:
            ValueError: they are not a matrix of as many columns.
        """
        if y.ndim != 2 or y.shape[1] != self.features.shape[1]:
            raise ValueError(
                f"Expected features [n, d] and [m, d], found {tuple(self.features.shape)} and "
                f"{tuple(y.shape)}."
            )
        return at_least_float32(y) - self.center

    def squared_distances(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Return |x_i - y_j|^2 as `[n, m]` to other features `[m, d]`, by one matrix product."""
        y = self.moved(y)
        squares = self.squares[:, None] + y.square().sum(1)
        with torch.autocast(y.device.type, enabled=False):
            return torch.addmm(squares, self.features, y.T, alpha=-2).clamp_min(0)


def squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return |x_i - y_j|^2 as `[n, m]`, by one matrix product."""
    return Points(x).squared_distances(y)


def wasserstein(
    x: Float[Tensor, "n d"] | Points,
    y: Float[Tensor, "m d"],
    *,
    p: int = 2,
    squared: Float[Tensor, "n m"] | None = None,
) -> Float[Tensor, ""]:
    """Return W_p between the uniform measures on two batches of features.

    W_p(x, y)^p = min_P sum_ij P_ij |x_i - y_j|^p with the Euclidean norm; p = 1 is the distance of
    Kantorovich-Rubinstein duality (the one a Lipschitz bound needs), p = 2 bounds it from above.
    Where x and y coincide the gradient is 0, a subgradient.

    Args:
        x: Features `[n, d]`, or the same prepared.
        y: Features `[m, d]`.
        p: Order, at least 1.
        squared: Squared distances between x and y `[n, m]`, if they are known already.

    Returns:
        The distance (the p-th root is taken), a scalar of float32 or better; autocast is ignored.

    Raises:
        ValueError: p < 1, or the shapes do not fit.
        DivergedError: the features hold NaN or infinite values.

    Source: feature alignment, Eq. 5 of RECRAFT (arXiv 2601.18231), without the entropic term of
    its released code.
    """
    if p < 1:
        raise ValueError(f"The order p of a Wasserstein distance is at least 1, found {p}.")
    points = x if isinstance(x, Points) else Points(x)
    moved = points.moved(y)
    with torch.no_grad():
        if squared is None:
            squared = points.squared_distances(y)
        plan = transport_plan(squared if p == 2 else squared.pow(p / 2))
        i, j = (index.to(moved.device) for index in plan.nonzero(as_tuple=True))
        weights = plan[plan > 0].to(moved)
    # A vertex of the transport polytope has at most n + m - 1 entries, so differences of the paired
    # samples are cheaper than the whole cost matrix, and free of cancellation.
    gaps = torch.linalg.vector_norm(points.features[i] - moved[j], dim=1)
    total = (weights * gaps.pow(p)).sum()
    if p == 1:
        return total
    # The root has an infinite slope at 0; both branches of `where` must be finite for autograd.
    positive = total > 0
    return torch.where(positive, torch.where(positive, total, 1.0).pow(1 / p), total)


def moved_cost(
    x: Float[Tensor, "n d"],
    squares: Float[Tensor, " n"],
    y: Float[Tensor, "m d"],
    squared: Float[Tensor, "n m"],
) -> Float[Tensor, ""]:
    """Return W2^2 between a constant set and a moving one.

    With the barycentre z_j of the mass that is sent to sample j,
    sum_ij P_ij |x_i - y_j|^2 = mean_i |x_i|^2 - mean_j |z_j|^2 + mean_j |y_j - z_j|^2,
    where only the last term has a gradient, and it is as small as `m x d`.

    Args:
        x: Constant features `[n, d]`.
        squares: Their `|x_i|^2`, `[n]`.
        y: Moving features `[m, d]`.
        squared: Squared distances `[n, m]`, without gradient.
    """
    with torch.autocast(x.device.type, enabled=False):
        barycentres = len(y) * (transport_plan(squared).to(x).T @ x)
    hidden = squares.mean() - barycentres.square().sum(1).mean()
    return hidden + (y - barycentres).square().sum(1).mean()


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return `x` itself or, of half precision, in float32: differences of sums need the digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
