"""Steady Darcy flow, -div(nu grad u) = beta on the unit square, u = 0 on the wall.

Cell-centred finite volumes with the stencil of the released files, so that the solution here is
the steady state of the very discrete problem whose transient they hold (their labels are the
state at t = 1.75 of a run that starts from a random field and has not always settled):

* the coefficient on a face is the arithmetic mean of its two cells, on the wall that of the cell;
* u = 0 is imposed at the centres of the ghost cells, half a cell outside the square. Against
  u = 0 on the wall itself this is an error of first order in the cell size h.

The linear system is solved directly, to a relative residual of `TOLERANCE`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.integrate
import scipy.sparse
import scipy.sparse.linalg
import scipy.special
import torch

from benchmarks.pdebench.solvers import cell_centres
from xmft.errors import DataError

Array = npt.NDArray[np.float64]

SOLVER = "darcy 1: finite volumes, direct"
TIMES: Array = np.zeros(1)  # one frame and no time axis
RELEASED_POINTS = 128
BATCH = 4
TOLERANCE = 1e-10
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


def solve(coefficient: Array, *, beta: float) -> Array:
    """Solve for the steady pressure.

    Args:
        coefficient: nu in the cells, positive, `[samples, points, points]`.
        beta: The constant force.

    Returns:
        u in the cells, `[samples, points, points]`.

    Raises:
        DataError: a coefficient is not positive and finite, or the residual is too large.
    """
    if not (np.isfinite(coefficient).all() and (coefficient > 0).all()):
        raise DataError("The Darcy coefficient must be positive and finite in every cell.")
    # The problem is linear in beta: one right-hand side serves all, beta = 0 included.
    return beta * np.stack([_solve_unit(nu) for nu in coefficient])


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw one coefficient field from each generator and solve with the force `beta`.

    The sparse factorisation runs on the CPU, whatever `device` is.

    Returns:
        `nu`, the coefficient, `[samples, points, points]`, and `tensor`, the pressure,
        `[samples, 1, points, points]`.
    """
    nu = draw_coefficient(rngs, points)
    return {"tensor": solve(nu, beta=parameters["beta"])[:, None], "nu": nu}


def coordinates(points: int) -> dict[str, Array]:
    """Return the grid coordinates that go with `samples`."""
    return {"x-coordinate": cell_centres(points), "y-coordinate": cell_centres(points)}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the relative L2 accuracy of the solution of the discrete problem.

    The residual is far below; what limits it is the rounding of the file to float32.
    """
    return 1e-7


def _solve_unit(nu: Array) -> Array:
    """Solve for beta = 1; `nu` and the result are `[points, points]`."""
    points = len(nu)
    matrix = _matrix(nu)
    force = np.full(points**2, 1.0 / points**2)
    # Symmetric positive definite: no pivoting, and a symmetric ordering fills in least.
    factors = scipy.sparse.linalg.splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    u = factors.solve(force)
    residual = np.linalg.norm(matrix @ u - force) / np.linalg.norm(force)
    if not residual <= TOLERANCE:
        raise DataError(
            f"The Darcy solver left a relative residual of {residual:.1e}, above {TOLERANCE:.0e}. "
            f"The coefficient ranges from {nu.min():g} to {nu.max():g}; narrow that range."
        )
    return np.asarray(u.reshape(points, points), dtype=np.float64)


def _matrix(nu: Array) -> scipy.sparse.csc_array:
    """Assemble h^2 times the operator: minus the face coefficients, their sum on the diagonal."""
    points = len(nu)
    order, indices, indptr = _pattern(points)
    x_faces = (nu[1:] + nu[:-1]) / 2
    y_faces = (nu[:, 1:] + nu[:, :-1]) / 2
    diagonal = np.zeros_like(nu)
    diagonal[1:] += x_faces
    diagonal[:-1] += x_faces
    diagonal[:, 1:] += y_faces
    diagonal[:, :-1] += y_faces
    # The ghost cell mirrors the coefficient and holds u = 0 at a distance h.
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        diagonal[edge] += nu[edge]
    x, y = -x_faces.ravel(), -y_faces.ravel()
    data = np.concatenate([diagonal.ravel(), x, x, y, y])[order]
    return scipy.sparse.csc_array((data, indices, indptr), shape=(points**2, points**2))


@functools.lru_cache(maxsize=4)
def _pattern(
    points: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Where the entries of `_matrix` go: their order, and the row indices and column starts."""
    cell = np.arange(points**2, dtype=np.int32).reshape(points, points)
    left, right = cell[:-1].ravel(), cell[1:].ravel()
    below, above = cell[:, :-1].ravel(), cell[:, 1:].ravel()
    rows = np.concatenate([cell.ravel(), left, right, below, above])
    columns = np.concatenate([cell.ravel(), right, left, above, below])
    order = np.lexsort((rows, columns))
    counts = np.bincount(columns, minlength=points**2)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return order, rows[order], indptr
