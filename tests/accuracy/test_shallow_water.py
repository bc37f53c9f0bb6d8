from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from benchmarks.pdebench.solvers import shallow_water as solver

ENDS = np.array([0.0, 1.0])


def stoker(x: np.ndarray, time: float, high: float, low: float) -> np.ndarray:
    """Depth after a plane dam between two depths breaks, g = 1 (Stoker, 1957)."""

    def velocity_behind_the_shock(middle: float) -> float:
        return (middle - low) * np.sqrt((1 / middle + 1 / low) / 2)

    middle = brentq(lambda h: velocity_behind_the_shock(h) - 2 * (high**0.5 - h**0.5), low, high)
    velocity = velocity_behind_the_shock(middle)
    shock = middle * velocity / (middle - low)
    ray = x / time
    fan = (2 * np.sqrt(high) - ray) ** 2 / 9
    return np.select(
        [ray < -np.sqrt(high), ray < velocity - np.sqrt(middle), ray < shock],
        [high, fan, middle],
        low,
    )


def test_the_scheme_converges_to_the_exact_plane_dam_break() -> None:
    errors = []
    for cells in (200, 400, 800):
        edges = np.linspace(-2, 2, cells + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        state = np.stack([np.where(centres < 0, 2.0, 1.0), np.zeros(cells)])
        length = 1.0 / (cells // 2)
        for _ in range(cells // 2):
            first = state + length * solver.rate(state, edges, radial=False)
            state = (state + first + length * solver.rate(first, edges, radial=False)) / 2
        errors.append(np.abs(state[0] - stoker(centres, 1.0, 2.0, 1.0)).mean())
    assert errors[0] < 4e-3
    assert errors[2] < errors[1] / 1.7 < errors[0] / 1.7**2


def test_the_similarity_solution_converges_and_keeps_its_volume() -> None:
    fine = solver.similarity_solution(solver.CELLS)
    # Half of s^2 at s = 1, times the depth above the surroundings.
    np.testing.assert_allclose(fine[:, -1], 0.5, atol=1e-12)
    profile = fine[-1, :: solver.CELLS // 300]
    errors = []
    for cells in (300, 600, 1200):
        coarse = solver.similarity_solution.__wrapped__(cells)[-1, :: cells // 300]
        errors.append(np.abs(coarse - profile).mean())
    assert errors[2] < errors[1] / 2 < errors[0] / 4


def two_dimensional_depth(radius: float, cells: int, time: float) -> np.ndarray:
    """A plain 2-D scheme: minmod slopes, local Lax-Friedrichs flux, two-stage Runge-Kutta."""
    width = 5.0 / cells
    # Shares of the cells inside the dam, from 8 x 8 points.
    line = (np.arange(8 * cells) + 0.5) * width / 8 - 2.5
    inside = line[:, None] ** 2 + line**2 <= radius**2
    state = np.zeros((3, cells, cells))
    state[0] = 1 + inside.reshape(cells, 8, cells, 8).mean((1, 3))

    def along_x(state: np.ndarray) -> np.ndarray:
        padded = np.pad(state, [(0, 0), (2, 2), (0, 0)], mode="edge")
        jumps = np.diff(padded, axis=1)
        left, right = jumps[:, :-1], jumps[:, 1:]
        slopes = np.where(
            left * right > 0, np.sign(left) * np.minimum(np.abs(left), np.abs(right)), 0
        )
        inner = padded[:, 1:-1]
        sides = (inner + slopes / 2)[:, :-1], (inner - slopes / 2)[:, 1:]
        fluxes = [np.stack([m, m * m / h + h * h / 2, m * n / h]) for h, m, n in sides]
        speed = np.maximum(*(np.abs(m / h) + np.sqrt(h) for h, m, _ in sides))
        flux = (fluxes[0] + fluxes[1] - speed * (sides[1] - sides[0])) / 2
        return -np.diff(flux, axis=1) / width

    def rate(state: np.ndarray) -> np.ndarray:
        turned = along_x(state[[0, 2, 1]].transpose(0, 2, 1)).transpose(0, 2, 1)
        return along_x(state) + turned[[0, 2, 1]]

    steps = int(np.ceil(time / (0.25 * width)))
    for _ in range(steps):
        first = state + time / steps * rate(state)
        state = (state + first + time / steps * rate(first)) / 2
    return state[0]


def test_a_two_dimensional_scheme_approaches_the_radial_solution() -> None:
    times = np.array([0.0, 0.5, 1.0])
    errors = {time: [] for time in times[1:]}
    for cells in (32, 64, 128):
        found = solver.depth(0.6, cells, times)
        for frame, time in zip(found[1:], times[1:], strict=True):
            errors[time].append(np.abs(two_dimensional_depth(0.6, cells, time) - frame).mean())
    for coarse, medium, fine in errors.values():
        # A shock limits the mean error of any such scheme to first order.
        assert fine < medium / 1.6 < coarse / 1.6**2
        assert fine < 8e-3


def test_the_wave_does_not_reach_the_walls() -> None:
    depth = solver.depth(0.7, 128, ENDS)[1]
    np.testing.assert_allclose(depth[0], 1.0, atol=1e-9)
    assert depth[14:20, 64].max() > 1.05
