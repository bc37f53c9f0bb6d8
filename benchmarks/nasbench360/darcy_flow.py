"""The benchmark's Darcy flow: -div(a grad u) = 1 on the unit square, u = 0 on its edge.

The coefficient is 12 where a smooth Gaussian field is positive and 3 elsewhere, with values at the
421 x 421 nodes of a grid that has the edge on it (Li et al., 2021). As in the code that made the
released files, the coefficient between two nodes is the mean of theirs. That is the solution of the
scheme on this grid, which is of first order where the coefficient jumps.

Solved by conjugate gradients with the operator of coefficient 1 as preconditioner, which sines
diagonalise: the condition number is at most 4, whatever the grid.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn, dstn, idstn

from xmft.errors import DataError

Array = npt.NDArray[np.float64]

SOLVER = "benchmark's darcy 1: nodes, means of the coefficient, conjugate gradients"
POINTS = 421
HIGH, LOW = 12.0, 3.0
# Covariance of the field: (-Laplacian + 9)^-2 with zero slope at the edge.
_ALPHA, _TAU = 2.0, 3.0
_TOLERANCE = 1e-9
_MOST_STEPS = 200


def draw_coefficient(rng: np.random.Generator, points: int = POINTS) -> Array:
    """Draw a coefficient at the nodes, `[points, points]`.

    Args:
        rng: Where random numbers come from; as many are drawn for every grid.
        points: Nodes of an axis.
    """
    waves = np.arange(POINTS)
    size = (np.pi**2 * (waves[:, None] ** 2 + waves**2) + _TAU**2) ** (-_ALPHA / 2)
    amplitudes = size * rng.standard_normal((POINTS, POINTS))
    # The mean has no say in where the field is positive.
    amplitudes[0, 0] = 0.0
    amplitudes = amplitudes[:points, :points].copy()
    # The cosine transform counts all waves but the first and the last one twice.
    inner = slice(1, points - 1)
    amplitudes[inner] /= 2
    amplitudes[:, inner] /= 2
    return np.where(dctn(amplitudes, type=1) >= 0, HIGH, LOW)


def solve(coefficient: Array) -> Array:
    """Solve for the pressure at the nodes, zero on the edge.

    Args:
        coefficient: a at the nodes, `[points, points]`.

    Raises:
        DataError: the coefficient is not positive, or the residual stays too large.
    """
    points = len(coefficient)
    if not (np.isfinite(coefficient).all() and (coefficient > 0).all()):
        raise DataError("The Darcy coefficient must be positive and finite at every node.")
    inverse = _inverse_eigenvalues(points) / np.sqrt(coefficient.min() * coefficient.max())
    down = (coefficient[1:, 1:-1] + coefficient[:-1, 1:-1]) / 2
    right = (coefficient[1:-1, 1:] + coefficient[1:-1, :-1]) / 2
    residual = np.full((points - 2, points - 2), 1.0 / (points - 1) ** 2)
    limit = _TOLERANCE * np.linalg.norm(residual)
    u, direction, before = np.zeros_like(residual), np.zeros_like(residual), np.inf
    for _ in range(_MOST_STEPS):
        smooth = idstn(dstn(residual, type=1) * inverse, type=1)
        product = float(np.vdot(residual, smooth))
        direction = smooth + (product / before) * direction
        image = _operator(direction, down, right)
        length = product / float(np.vdot(direction, image))
        u += length * direction
        residual -= length * image
        before = product
        if np.linalg.norm(residual) <= limit:
            return np.pad(u, 1)
    left = _TOLERANCE * np.linalg.norm(residual) / limit
    raise DataError(
        f"The Darcy solver left a relative residual of {left:.1e} after {_MOST_STEPS} steps. The "
        f"coefficient goes from {coefficient.min():g} to {coefficient.max():g}: narrow that range."
    )


def _operator(u: Array, down: Array, right: Array) -> Array:
    """Apply -div(a grad) times the squared spacing to inner nodes."""
    flow_down = down * np.diff(np.pad(u, ((1, 1), (0, 0))), axis=0)
    flow_right = right * np.diff(np.pad(u, ((0, 0), (1, 1))), axis=1)
    return -np.diff(flow_down, axis=0) - np.diff(flow_right, axis=1)


@cache
def _inverse_eigenvalues(points: int) -> Array:
    waves = np.arange(1, points - 1)
    each = 4 * np.sin(np.pi * waves / (2 * (points - 1))) ** 2
    inverse: Array = 1 / (each[:, None] + each)
    return inverse
