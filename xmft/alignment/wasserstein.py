"""Exact optimal transport between two batches of features.

The plan comes from the network simplex of POT, so the distance has no entropic bias and no
regularisation to tune against the scale of the features. Only the plan is found outside autograd:
at the optimum the derivative of the cost is that of <P, C> with P held fixed (envelope theorem).
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from xmft.errors import DivergedError, TransportError

# The simplex stops at the optimum; the bound only has to be out of reach of real problems.
_MAX_PIVOTS = 10**8
# Costs are kept by the simplex in sums with the largest one: where that is so many times the cost
# of the whole plan, the digits of the small ones are lost.
_LARGE_COST = 1e6
# The same of squared distances by a matrix product, relative to the last digit of the features.
_LOST_SHARE = 1e-3
# Rows that the scale of features is estimated from.
_SCALE_ROWS = 512

_Matrix = npt.NDArray[np.float64]

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
        TransportError: the solver gave up.
    """
    if cost.ndim != 2 or 0 in cost.shape:
        raise ValueError(f"The cost must be a non-empty matrix, found shape {tuple(cost.shape)}.")
    # `.cpu()` before `.double()`: not every accelerator has float64.
    matrix = cost.detach().cpu().double().contiguous().numpy()
    if not np.isfinite(matrix).all():
        raise DivergedError(NOT_FINITE)
    rows, columns = (np.full(size, 1 / size) for size in matrix.shape)
    # The simplex wants the two sums equal to the last digit.
    columns = columns * (rows.sum() / columns.sum())
    # What a row or a column costs whatever its partner cannot move the plan; taking it out leaves
    # the simplex fewer pivots to make. `make bench` times a step.
    centred = matrix - matrix.mean(1, keepdims=True)
    centred -= centred.mean(0)
    plan = _solved(rows, columns, centred)
    return torch.from_numpy(_with_all_digits(plan, rows, columns, matrix))


def _solved(rows: _Matrix, columns: _Matrix, cost: _Matrix) -> _Matrix:
    """Return the optimal plan.

    Raises:
        TransportError: the solver gave up.
    """
    # Imported here: it takes seconds (with scikit-learn), and plans need nothing of it.
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is an error here
        plan, log = ot.emd(rows, columns, cost, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        n, m = cost.shape
        raise TransportError(
            f"The exact transport of {n} to {m} samples ended without an optimal plan (POT: "
            f"{log['warning'].rstrip('.')}). Take a smaller alignment_batch, or an entropic "
            "distance, and check the features for extreme values."
        )
    solved: _Matrix = plan
    return solved


def _with_all_digits(
    plan: _Matrix, rows: _Matrix, columns: _Matrix, cost: _Matrix, turns: int = 4
) -> _Matrix:
    """Find the plan again where a few large costs took the digits of all others.

    The entries of a vertex of the transport polytope are multiples of 1 / lcm(n, m). With costs of
    at least 0, what costs more than lcm(n, m) times a plan that is known has no part in the best
    one, and may as well cost just that.
    """
    largest = cost.max() - cost.min()
    if largest <= _LARGE_COST * _total(plan, cost - cost.min()):
        return plan
    least = cost - cost.min(1, keepdims=True)
    least -= least.min(0)
    for _ in range(turns):
        total = _total(plan, least)
        bound = math.lcm(*cost.shape) * total * (1 + 1e-6)
        if total <= 0 or least.max() <= max(_LARGE_COST * total, bound):
            break
        least = np.minimum(least, bound)
        plan = _solved(rows, columns, least)
    return plan


def _total(plan: _Matrix, cost: _Matrix) -> float:
    used = plan > 0
    return float((plan[used] * cost[used]).sum())


class Points:
    """A set of features, prepared once for many distances to it.

    The points are moved by their mean, since far from the origin the expansion of a squared
    distance would cancel; by their median where some lie so far out that the mean is far from all.
    Gradient flows through to the features, if they have any.

    Attributes:
        features: `[n, d]`, moved by `-center`.
        center: Mean (or median) of the features `[d]`, without gradient.
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
        # What a square may be before the expansion loses the distance of near points.
        scale = _scale(features.detach())
        self._largest = scale * _LOST_SHARE / torch.finfo(features.dtype).eps
        if self.squares.max() > self._largest:
            self.center = features.detach().median(dim=0).values
            self.features = features - self.center
            self.squares = self.features.square().sum(1)
        self._outliers = bool(self.squares.max() > self._largest)

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
        """Return |x_i - y_j|^2 as `[n, m]` to other features `[m, d]`, by one matrix product.

        Where some features lie far out they are those of differences, and of double precision.
        """
        y = self.moved(y)
        own = y.square().sum(1)
        squares = self.squares[:, None] + own
        with torch.autocast(y.device.type, enabled=False):
            if self._outliers or own.max() > self._largest:
                pair = self.features.double(), y.double()
                gaps = torch.cdist(*pair, compute_mode="donot_use_mm_for_euclid_dist")
                return gaps.square()
            return torch.addmm(squares, self.features, y.T, alpha=-2).clamp_min(0)


def _scale(x: Float[Tensor, "n d"]) -> float:
    """Return half the median squared distance of neighbouring rows, which no outlier moves.

    Copies of a sample tell nothing of it; infinite where there is nothing else.
    """
    some = x[:: max(1, len(x) // _SCALE_ROWS)]
    gaps = (some[1:] - some[:-1]).square().sum(1)
    gaps = gaps[gaps > 0]
    return gaps.median().item() / 2 if len(gaps) else math.inf


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
        plan = transport_plan(squared)
        barycentres = len(y) * (plan.to(x).T @ x)
    moving = (y - barycentres).square().sum(1).mean()
    if squared.dtype != x.dtype:  # far out, where the sum below would cancel
        total = (plan * squared.cpu()).sum().to(y)
        return total + moving - moving.detach()
    hidden = squares.mean() - barycentres.square().sum(1).mean()
    return hidden + moving


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return `x` itself or, of half precision, in float32: differences of sums need the digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
