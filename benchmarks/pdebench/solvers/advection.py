"""Linear advection, u_t + beta u_x = 0 on the periodic unit interval, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.pdebench.solvers import random_field, strided_centres

Array = npt.NDArray[np.float64]

SOLVER = "advection 2: closed form"
TIMES: Array = np.arange(201.0) * 0.01
RELEASED_POINTS = 1024
BATCH = 32


def solve(initial: Callable[[Array], Array], x: Array, *, beta: float, times: Array) -> Array:
    """Return u(x, t) = u0((x - beta t) mod 1), exact to rounding.

    Args:
        initial: u0, from points `[points]` in [0, 1) to values `[samples, points]`.
        x: Where the solution is wanted, `[points]`.
        beta: Speed, in lengths of the domain per unit of time.
        times: Times of the solution, `[frames]`.

    Returns:
        `[samples, frames, points]`.
    """
    moved = np.mod(x - beta * times[:, None], 1.0)
    return initial(moved.ravel()).reshape(-1, *moved.shape)


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw one random field from each generator and advect it with speed `beta`.

    Returns:
        `tensor`, `[samples, frames, points]`: the fields at `times`.
    """
    x = coordinates(points)["x-coordinate"]
    return {"tensor": solve(random_field.draw(rngs), x, beta=parameters["beta"], times=times)}


def coordinates(points: int) -> dict[str, Array]:
    """Return the grid coordinates that go with `samples`."""
    return {"x-coordinate": strided_centres(points, RELEASED_POINTS)}


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the relative L2 accuracy of stored solutions: rounding to float32."""
    return 1e-7
