"""Linear advection, u_t + beta u_x = 0 on the periodic unit interval, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.solvers import cell_centres, line_coordinates, random_field

Array = npt.NDArray[np.float64]

FINAL_TIME = 2.0


def solve(initial: Callable[[Array], Array], x: Array, *, beta: float, time: float) -> Array:
    """Return u(x, time) = u0((x - beta time) mod 1), exact to rounding.

    Args:
        initial: u0, from points `[points]` in [0, 1) to values `[samples, points]`.
        x: Where the solution is wanted, `[points]`.
        beta: Speed, in lengths of the domain per unit of time.
        time: Time of the solution.

    Returns:
        `[samples, points]`.
    """
    return initial(np.mod(x - beta * time, 1.0))


def samples(
    rngs: Sequence[np.random.Generator], parameters: Mapping[str, float], points: int
) -> dict[str, Array]:
    """Draw one random field from each generator and advect it with speed `beta`.

    Returns:
        `tensor`, `[samples, 2, points]`: the fields at times 0 and 2.
    """
    field = random_field.draw(rngs)
    x = cell_centres(points)
    final = solve(field, x, beta=parameters["beta"], time=FINAL_TIME)
    return {"tensor": np.stack([field(x), final], axis=1)}


def coordinates(points: int) -> dict[str, Array]:
    """Return the coordinate datasets that go with `samples`."""
    return line_coordinates(points, FINAL_TIME)
