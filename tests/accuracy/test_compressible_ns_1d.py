from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import compressible_ns_1d

Array = npt.NDArray[np.float64]

CPU = torch.device("cpu")

ENDS = np.array([0.0, 1.0])


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


def stacked(arrays: dict[str, Array]) -> Array:
    """`[samples, frames, points, 3]`."""
    return np.stack([arrays[name] for name in ("density", "pressure", "Vx")], axis=-1)


def errors(found: Array, true: Array) -> Array:
    """Relative L2 error of each sample."""
    axes = tuple(range(1, found.ndim))
    return np.asarray(np.sqrt(((found - true) ** 2).sum(axes) / (true**2).sum(axes)))


class TestSamples:
    @pytest.mark.parametrize("eta", [1e-8, 0.1])
    def test_points_matter_no_more_than_the_tolerance(self, eta: float) -> None:
        parameters = {"eta": eta, "zeta": eta}
        few, many = (
            stacked(
                compressible_ns_1d.samples(
                    rngs(4), parameters, points, ENDS / 5, CPU, cells_per_point=1024 // points
                )
            )
            for points in (32, 128)
        )
        # Both are cells of the same grid.
        np.testing.assert_array_equal(few, many[:, :, ::4])

    @pytest.mark.parametrize("eta", [1e-8, 0.01])
    def test_the_error_falls_with_the_cells_as_the_tolerance_says(self, eta: float) -> None:
        parameters = {"eta": eta, "zeta": eta}
        true, *found = (
            stacked(
                compressible_ns_1d.samples(
                    rngs(3), parameters, 32, ENDS, CPU, cells_per_point=cells // 32
                )
            )[:, 1]
            for cells in (256, 64, 128)
        )
        coarse, fine = (errors(x, true).mean() for x in found)
        assert coarse < 4e-2 and fine < coarse / 1.8
