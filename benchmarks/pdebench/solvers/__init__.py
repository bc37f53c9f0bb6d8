"""Solvers of the PDEs that PDEBench's released files hold, written from the equations.

Every solver works in float64 on batches `[samples, *grid]`, to an accuracy stated in its module,
and none of them depends on which samples share a batch. `samples` and `coordinates` of a module
make the datasets of a file; `benchmarks.pdebench.generate` writes them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cell_centres(points: int) -> npt.NDArray[np.float64]:
    """Return x_i = (i + 1/2) / points, the centres of equal cells of the unit interval."""
    return (np.arange(points) + 0.5) / points


def line_coordinates(points: int, time: float) -> dict[str, npt.NDArray[np.float64]]:
    """Return the coordinate datasets of a 1-D file with frames at 0 and `time`.

    The times are one more than the frames, as in the released files.
    """
    return {"x-coordinate": cell_centres(points), "t-coordinate": time * np.arange(3.0)}
