"""Burgers' equation, u_t + (u^2/2)_x = (nu/pi) u_xx on the periodic unit interval.

In the frame that moves with the mean c of u the solution is w = u - c, and with its periodic
antiderivative W the transformation of Hopf (1950) and Cole (1951) makes the equation linear:

    u(x, t) = c - 2 kappa phi_x / phi,   phi_t = kappa phi_xx,   phi(x, 0) = exp(-W / (2 kappa)),

with kappa = nu/pi and phi taken at x - c t. There are no time steps that could add errors: phi of
any time is exact. Where phi(x, 0) stays above `SMALLEST_PHI` it is advanced by the fast Fourier
transform. Elsewhere it has more orders of magnitude than a sum of its modes can hold; there

    u(x, t) = c + <x - c t - y> / t,

the mean over y with the positive weights exp(-(x - c t - y)^2 / (4 kappa t) - W(y) / (2 kappa)),
which the trapezoid rule gives to spectral accuracy for a smooth u0. The exponents are scaled in
each block of neighbouring x by their largest, so nothing overflows or cancels. Within a block the
weights are a product of a function of y with exp((x - x_block) y / (2 kappa t)), which is the
same for all blocks and samples: the mean is a product of matrices. A frame that is followed by
another gives log phi as well, and the next one is such a sum over it, with a Gaussian as narrow as
the time between them (`cole_hopf`).

Solutions made with the recipe of the released files are off by 5.3e-4 at Nu = 0.001, t = 2
(relative L2, mean of 16 samples, at most 1.0e-3) and by 4.0e-4 at Nu = 1, t = 0.5 (one sample),
against `solve` from a cubic spline through their first frame. `tolerance` has the errors of this
module, `make bench` its time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.pdebench.solvers import (
    cell_centres,
    cole_hopf,
    random_field,
    strided_centres,
)
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

SOLVER = "burgers 2: Cole-Hopf transformation, exact in time"
TIMES: Array = np.arange(201) / 100
RELEASED_POINTS = 1024
BATCH = 32

# Quadrature points per period, at least. Fields with kinks need them, not the smooth ones.
FINE_POINTS = 4096
# Largest slope of u0 that the quadrature must resolve: 4 modes and a window.
STEEPEST = 250.0
# Below this the rounding of the fast Fourier transform, relative to phi, may exceed 1e-10.
SMALLEST_PHI = math.exp(-12.0)
GAUSS_NODES = 3


def solve(
    initial: Callable[[Array], Array],
    points: int,
    times: Array,
    *,
    nu: float,
    first: float | None = None,
    device: torch.device | None = None,
    fine_points: int = FINE_POINTS,
    smallest_phi: float = SMALLEST_PHI,
) -> Array:
    """Return u at equally spaced points at the given times.

    Samples share no more than the range of the sums: what others are in the batch changes the
    result by rounding.

    Args:
        initial: u0, continuous and of period 1, from points `[k]` to values `[samples, k]`.
        points: Number of points.
        times: `[frames]`, rising, not below zero; zero gives u0 itself.
        nu: The parameter of the equation, above zero; the diffusion coefficient is nu/pi.
        first: x of the first point; if not given, the points are the centres of equal cells.
        device: Where the sums are computed; the processor if not given.
        fine_points: Quadrature points per period, at least.
        smallest_phi: Samples whose phi(x, 0), scaled to at most 1, comes below this are solved
            by quadrature.

    Returns:
        `[samples, frames, points]`.

    Raises:
        RequestError: `nu` or a time is out of its range.
    """
    if not (nu > 0 and np.all(times >= 0)):
        raise RequestError(
            f"Burgers needs Nu > 0 and times >= 0; found Nu={nu:g}, times from {np.min(times):g}."
        )
    kappa = nu / math.pi
    x = cell_centres(points) if first is None else first + np.arange(points) / points
    start = initial(x)
    result = np.empty((len(start), len(times), points))
    result[:, times == 0] = start[:, None]
    later = np.flatnonzero(times > 0)
    if not len(later):
        return result

    first_later = float(times[later[0]])
    least = max(fine_points, cole_hopf.least_points(kappa, first_later, STEEPEST))
    finer = math.ceil(least / points)
    mean, antiderivative = _integrate(initial, x[0], points * finer)
    exponent = antiderivative / (2 * kappa)
    smooth = np.exp(-np.ptp(exponent, axis=1)) >= smallest_phi
    place = device or torch.device("cpu")
    for rows, advance in (
        (smooth, cole_hopf.by_modes),
        (~smooth, cole_hopf.by_quadrature),
    ):
        if rows.any():
            c = torch.from_numpy(mean[rows]).to(place)
            e = torch.from_numpy(exponent[rows]).to(place)
            u = advance(e, c, kappa, times[later], finer)
            result[np.ix_(rows, later)] = u.cpu().numpy()
    return result


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw one random field from each generator and advance it.

    Returns:
        `tensor`, `[samples, frames, points]`.

    Raises:
        RequestError: `Nu` is not above zero.
    """
    field = random_field.draw(rngs)
    x = coordinates(points)["x-coordinate"]
    nu = parameters["Nu"]
    return {"tensor": solve(field, points, times, nu=nu, first=float(x[0]), device=device)}


def coordinates(points: int) -> dict[str, Array]:
    """Return the coordinate datasets that go with `samples`, without the times."""
    return {"x-coordinate": strided_centres(points, RELEASED_POINTS)}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the relative L2 error of the final frame.

    Measured on 512 random fields against four times as many quadrature points, at 256 and at 1024
    points: mean 2.0e-8 at Nu = 0.001 and 6e-9 from 0.1 up, at most 1.2e-6. All of it comes from the
    fields with kinks; the others are exact to 1e-13. Storing as float32 adds up to 6e-8.
    """
    return 1e-7


def _integrate(initial: Callable[[Array], Array], first: float, points: int) -> tuple[Array, Array]:
    """Integrate u0 over the cells of a grid that starts at `first`.

    Returns:
        The mean of u0, `[samples]`, and the antiderivative of what is left, `[samples, points]`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(GAUSS_NODES)
    left = first + np.arange(points) / points
    cells = np.sum(
        [
            weight / 2 * initial(left + (node + 1) / 2 / points)
            for node, weight in zip(nodes, weights, strict=True)
        ],
        axis=0,
    )
    mean = cells.mean(axis=1)
    total = np.cumsum(cells - mean[:, None], axis=1) / points
    # The last entry is the value at the right end of the period, zero like that at the left.
    return mean, np.roll(total, 1, axis=1)
