"""The exponential Runge-Kutta method ETDRK4 (Cox and Matthews, 2002) for u_t = -r u + N(u).

The rates r belong to single modes; their decay is exact, whatever the step. Where r = 0 this is
the classical Runge-Kutta method of order 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

# phi_3 by its series for z from here to 0, where its closed form cancels: 16 terms are enough.
SERIES_FROM = -1.0
SERIES_TERMS = 16


def factors(
    rates: torch.Tensor, mask: torch.Tensor, steps: Sequence[float], dtype: torch.dtype
) -> torch.Tensor:
    """Return what `step` multiplies by, for one length of step per sample.

    With z = -rate h they are exp(z/2), h/2 phi_1(z/2), exp(z), and the weights of the first, of
    the two middle and of the last slope.

    Args:
        rates: Not below zero, `[*modes]`, float64.
        mask: 0 where slopes are to be cut off, else 1; broadcast against the rates, float64.
        steps: Lengths of the steps, `[samples]`.
        dtype: Type of the result.

    Returns:
        `[samples, 6, *modes]`.
    """
    h = torch.tensor(steps, dtype=torch.float64, device=rates.device)
    h = h.reshape(-1, *[1] * rates.ndim)
    z = -rates * h
    phi_1, phi_2, phi_3 = _phi(z)
    h = h * mask
    rows = [
        (z / 2).exp(),
        h / 2 * _phi(z / 2)[0],
        z.exp(),
        h * (phi_1 - 3 * phi_2 + 4 * phi_3),
        h * (2 * phi_2 - 4 * phi_3),
        h * (4 * phi_3 - phi_2),
    ]
    return torch.stack(rows, dim=1).to(dtype)


def step(
    slope: Callable[[torch.Tensor], torch.Tensor],
    state: torch.Tensor,
    first: torch.Tensor,
    factors: torch.Tensor,
) -> torch.Tensor:
    """Take one step.

    Args:
        slope: N, from states to states.
        state: `[samples, *modes]`.
        first: N of the state, which the caller needs for the length of the step.
        factors: From the function of that name.
    """
    half, push, full, start, middle, end = factors.unbind(1)
    base = half * state
    halfway = torch.addcmul(base, push, first)
    slope_a = slope(halfway)
    slope_b = slope(torch.addcmul(base, push, slope_a))
    slope_c = slope((half * halfway).addcmul_(push, 2 * slope_b - first))
    result = (full * state).addcmul_(start, first)
    return result.addcmul_(middle, slope_a + slope_b).addcmul_(end, slope_c)


def _phi(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phi_1(z) = (exp(z) - 1) / z and phi_n+1(z) = (phi_n(z) - 1/n!) / z, for z <= 0."""
    near = z > SERIES_FROM
    far = torch.where(near, SERIES_FROM, z)
    far_1 = torch.expm1(far) / far
    far_2 = (far_1 - 1) / far
    far_3 = (far_2 - 1 / 2) / far
    close = torch.where(near, z, 0.0)
    close_3 = torch.zeros_like(z)
    for n in range(SERIES_TERMS + 2, 2, -1):
        close_3 = close_3 * close + 1 / math.factorial(n)
    # In this direction the recurrence does not cancel.
    close_2 = 1 / 2 + close * close_3
    close_1 = 1 + close * close_2
    return (
        torch.where(near, close_1, far_1),
        torch.where(near, close_2, far_2),
        torch.where(near, close_3, far_3),
    )
