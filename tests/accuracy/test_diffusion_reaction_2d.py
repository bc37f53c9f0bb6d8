from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from benchmarks.pdebench.solvers import diffusion_reaction_2d as solver


def noise(seed: int, cells: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, cells, cells))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def laplacian(field: np.ndarray, spacing: float) -> np.ndarray:
    padded = np.pad(field, 1, mode="edge")
    around = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return (around - 4 * field) / spacing**2


@pytest.mark.parametrize("cells", [8, 24])
def test_the_solution_is_that_of_an_explicit_integrator(cells: int) -> None:
    initial = noise(0, cells)
    times = np.array([0.0, 0.05, 0.25, 1.0, 2.5, 5.0])

    def derivative(_: float, flat: np.ndarray) -> np.ndarray:
        u, v = flat.reshape(2, cells, cells)
        du = 1e-3 * laplacian(u, 2 / cells) + u - u**3 - 5e-3 - v
        return np.stack([du, 5e-3 * laplacian(v, 2 / cells) + u - v]).ravel()

    truth = solve_ivp(
        derivative, (0, 5), initial.ravel(), method="DOP853", rtol=1e-11, atol=1e-13, t_eval=times
    ).y.T.reshape(len(times), 2, cells, cells)
    found = solver.solve(initial, times)[0]
    for frame, expected in zip(found, truth, strict=True):
        assert relative(frame[0], expected[0]) < 5e-7
        assert relative(frame[1], expected[1]) < 5e-7


def test_the_released_grid_meets_the_stated_tolerance() -> None:
    # One interval between frames, where the noise decays: the explicit integrator is quick there.
    initial, cells = noise(1, solver.GRID), solver.GRID

    def derivative(_: float, flat: np.ndarray) -> np.ndarray:
        u, v = flat.reshape(2, cells, cells)
        du = 1e-3 * laplacian(u, 2 / cells) + u - u**3 - 5e-3 - v
        return np.stack([du, 5e-3 * laplacian(v, 2 / cells) + u - v]).ravel()

    truth = solve_ivp(
        derivative, (0, 0.1), initial.ravel(), method="DOP853", rtol=1e-10, atol=1e-12
    )
    found = solver.solve(initial, np.array([0.0, 0.1]))[0, 1]
    expected = truth.y[:, -1].reshape(2, cells, cells)
    assert relative(found[0], expected[0]) < 3e-7
    assert relative(found[1], expected[1]) < 3e-7
