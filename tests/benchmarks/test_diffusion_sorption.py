from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.integrate
import scipy.linalg
import torch

from benchmarks.pdebench.solvers import diffusion_sorption
from xmft.errors import DataError, RequestError

Array = npt.NDArray[np.float64]

CPU = torch.device("cpu")

ENDS = np.array([0.0, 500.0])


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


def constant(values: list[float], points: int) -> Array:
    return np.repeat(np.array(values)[:, None], points, axis=1)


def relative_errors(found: Array, true: Array) -> Array:
    return np.asarray(
        np.linalg.norm(found - true, axis=-1) / np.linalg.norm(true, axis=-1), dtype=np.float64
    )


def stencil(points: int) -> tuple[Array, Array]:
    """Return the second differences over dx^2 as a matrix, and the part of the left value."""
    matrix = np.diag(np.full(points, -2.0)) + np.eye(points, k=1) + np.eye(points, k=-1)
    # The ghost cell on the right is D (u_{N-2} - u_{N-1}) / dx.
    matrix[-1, -2] += 5e-4 * points
    matrix[-1, -1] -= 5e-4 * points
    constant_part = np.zeros(points)
    constant_part[0] = 1.0
    return matrix * points**2, constant_part * points**2


def test_without_nonlinearity_it_is_the_matrix_exponential() -> None:
    points = 48
    constants = {**diffusion_sorption.CONSTANTS, "n_f": 1.0}
    retardation = 1 + (1 - 0.29) / 0.29 * 2880 * 3.5e-4
    matrix, constant_part = stencil(points)
    matrix, constant_part = matrix * 5e-4 / retardation, constant_part * 5e-4 / retardation
    steady = np.linalg.solve(matrix, -constant_part)
    times = np.array([0.0, 1.0, 60.0, 500.0])
    found = diffusion_sorption.solve(constant([0.1], points), times, constants=constants)[0]
    true = [steady + scipy.linalg.expm(matrix * t) @ (0.1 - steady) for t in times]
    assert relative_errors(found, np.stack(true)).max() < 2e-6


def test_samples_do_not_depend_on_their_batch() -> None:
    data = diffusion_sorption.samples(rngs(6), {}, 32, ENDS, CPU)["data"]
    assert data.shape == (6, 2, 32, 1) and data.dtype == np.float64
    alone = diffusion_sorption.samples(rngs(6)[4:5], {}, 32, ENDS, CPU)["data"]
    np.testing.assert_allclose(alone[0], data[4], rtol=1e-13)


def test_starts_are_constant_and_do_not_depend_on_the_points() -> None:
    many = [
        diffusion_sorption.samples(rngs(400), {}, points, np.zeros(1), CPU)["data"]
        for points in (8, 16)
    ]
    starts = many[0][:, 0, 0, 0]
    np.testing.assert_array_equal(
        many[0], np.broadcast_to(starts[:, None, None, None], (400, 1, 8, 1))
    )
    np.testing.assert_array_equal(many[1][:, 0, 5, 0], starts)
    assert 0 <= starts.min() < 0.01 and 0.19 < starts.max() < 0.2
    assert starts.mean() == pytest.approx(0.1, abs=0.01)


def test_layout() -> None:
    assert len(diffusion_sorption.TIMES) == 101 and diffusion_sorption.TIMES[1] == 5.0
    assert diffusion_sorption.coordinates(8).keys() == {"x"}
    whole = (np.arange(1024) + 0.5) / 1024
    np.testing.assert_allclose(diffusion_sorption.coordinates(8)["x"], whole[::128])
    assert diffusion_sorption.configuration(8)["xdim"] == 1024


def test_a_resolution_is_a_stride_of_the_released_grid() -> None:
    whole, strided = (
        diffusion_sorption.samples(rngs(2), {}, points, ENDS, CPU)["data"] for points in (1024, 256)
    )
    np.testing.assert_array_equal(strided, whole[:, :, ::4])
    for wrong in (100, 2048):
        with pytest.raises(RequestError, match=f"{wrong} does not divide 1024"):
            diffusion_sorption.coordinates(wrong)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_concentrations_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="not below zero"):
        diffusion_sorption.solve(constant([value], 8), ENDS)


def test_an_accuracy_out_of_reach_is_an_error() -> None:
    with pytest.raises(DataError, match="did not reach"):
        diffusion_sorption.solve(constant([0.1], 8), ENDS, step_tolerance=1e-60)
