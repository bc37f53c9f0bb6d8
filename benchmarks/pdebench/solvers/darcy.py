"""Steady Darcy flow, -div(nu grad u) = beta on the unit square, u = 0 on the wall.

Cell-centred finite volumes in either of two discretisations (`Scheme`):

* `released`, the stencil of the released files: the coefficient on a face is the arithmetic mean
  of its two cells, and u = 0 is imposed at the centres of the ghost cells, half a cell outside the
  square. Their labels are the state at t = 1.75 of a run that starts from a random field and has
  not always settled; this is the steady state of that run. It is of first order in the cell size.
* `accurate`, for the equation as it is stated with the coefficient of each cell: the harmonic mean
  on the faces, across which the flux is continuous, and u = 0 on the wall itself. For a constant
  coefficient it is of second order.

Samples are made on the released grid of 128 x 128 cells and a resolution is a stride of it, as of
an official file. `tolerance` says how far they are from the equation.

The system is solved by conjugate gradients, with the same operator for the coefficient 1 as
preconditioner, which sines diagonalise. It leaves a condition number of at most the largest
coefficient over the smallest, whatever the number of cells. Single precision is enough in there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.integrate
import scipy.special
import torch

from benchmarks.pdebench.solvers import cell_centres, released_stride
from xmft.errors import DataError

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Scheme = Literal["released", "accurate"]

SOLVER = "darcy 2: the released stencil on 128 x 128 cells, conjugate gradients"
TIMES: Array = np.zeros(1)  # one frame and no time axis
RELEASED_POINTS = 128
BATCH = 16
# Relative residual; the error of the solution is a hundredth of it.
TOLERANCE = 1e-8
MOST_STEPS = 2000
GAUSSIANS = 5
LARGEST_SPREAD = 0.5
LOW, HIGH = 0.1, 1.0


@functools.cache
def threshold() -> float:
    """Return the level above which the sum of Gaussians makes the coefficient high.

    The released generator takes the mean over the square and over the 200 samples of a batch,
    which ties a sample to its batch. This is what that mean estimates, the expected value

        5 E_s[g(s)^2],   g(s) = E exp(-(x - c)^2 / s) = sqrt(pi s) erf(s^-1/2) - s (1 - exp(-1/s))

    over x, c ~ U(0, 1) and s ~ U(0, 0.5); it is 1.8521.
    """

    def squared_mean(s: float) -> float:
        g = np.sqrt(np.pi * s) * scipy.special.erf(s**-0.5) + s * np.expm1(-1 / s)
        return float(g**2)

    integral, _ = scipy.integrate.quad(squared_mean, 0.0, LARGEST_SPREAD)
    return GAUSSIANS * integral / LARGEST_SPREAD


def draw_coefficient(rngs: Sequence[np.random.Generator], points: int) -> Array:
    """Draw one coefficient field from each generator.

    The sum of 5 Gaussians exp(-r^2 / s) with centres U(0, 1)^2 and s = 0.5 U(0, 1) decides: 1
    where it exceeds `threshold()`, 0.1 elsewhere.

    Args:
        rngs: One random generator per sample.
        points: Cells per axis.

    Returns:
        `[samples, points, points]`, first axis x.
    """
    uniform = np.stack([rng.random((3, GAUSSIANS)) for rng in rngs])
    spread = LARGEST_SPREAD * (1 - uniform[:, 2])  # in (0, 0.5]: never divided by zero
    x = cell_centres(points)
    along_x, along_y = (
        np.exp(-((x - uniform[:, axis, :, None]) ** 2) / spread[:, :, None]) for axis in (0, 1)
    )
    total = np.zeros((len(rngs), points, points))
    for k in range(GAUSSIANS):
        total += along_x[:, k, :, None] * along_y[:, k, None, :]
    return np.where(total > threshold(), HIGH, LOW)


def solve(coefficient: Array, *, beta: float, scheme: Scheme = "released") -> Array:
    """Solve for the steady pressure.

    Args:
        coefficient: nu in the cells, positive, `[samples, points, points]`.
        beta: The constant force.
        scheme: The discretisation.

    Returns:
        u in the cells, `[samples, points, points]`.

    Raises:
        DataError: a coefficient is not positive and finite, or the residual is too large.
    """
    if not (np.isfinite(coefficient).all() and (coefficient > 0).all()):
        raise DataError("The Darcy coefficient must be positive and finite in every cell.")
    # The problem is linear in beta: one right-hand side serves all, beta = 0 included.
    return beta * np.stack([_solve_unit(nu.astype(np.float64), scheme) for nu in coefficient])


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw one coefficient field from each generator and solve with the force `beta`.

    Both are made on the released grid and strided to the points. This runs on the CPU, whatever
    `device` is.

    Returns:
        `nu`, the coefficient, `[samples, points, points]`, and `tensor`, the pressure,
        `[samples, 1, points, points]`.

    Raises:
        RequestError: `points` does not divide the released grid.
    """
    stride = _stride(points)
    nu = draw_coefficient(rngs, RELEASED_POINTS)
    u = solve(nu, beta=parameters["beta"])
    return {"tensor": u[:, None, ::stride, ::stride], "nu": nu[:, ::stride, ::stride]}


def coordinates(points: int) -> dict[str, Array]:
    """Return the centres of the cells of the released grid that the points are taken from.

    Raises:
        RequestError: `points` does not divide the released grid.
    """
    centres = cell_centres(RELEASED_POINTS)[:: _stride(points)]
    return {"x-coordinate": centres, "y-coordinate": centres.copy()}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the mean relative L2 error against the equation with the coefficient of the cells.

    Measured on 64 samples against three times as many cells along each axis in the scheme
    `accurate`: mean 3.2e-2, from 2.3e-2 to 4.5e-2, with 16 to 128 points. For the coefficient 1 it
    is 2.7e-2, by the Fourier series. Nearly all of it is the wall, half a cell outside the square.
    """
    return 3.3e-2


def _stride(points: int) -> int:
    return released_stride(points, RELEASED_POINTS, "Darcy flow")


def _solve_unit(nu: Array, scheme: Scheme) -> Array:
    """Solve for beta = 1; `nu` and the result are `[points, points]`."""
    points = len(nu)
    sines, back, inverse = _laplacian(points, scheme)
    faces = _faces(nu, scheme)
    residual = np.full((points, points), 1.0 / points**2)
    limit = TOLERANCE * np.linalg.norm(residual)
    u, direction = np.zeros_like(nu), np.zeros_like(nu)
    before = np.inf
    for _ in range(MOST_STEPS):
        smooth = sines @ ((back @ residual.astype(np.float32) @ sines) * inverse) @ back
        product = np.vdot(residual, smooth)
        direction = smooth + (product / before) * direction
        image = _operator(direction, faces)
        length = product / np.vdot(direction, image)
        u += length * direction
        residual -= length * image
        before = product
        if np.linalg.norm(residual) <= limit:
            return u
    left = TOLERANCE * np.linalg.norm(residual) / limit
    raise DataError(
        f"The Darcy solver left a relative residual of {left:.1e}, above {TOLERANCE:.0e}. "
        f"The coefficient ranges from {nu.min():g} to {nu.max():g}; narrow that range."
    )


def _faces(nu: Array, scheme: Scheme) -> tuple[Array, Array]:
    """Return the coefficients on the faces across x and y, those on the wall among them.

    On the wall they carry the distance at which u = 0 is imposed: a cell, or half of one.
    """
    if scheme == "released":
        x, y, wall = (nu[1:] + nu[:-1]) / 2, (nu[:, 1:] + nu[:, :-1]) / 2, 1.0
    else:
        x = 2 * nu[1:] * nu[:-1] / (nu[1:] + nu[:-1])
        y = 2 * nu[:, 1:] * nu[:, :-1] / (nu[:, 1:] + nu[:, :-1])
        wall = 2.0
    return (
        np.concatenate([wall * nu[:1], x, wall * nu[-1:]]),
        np.concatenate([wall * nu[:, :1], y, wall * nu[:, -1:]], axis=1),
    )


def _operator(u: Array, faces: tuple[Array, Array]) -> Array:
    """Apply h^2 times the operator: minus the flux into each cell, the field being 0 outside."""
    x, y = (np.diff(u, axis=axis, prepend=0.0, append=0.0) * faces[axis] for axis in (0, 1))
    return np.asarray(x[:-1] - x[1:] + y[:, :-1] - y[:, 1:])


@functools.lru_cache(maxsize=4)
def _laplacian(points: int, scheme: Scheme) -> tuple[Single, Single, Single]:
    """Return eigenvectors of `_operator` for nu = 1, transposed ones, and inverse eigenvalues."""
    mode, cell = np.arange(1, points + 1), np.arange(points)
    if scheme == "released":
        angle = np.pi * np.outer(cell + 1, mode) / (points + 1)
        frequency = np.pi * mode / (points + 1)
    else:
        angle = np.pi * np.outer(cell + 0.5, mode) / points
        frequency = np.pi * mode / points
    sines = np.sin(angle)
    sines /= np.linalg.norm(sines, axis=0)
    values = 4 * np.sin(frequency / 2) ** 2
    inverse = 1 / (values[:, None] + values)
    return (
        sines.astype(np.float32),
        np.ascontiguousarray(sines.T, dtype=np.float32),
        inverse.astype(np.float32),
    )
