from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg

from benchmarks.pdebench.solvers import diffusion_sorption

Array = npt.NDArray[np.float64]

Method = Literal["Radau", "BDF", "LSODA"]

ENDS = np.array([0.0, 500.0])

# What the steps in time add at the end, as stated.
STEPS = 4e-7


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


def by_scipy(u0: float, points: int, times: Array, method: Method) -> Array:
    matrix, constant_part = stencil(points)
    factor = (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874

    def rate(_: float, u: Array) -> Array:
        return 5e-4 / (1 + factor * (u + 1e-6) ** (0.874 - 1)) * (matrix @ u + constant_part)

    solution = scipy.integrate.solve_ivp(
        rate,
        (0.0, times[-1]),
        np.full(points, u0),
        method=method,
        t_eval=times,
        rtol=1e-9,
        atol=1e-11,
    )
    return np.asarray(solution.y.T, dtype=np.float64)


@pytest.mark.parametrize(
    ("u0", "points", "method"), [(0.15, 32, "Radau"), (0.002, 32, "BDF"), (0.08, 33, "LSODA")]
)
def test_agrees_with_scipy(u0: float, points: int, method: Method) -> None:
    times = np.array([0.0, 5.0, 40.0, 250.0, 500.0])
    found = diffusion_sorption.solve(constant([u0], points), times)[0]
    errors = relative_errors(found, by_scipy(u0, points, times, method))
    assert errors.max() < 3e-6
    assert errors[-1] <= STEPS


def on_nodes(u0: float, intervals: int) -> Array:
    """The equation on nodes that lie on the walls, by another integrator: u at the cell centres.

    u = 1 is the value of the first node; u + D u_x = 0 is a cell that mirrors the one before the
    last. Two grids are extrapolated.
    """
    factor = (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874
    found = []
    for n in (intervals, 2 * intervals):
        step = 1 / n

        def rate(_: float, u: Array, step: float = step) -> Array:
            wide = np.concatenate([[1.0], u, [u[-2] - 2 * step * u[-1] / 5e-4]])
            bend = (wide[2:] - 2 * u + wide[:-2]) / step**2
            return 5e-4 / (1 + factor * (u + 1e-6) ** (0.874 - 1)) * bend

        solution = scipy.integrate.solve_ivp(
            rate, (0.0, 500.0), np.full(n, u0), method="LSODA", lband=1, uband=1, rtol=1e-9,
            atol=1e-11,
        )  # fmt: skip
        found.append(np.concatenate([[1.0], solution.y[:, -1]]))
    coarse, fine = found
    extrapolated = (4 * fine[::2] - coarse) / 3
    nodes = np.linspace(0.0, 1.0, intervals + 1)
    centres = (np.arange(1024) + 0.5) / 1024
    return np.asarray(scipy.interpolate.CubicSpline(nodes, extrapolated)(centres))


@pytest.mark.parametrize("u0", [0.01, 0.1, 0.2])
def test_the_equation_itself_by_nodes_on_the_walls(u0: float) -> None:
    true = on_nodes(u0, 256)
    accurate, released = (
        diffusion_sorption.solve(constant([u0], 1024), ENDS, scheme=scheme)[0, 1]
        for scheme in get_args(diffusion_sorption.Scheme)[::-1]
    )
    assert relative_errors(accurate, true) < 3e-6
    for stride in (1, 4, 64):
        stated = diffusion_sorption.tolerance({}, 1024 // stride)
        error = relative_errors(released[::stride], true[::stride])
        assert 0.6 * stated < error <= stated


def test_long_run_ends_on_the_straight_line() -> None:
    points = 16
    matrix, constant_part = stencil(points)
    steady = np.linalg.solve(matrix, -constant_part)
    np.testing.assert_allclose(np.diff(steady, 2), 0, atol=1e-13)
    found = diffusion_sorption.solve(constant([0.0, 0.2], points), np.array([1e6]))[:, 0]
    np.testing.assert_allclose(found, np.stack([steady, steady]), rtol=1e-6)


def test_error_follows_the_tolerance_of_the_steps() -> None:
    initial = constant([0.0, 1e-8, 1e-5, 0.01, 0.19], 64)
    fine = diffusion_sorption.solve(initial, ENDS, step_tolerance=1e-10)[:, 1]
    errors = [
        relative_errors(diffusion_sorption.solve(initial, ENDS, step_tolerance=s)[:, 1], fine).max()
        for s in (1e-5, diffusion_sorption.STEP_TOLERANCE, 1e-7)
    ]
    assert errors[0] < 1e-5 and errors[2] < 1e-7
    assert errors[1] <= STEPS


def test_profiles_fall_along_x_and_grow_with_the_start() -> None:
    found = diffusion_sorption.solve(
        constant([1e-4, 0.01, 0.1, 0.2], 128), diffusion_sorption.TIMES[[0, 1, 20, 100]]
    )
    assert (found > 0).all() and (found < 1).all()
    assert (np.diff(found, axis=-1) < 1e-7).all()
    assert (np.diff(found, axis=0) > 0).all()


def test_frames_between_change_nothing() -> None:
    initial = constant([0.05, 0.17], 64)
    all_frames = diffusion_sorption.solve(initial, diffusion_sorption.TIMES)
    ends = diffusion_sorption.solve(initial, ENDS)
    np.testing.assert_array_equal(all_frames[:, 0], initial)
    assert relative_errors(ends[:, 1], all_frames[:, -1]).max() < 5e-7
