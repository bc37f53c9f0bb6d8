"""Diffusion with sorption in a porous medium, u_t = (D / R(u)) u_xx on the unit interval.

The retardation R(u) = 1 + (1 - por)/por rho_s k_f n_f (u + 1e-6)^(n_f - 1) is that of a Freundlich
isotherm. The start is a constant u0 ~ U(0, 0.2): the solutions are a family of one parameter.

On the left u = 1, on the right u + D u_x = 0. (The release states u = D u_x there, which no
solution satisfies for long, its sign lets the wall grow without bound; its code has the other.)

In space it is second differences on N cells of width dx, with ghost cells of either `Scheme`:

* `released`, those of the released files: u = 1 in the one on the left, at x = -dx/2, and
  D (u_{N-2} - u_{N-1}) / dx in the one on the right. The walls move with dx.
* `accurate`, for the equation as it is stated: both conditions hold on the walls, to second order.

Samples are made on the released grid of 1024 cells and a resolution is a stride of it, as of an
official file. `tolerance` says how far they are from the equation.

In time it is RODAS (Hairer and Wanner, Solving Ordinary Differential Equations II, 2nd ed. 1996,
section IV.7), an L-stable Rosenbrock method of order 4 with an embedded error estimate: one
tridiagonal factorisation and six solutions a step. Every sample has its own time and step, and the
systems of all samples are solved as the blocks of one.

A step costs time in proportion to the cells, and frames between add a step where they fall.
Solutions made with the recipe of the released file, an explicit method with a loose tolerance, are
off by 1.7e-2 at t = 500 with 1024 points (relative L2, mean of 2 samples) and by 2.2e-3 with 256
(mean of 256, at most 3.0e-3). `make bench` has the time of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg.lapack import dgttrf, dgttrs

from benchmarks.pdebench.solvers import cell_centres, released_stride
from xmft.errors import DataError

Array = npt.NDArray[np.float64]
Scheme = Literal["released", "accurate"]

SOLVER = "diffusion_sorption 2: the released stencil on 1024 cells, RODAS with error control"
TIMES: Array = np.linspace(0.0, 500.0, 101)
RELEASED_POINTS = 1024
BATCH = 32

# Names and values in the released configurations; `sol` is the value on the left.
CONSTANTS: Mapping[str, float] = MappingProxyType(
    {"D": 5e-4, "por": 0.29, "rho_s": 2880.0, "k_f": 3.5e-4, "n_f": 0.874, "sol": 1.0}
)
LARGEST_START = 0.2
REGULARISATION = 1e-6

# Root mean square error that a step may make, relative to 1 + u.
STEP_TOLERANCE = 1e-6
# R changes its nature below zero, so a step that goes farther than this is refused.
MOST_NEGATIVE = -1e-8
SHORTEST_STEP = 1e-13

# RODAS in the form without products of matrices and vectors: stage i is evaluated at
# u + sum_j STATES[i][j] k_j, with COUPLINGS[i][j] k_j / step added to the rate.
GAMMA = 0.25
STATES: tuple[tuple[float, ...], ...] = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
COUPLINGS: tuple[tuple[float, ...], ...] = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136,
     -6.058818238834054),
)  # fmt: skip


def solve(
    initial: Array,
    times: Array,
    *,
    scheme: Scheme = "released",
    constants: Mapping[str, float] = CONSTANTS,
    step_tolerance: float = STEP_TOLERANCE,
) -> Array:
    """Advance fields to the given times.

    Args:
        initial: Values in the cells at time 0, not below zero, `[samples, points]`.
        times: Strictly rising, not below zero, `[frames]`.
        scheme: What holds at the walls.
        constants: The medium, by the names of `CONSTANTS`.
        step_tolerance: Root mean square error that a step may make, relative to 1 + u.

    Returns:
        `[samples, frames, points]`.

    Raises:
        DataError: an initial value is negative or not finite, or the tolerance was not met.
    """
    count, points = initial.shape
    if not (np.isfinite(initial).all() and (initial >= 0).all()):
        raise DataError("The concentration must be finite and not below zero in every cell.")
    medium = _Medium(constants, points, scheme)
    result = np.empty((count, len(times), points))
    targets = np.append(times, np.inf)
    u = initial.astype(np.float64)
    time, frame = np.zeros(count), np.zeros(count, dtype=np.intp)
    # Diffusion through one cell without sorption takes ten times as long.
    planned = np.full(count, 0.1 / (constants["D"] * points**2))
    while True:
        due = np.flatnonzero(time >= targets[frame])
        result[due, frame[due]] = u[due]
        frame[due] += 1
        rows = np.flatnonzero(frame < len(times))
        if not len(rows):
            return result
        target = targets[frame[rows]]
        step = np.minimum(planned[rows], target - time[rows])
        last = step >= target - time[rows]
        new, error = medium.step(u[rows], step)
        error /= step_tolerance
        # Also refuses what is not a number.
        good = (error <= 1) & (new.min(axis=1) >= MOST_NEGATIVE)
        factor = np.clip(0.9 * np.maximum(error, 1e-8) ** -0.25, 0.2, 5.0)
        factor = np.where(good, factor, np.fmin(factor, 0.5))
        u[rows[good]] = new[good]
        time[rows[good]] = np.where(last, target, time[rows] + step)[good]
        # A step cut short by a frame says nothing against the one that was planned.
        planned[rows] = np.maximum(step * factor, np.where(good & last, planned[rows], 0.0))
        if planned[rows].min() < SHORTEST_STEP:
            raise DataError(
                f"The diffusion-sorption solver did not reach an accuracy of {step_tolerance:g} "
                f"at time {time[rows].min():g}. Raise the tolerance or the number of points."
            )


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw one initial concentration from each generator and advance it.

    The solution is that on the released grid, strided to the points.

    Returns:
        `data`, `[samples, frames, points, 1]`.

    Raises:
        RequestError: `points` does not divide the released grid.
        DataError: the tolerance was not met.
    """
    stride = _stride(points)
    start = np.array([LARGEST_START * rng.random() for rng in rngs])
    solution = solve(np.repeat(start[:, None], RELEASED_POINTS, axis=1), times)
    return {"data": solution[..., ::stride, None]}


def coordinates(points: int) -> dict[str, Array]:
    """Return the coordinate datasets that go with `samples`, without the times.

    Raises:
        RequestError: `points` does not divide the released grid.
    """
    return {"x": cell_centres(RELEASED_POINTS)[:: _stride(points)]}


def configuration(points: int) -> dict[str, float | int]:
    """Return the constants of the file; `xdim` is the grid solved, not `points`."""
    own = {"t": 500, "tdim": len(TIMES), "x_left": 0.0, "x_right": 1.0, "n": 1}
    return {**CONSTANTS, **own, "xdim": RELEASED_POINTS}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the relative L2 error of the final frame against the equation, the largest.

    Measured on eight initial concentrations from 0 to 0.2 against the scheme `accurate` on 3072
    cells: from 9.6e-4 to 1.5e-3, falling with the concentration. It is that of the walls: the steps
    in time add at most 4e-7, and `accurate` on 1024 cells is off by 6e-7.
    """
    return 1.5e-3


def _stride(points: int) -> int:
    return released_stride(points, RELEASED_POINTS, "Diffusion-sorption")


class _Medium:
    """The spatial discretisation for one medium and number of cells.

    The ghost cell on the left is `_inflow` plus `_left` times the cell next to it, that on the
    right `_right` times the cell next to it plus `_farther` times the one after.
    """

    def __init__(self, constants: Mapping[str, float], points: int, scheme: Scheme) -> None:
        solid = (1 - constants["por"]) / constants["por"]
        self._sorption = solid * constants["rho_s"] * constants["k_f"] * constants["n_f"]
        self._power = constants["n_f"] - 1
        self._diffusion = constants["D"] * points**2
        per_cell = constants["D"] * points
        if scheme == "released":
            self._inflow, self._left = constants["sol"], 0.0
            self._right, self._farther = -per_cell, per_cell
        else:
            # The mean of ghost and cell is the value on the wall, their difference the slope.
            self._inflow, self._left = 2 * constants["sol"], -1.0
            self._right, self._farther = (2 * per_cell - 1) / (2 * per_cell + 1), 0.0

    def step(self, u: Array, step: Array) -> tuple[Array, Array]:
        """Take a step of each sample's own length.

        Args:
            u: `[samples, points]`.
            step: `[samples]`.

        Returns:
            The new values, and the root mean square of their estimated error relative to 1 + u.
        """
        inverse = 1 / step[:, None]
        speed, slope = self._speed(u)
        bend = self._bend(u)
        factors = self._factorise(speed, slope * bend, inverse)
        state, rate = u, speed * bend
        stages: list[Array] = []
        for states, couplings in zip(STATES, COUPLINGS, strict=True):
            if stages:
                state = u + sum(a * k for a, k in zip(states, stages, strict=True))
                rate = self._speed(state)[0] * self._bend(state)
                rate += inverse * sum(c * k for c, k in zip(couplings, stages, strict=True))
            flat, _ = dgttrs(*factors, rate.ravel())
            stages.append(flat.reshape(u.shape))
        new = state + stages[-1]
        return new, np.sqrt(np.mean((stages[-1] / (1 + np.abs(new))) ** 2, axis=1))

    def _speed(self, u: Array) -> tuple[Array, Array]:
        """Return D / (R dx^2) and its derivative by u."""
        base = np.maximum(u, 0.0) + REGULARISATION
        sorbed = self._sorption * base**self._power
        speed = self._diffusion / (1 + sorbed)
        return speed, -speed * self._power * sorbed / (base * (1 + sorbed))

    def _bend(self, u: Array) -> Array:
        """Return the second differences, with the ghost cells."""
        bend = -2 * u
        bend[:, 1:] += u[:, :-1]
        bend[:, :-1] += u[:, 1:]
        bend[:, 0] += self._inflow + self._left * u[:, 0]
        bend[:, -1] += self._farther * u[:, -2] + self._right * u[:, -1]
        return bend

    def _factorise(self, speed: Array, reaction: Array, inverse: Array) -> Sequence[Array]:
        """Factorise 1/(gamma step) minus the Jacobian of the rate, for all samples at once."""
        diagonal = inverse / GAMMA + 2 * speed - reaction
        lower, upper = -speed, -speed
        diagonal[:, 0] -= self._left * speed[:, 0]
        diagonal[:, -1] -= self._right * speed[:, -1]
        lower[:, -1] *= 1 + self._farther
        # Nothing couples the last cell of a sample to the first of the next.
        lower[:, 0] = upper[:, -1] = 0.0
        *factors, info = dgttrf(lower.ravel()[1:], diagonal.ravel(), upper.ravel()[:-1])
        if info:
            raise DataError("The diffusion-sorption solver met a singular matrix; report this.")
        return factors
