"""Solvers of the PDEs that PDEBench's released files hold, written from the equations.

Every solver works on batches of samples, to an accuracy stated in its module, and none of them
depends on which samples share a batch. The modules that are named in
`benchmarks.pdebench.generate` all have the members of `Solver`; that module writes the files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from xmft.errors import RequestError

Array = npt.NDArray[np.float64]


class Solver(Protocol):
    """What a module has to have to make the samples of one task.

    Attributes:
        SOLVER: Name and version for the file's attributes; the version goes up whenever the
            numbers change.
        TIMES: Times of all frames of the released file, from 0 to the final time.
        RELEASED_POINTS: Points per axis of the released file.
        BATCH: Samples solved at once.
    """

    SOLVER: str
    TIMES: Array
    RELEASED_POINTS: int
    BATCH: int

    def coordinates(self, points: int) -> dict[str, Array]:
        """Return the grid coordinates, by the names that they have in the file.

        Args:
            points: Points per axis.

        Raises:
            RequestError: the solver has no grid of that size.
        """

    def samples(
        self,
        rngs: Sequence[np.random.Generator],
        parameters: Mapping[str, float],
        points: int,
        times: Array,
        device: torch.device,
    ) -> dict[str, Array]:
        """Draw one initial condition from each generator and solve for it.

        Args:
            rngs: One random generator per sample.
            parameters: The equation's parameters, by the names of the file's attributes.
            points: Points per axis.
            times: The frames wanted, rising from 0.
            device: Where to compute, for solvers written in torch.

        Returns:
            The datasets of a file, `[samples, frames, *grid]`, or `data`,
            `[samples, frames, *grid, channels]`, of a file with one group per sample. There, arrays
            `[samples]` belong to the configurations of the groups.

        Raises:
            RequestError: parameters out of the solver's range.
            DataError: the solver missed its accuracy.
        """

    def tolerance(self, parameters: Mapping[str, float], points: int) -> float:
        """Return the relative L2 error of the final frame that was measured, or is verified.

        The error is against the solution of the equation itself, not of what a grid makes of it.
        Only where the start is noise, cell by cell, there is no equation without the grid.
        """


def cell_centres(points: int) -> Array:
    """Return x_i = (i + 1/2) / points, the centres of equal cells of the unit interval."""
    return (np.arange(points) + 0.5) / points


def strided_points(points: int, released: int) -> int:
    """Return the points of the grid of which `points` are every n-th: the released, or a finer."""
    return points * math.ceil(released / points)


def strided_centres(points: int, released: int) -> Array:
    """Return where a released file that is strided to so many points has its values.

    These are the first of every few cell centres of the released grid, or, if it has no such
    stride, of the smallest finer grid that has.

    Args:
        points: Points wanted.
        released: Points of the released grid; with more, the centres of all cells are returned.
    """
    grid = strided_points(points, released)
    return cell_centres(grid)[:: grid // points]


def released_stride(points: int, released: int, equation: str) -> int:
    """Return every how many points of the released grid are kept, as of a strided official file.

    Args:
        points: Points per axis that are wanted.
        released: Points per axis of the released grid.
        equation: For the message.

    Raises:
        RequestError: `points` does not divide `released`.
    """
    if points < 1 or released % points:
        fitting = [str(n) for n in (released // 4, released // 2, released)]
        raise RequestError(
            f"{equation} is solved on the {released} points per axis of the released files, and "
            f"other resolutions are strides of them; {points} does not divide {released}. Ask for "
            f"{fitting[0]}, {fitting[1]} or {fitting[2]}."
        )
    return released // points
