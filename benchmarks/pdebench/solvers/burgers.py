"""Burgers' equation, u_t + (u^2/2)_x = (nu/pi) u_xx on the periodic unit interval.

In the frame that moves with the mean c of u the solution is w = u - c, and with its periodic
antiderivative W the transformation of Hopf (1950) and Cole (1951) makes the equation linear:

    u(x, t) = c - 2 kappa phi_x / phi,   phi_t = kappa phi_xx,   phi(x, 0) = exp(-W / (2 kappa)),

with kappa = nu/pi and phi taken at x - c t. There are no time steps: each time is computed from
the initial field. Where phi(x, 0) stays above `SMALLEST_PHI` it is advanced by the fast Fourier
transform. Elsewhere it has more orders of magnitude than a sum of its modes can hold; there

    u(x, t) = c + <x - c t - y> / t,

the mean over y with the positive weights exp(-(x - c t - y)^2 / (4 kappa t) - W(y) / (2 kappa)),
which the trapezoid rule gives to spectral accuracy for a smooth u0. The exponents are scaled in
each block of neighbouring x by their largest, so nothing overflows or cancels. Within a block the
weights are a product of a function of y with exp((x - x_block) y / (2 kappa t)), which is the
same for all blocks and samples: the mean is a product of matrices.

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

from benchmarks.pdebench.solvers import cell_centres, random_field
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

SOLVER = "burgers 1: Cole-Hopf transformation, exact in time"
TIMES: Array = np.arange(201) / 100
RELEASED_POINTS = 1024
BATCH = 32

# Quadrature points per period, at least. Fields with kinks need them, not the smooth ones.
FINE_POINTS = 4096
# Largest slope of u0 that the quadrature must resolve: 4 modes and a window.
STEEPEST = 250.0
# Below this the rounding of the fast Fourier transform, relative to phi, may exceed 1e-10.
SMALLEST_PHI = math.exp(-12.0)
# Weights below exp(-CUTOFF) times the largest are left out.
CUTOFF = 40.0
# Powers of e between a block's centre and its ends, where double precision has 700.
LARGEST_EXPONENT = 300.0
BLOCK = 64
GAUSS_NODES = 3


def solve(
    initial: Callable[[Array], Array],
    points: int,
    times: Array,
    *,
    nu: float,
    device: torch.device | None = None,
    fine_points: int = FINE_POINTS,
    smallest_phi: float = SMALLEST_PHI,
) -> Array:
    """Return u at the centres of `points` cells at the given times.

    Samples share no more than the range of the sums: what others are in the batch changes the
    result by rounding.

    Args:
        initial: u0, continuous and of period 1, from points `[k]` to values `[samples, k]`.
        points: Number of cells.
        times: `[frames]`, not below zero; zero gives u0 itself.
        nu: The parameter of the equation, above zero; the diffusion coefficient is nu/pi.
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
    x = cell_centres(points)
    start = initial(x)
    result = np.empty((len(start), len(times), points))
    result[:, times == 0] = start[:, None]
    later = np.flatnonzero(times > 0)
    if not len(later):
        return result

    # The narrowest peak of the weights is this wide; the rule needs its steps to be no longer.
    width = math.sqrt(2 * kappa / (1 / times[later].min() + STEEPEST))
    finer = math.ceil(max(fine_points, 1.5 / width) / points)
    mean, antiderivative = _integrate(initial, x[0], points * finer)
    exponent = antiderivative / (2 * kappa)
    smooth = np.exp(-np.ptp(exponent, axis=1)) >= smallest_phi
    place = device or torch.device("cpu")
    for rows, advance in ((smooth, _by_modes), (~smooth, _by_quadrature)):
        if rows.any():
            c = torch.from_numpy(mean[rows]).to(place)
            e = torch.from_numpy(exponent[rows]).to(place)
            for frame in later:
                w = advance(e, c * times[frame], kappa, float(times[frame]), finer)
                result[rows, frame] = (c[:, None] + w).cpu().numpy()
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
    return {"tensor": solve(field, points, times, nu=parameters["Nu"], device=device)}


def coordinates(points: int) -> dict[str, Array]:
    """Return the coordinate datasets that go with `samples`, without the times."""
    return {"x-coordinate": cell_centres(points)}


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


def _by_modes(
    exponent: torch.Tensor, shift: torch.Tensor, kappa: float, time: float, finer: int
) -> torch.Tensor:
    """Return w = -2 kappa phi_x / phi from Fourier modes.

    Args:
        exponent: W / (2 kappa), `[samples, points * finer]`.
        shift: Distance c t that the frame has moved, `[samples]`.
        kappa: Diffusion coefficient.
        time: Time, above zero.
        finer: Every `finer`-th point, less the shift, is wanted.

    Returns:
        `[samples, points]`.
    """
    fine = exponent.shape[1]
    lowest = exponent.amin(dim=1, keepdim=True)
    modes = torch.fft.rfft(torch.exp(lowest - exponent))
    k = 2 * math.pi * torch.arange(modes.shape[1], dtype=torch.float64, device=exponent.device)
    modes = modes * torch.exp(-kappa * time * k**2 - 1j * k * shift[:, None])
    phi = torch.fft.irfft(modes, n=fine)[:, ::finer]
    slope = torch.fft.irfft(1j * k * modes, n=fine)[:, ::finer]
    return -2 * kappa * slope / phi


def _by_quadrature(
    exponent: torch.Tensor, shift: torch.Tensor, kappa: float, time: float, finer: int
) -> torch.Tensor:
    """Return w from the mean distance; arguments and result are those of `_by_modes`."""
    fine = exponent.shape[1]
    points = fine // finer
    device = exponent.device
    highest = float((exponent.amax(dim=1) - exponent.amin(dim=1)).max())
    # Farther away the Gaussian alone is below the cutoff, whatever phi(y, 0) does.
    reach = math.sqrt(4 * kappa * time * (highest + CUTOFF))
    half = int(points * min(reach, LARGEST_EXPONENT * kappa * time / reach))
    block = min(BLOCK, 2 * half + 1, points)
    offset = (torch.arange(block, dtype=torch.float64, device=device) - block // 2) / points
    side = math.ceil((reach + (block // 2 + 1) / points) * fine)
    column = torch.arange(-side, side + 1, device=device)
    distance = column.to(torch.float64) / fine
    across = torch.exp(distance[:, None] * offset / (2 * kappa * time))

    # The shift is whole steps of the fine grid, taken by the columns, and a rest below one.
    steps = torch.round(shift * fine)
    rest = (shift - steps / fine)[:, None]
    gaussian = -((distance + rest) ** 2) / (4 * kappa * time)
    result = torch.empty(len(exponent), points, dtype=torch.float64, device=device)
    for first in range(0, points, block):
        centre = (first + block // 2) * finer
        source = (column + centre - steps.long()[:, None]) % fine
        logits = gaussian - exponent.gather(1, source)
        weights = torch.exp(logits - logits.amax(dim=1, keepdim=True))
        sums = torch.cat([weights, weights * distance]) @ across
        total, moment = sums.split(len(exponent))
        w = (offset - rest - moment / total) / time
        result[:, first : first + block] = w[:, : points - first]
    return result
