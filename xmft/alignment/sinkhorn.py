"""Debiased entropic transport between a constant and a moving set of features.

It runs where the features are, on an accelerator too, and is what the published codes use. The
exact transport of `wasserstein` needs no blur that has to fit the scale of the features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.alignment.wasserstein import NOT_FINITE, Points
from xmft.errors import DivergedError

# The blur falls by this factor from the largest cost down to its final value.
_ANNEALING = 4.0


class Blurred:
    """Constant features with what the divergence needs of them alone.

    Attributes:
        points: The features.
        epsilon: Blur, in units of the cost.
        scale: The cost is `scale * |x - y|^2`.
        rounds: Updates of the potentials at the final blur.
        self_cost: Entropic cost of moving the features onto themselves, a scalar.
    """

    def __init__(
        self, points: Points, *, epsilon: float, scale: float = 0.5, rounds: int = 1
    ) -> None:
        """Prepare; finds the transport of the features onto themselves.

        Raises:
            DivergedError: the features hold NaN or infinite values.
        """
        self.points = points
        self.epsilon = epsilon
        self.scale = scale
        self.rounds = rounds
        cost = scale * points.squared_distances(points.features + points.center)
        h = _own_potential(cost, self.blurs(cost))
        self.self_cost = 2 * _softmin(cost, h, epsilon).mean()

    def blurs(self, cost: Tensor) -> list[float]:
        """Return the blur of each round for a cost.

        Raises:
            DivergedError: the cost holds NaN or infinite values.
        """
        largest = cost.max().item()
        if not math.isfinite(largest):
            raise DivergedError(NOT_FINITE)
        falling = math.ceil(math.log(max(largest / self.epsilon, 1), _ANNEALING))
        return [self.epsilon * _ANNEALING**power for power in range(falling, 0, -1)] + [
            self.epsilon
        ] * self.rounds


def sinkhorn_divergence(source: Blurred, features: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2 between uniform measures.

    OT is the least cost under `scale * |x - y|^2` plus epsilon times the relative entropy of the
    plan to the product of the measures. S is zero where the sets coincide, and goes to the exact
    cost as epsilon goes to 0.

    The potentials are found outside autograd, by symmetric updates under a falling blur; the more
    rounds the source asks for at the final blur, the nearer they come to the optimum (the public
    codes take one). A last update with gradient has the derivative of the cost under the plan.

    Args:
        source: The constant side x.
        features: The moving side y `[n, d]`.

    Returns:
        The divergence, a scalar of float32 or better; autocast is ignored.

    Raises:
        ValueError: the shapes do not fit.
        DivergedError: the features hold NaN or infinite values.

    Source: Feydy et al., Interpolating between Optimal Transport and MMD using Sinkhorn
    Divergences (AISTATS 2019).
    """
    epsilon = source.epsilon
    with torch.autocast(features.device.type, enabled=False):
        cross = source.scale * source.points.squared_distances(features)
        # One side held fixed: half of OT(y, y) has half of the gradient of both sides.
        own = source.scale * Points(features.detach()).squared_distances(features)
        f, g = _potentials(cross.detach(), source.blurs(cross))
        h = _own_potential(own.detach(), source.blurs(own))
        first = _softmin(cross.detach(), g, epsilon).mean() + _softmin(cross.T, f, epsilon).mean()
        return first - source.self_cost / 2 - _softmin(own.T, h, epsilon).mean()


def _softmin(
    cost: Float[Tensor, "n m"], potential: Float[Tensor, " m"], epsilon: float
) -> Float[Tensor, " n"]:
    """Return -epsilon log mean_j exp((potential_j - cost_ij) / epsilon)."""
    exponents = (potential - cost) / epsilon
    return epsilon * (math.log(cost.shape[1]) - exponents.logsumexp(dim=1))


@torch.no_grad()
def _potentials(
    cost: Float[Tensor, "n m"], blurs: Sequence[float]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Return the potentials of the rows and of the columns."""
    f, g = cost.new_zeros(cost.shape[0]), cost.new_zeros(cost.shape[1])
    columns = cost.T.contiguous()
    for blur in blurs:
        f, g = (f + _softmin(cost, g, blur)) / 2, (g + _softmin(columns, f, blur)) / 2
    return f, g


@torch.no_grad()
def _own_potential(cost: Float[Tensor, "n n"], blurs: Sequence[float]) -> Float[Tensor, " n"]:
    """Return the one potential of a symmetric problem."""
    f = cost.new_zeros(len(cost))
    for blur in blurs:
        f = (f + _softmin(cost, f, blur)) / 2
    return f
