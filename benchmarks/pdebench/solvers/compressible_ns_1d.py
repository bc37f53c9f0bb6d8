"""PDEBench's 1-D compressible Navier-Stokes equations on the periodic line (-1, 1).

    rho_t + (rho v)_x = 0
    (rho v)_t + (rho v^2 + p)_x = (nu rho v_x)_x,    nu = 4/3 eta + zeta
    E_t + ((E + p) v)_x = (nu rho v v_x)_x,    E = p / (G - 1) + rho v^2 / 2,    G = 5/3

This is what the released files hold: eta and zeta act as kinematic viscosities, and heat is not
conducted. The solver is `finite_volume`, in single precision as the released files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.pdebench.solvers import (
    compressible_initial_1d,
    finite_volume,
    strided_centres,
    strided_points,
)
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

SOLVER = "compressible_ns_1d 2: MUSCL-Hancock with HLLC, RKL2 for the viscous terms"
TIMES: Array = np.arange(101) / 100
RELEASED_POINTS = 1024
BATCH = 32

LEAST_CELLS = 1024
# Above this nu shocks are as wide as a few cells.
SMOOTHING_VISCOSITY = 0.02
# The error with 256 points and 1024 cells, and the powers of points and 1/cells that it grows with.
INVISCID_ERROR = (1.2e-3, 0.7, 1.3)
VISCOUS_ERROR = (2.3e-4, 0.4, 2.2)
LENGTH = compressible_initial_1d.DOMAIN[1] - compressible_initial_1d.DOMAIN[0]


def cells(points: int) -> int:
    """Return how many cells a flow is solved on of which `points` values are wanted."""
    return points * max(2, math.ceil(LEAST_CELLS / points))


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
    *,
    cells_per_point: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Array]:
    """Draw one initial state from each generator and advance it.

    Arguments as in `Solver.samples`, with `eta` and `zeta` as parameters; `cells_per_point` is the
    number of cells of the calculation per point, if not as `cells` says, and `dtype` the precision
    of the calculation.

    Returns:
        `density`, `pressure` and `Vx`, `[samples, frames, points]`: those of the averages of
        density, momentum and energy over cells of the released grid, of which fewer points are
        every n-th, as in a released file that is strided.

    Raises:
        RequestError: a viscosity is below zero.
        DataError: a flow did not keep its density and pressure above zero.
    """
    eta, zeta = parameters["eta"], parameters["zeta"]
    if not (eta >= 0 and zeta >= 0):
        raise RequestError(
            f"Compressible flow needs eta and zeta not below zero; found {eta:g} and {zeta:g}."
        )
    inner = points * cells_per_point if cells_per_point else cells(points)
    grid = strided_points(points, min(inner, RELEASED_POINTS))
    density, pressure, velocity = map(
        torch.from_numpy, compressible_initial_1d.draw(rngs).sampled(inner)
    )
    initial = finite_volume.conserved(density, velocity, pressure).mean(-1)
    state = finite_volume.solve(
        initial.to(device, dtype),
        length=LENGTH,
        times=times,
        viscosity=4 / 3 * eta + zeta,
        points=grid,
    )[..., :: grid // points]
    density, velocity, pressure = finite_volume.primitive(state.to("cpu", torch.float64))
    return {"density": density.numpy(), "pressure": pressure.numpy(), "Vx": velocity.numpy()}


def coordinates(points: int) -> dict[str, Array]:
    """Return the grid coordinates that go with `samples`."""
    centres = strided_centres(points, RELEASED_POINTS)
    return {"x-coordinate": compressible_initial_1d.DOMAIN[0] + LENGTH * centres}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the mean relative L2 error at t = 1 of what `samples` returns, all three together.

    Power laws through the errors measured with 64 to 2048 points against `finite_volume` on 8192
    cells (32 random samples, eta = zeta = 1e-8) or 4096 cells (24 samples, 0.01 and 0.1),
    averaged over the points; the reference of viscous flow differs by 2e-5 from a pseudo-spectral
    solution (`compressible_spectral`). The velocity alone has ten times the error of all three
    without viscosity, and the density with it. For comparison: the released files' scheme has
    4.8e-3 at 1e-8, on the 1024 cells that they have, and 2e-4 at 0.01 and 0.1.
    """
    viscous = 4 / 3 * parameters["eta"] + parameters["zeta"] >= SMOOTHING_VISCOSITY
    scale, power_of_points, power_of_cells = VISCOUS_ERROR if viscous else INVISCID_ERROR
    more_points, fewer_cells = points / 256, 1024 / cells(points)
    return float(scale * more_points**power_of_points * fewer_cells**power_of_cells)
