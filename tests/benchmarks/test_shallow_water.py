from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.pdebench.solvers import shallow_water as solver
from xmft.errors import RequestError

CPU = torch.device("cpu")
ENDS = np.array([0.0, 1.0])


def test_still_water_stays_still() -> None:
    edges = np.linspace(0, 6, 61)
    state = np.stack([np.full(60, 1.7), np.zeros(60)])
    assert np.abs(solver.rate(state, edges)).max() < 1e-13


@pytest.mark.parametrize(("radius", "points"), [(0.3, 128), (0.52, 33), (0.7, 64)])
def test_water_is_neither_lost_nor_gained(radius: float, points: int) -> None:
    depth = solver.depth(radius, points, np.array([0.0, 0.01, 0.4, 1.0]))
    expected = 1 + np.pi * radius**2 / 25
    np.testing.assert_allclose(depth.mean((1, 2)), expected, atol=1e-12)


@pytest.mark.parametrize("points", [16, 17])
def test_the_depth_has_the_symmetries_of_the_square(points: int) -> None:
    depth = solver.depth(0.45, points, np.array([0.0, 0.3, 1.0]))
    np.testing.assert_array_equal(depth, depth[:, ::-1])
    np.testing.assert_array_equal(depth, depth[:, :, ::-1])
    np.testing.assert_allclose(depth, depth.transpose(0, 2, 1), atol=1e-12)


def test_the_cells_hold_averages() -> None:
    # At the break and shortly after, the average of a cell is that of the dam's share in it.
    points, radius = 20, 0.5
    found = solver.depth(radius, points, np.array([0.0, 1e-6]))
    line = (np.arange(100 * points) + 0.5) * 5 / (100 * points) - 2.5
    inside = line[:, None] ** 2 + line**2 <= radius**2
    share = inside.reshape(points, 100, points, 100).mean((1, 3))
    np.testing.assert_allclose(found[0], 1 + share, atol=3e-3)
    np.testing.assert_allclose(found[1], 1 + share, atol=3e-3)


def test_the_first_frame_tells_the_radius() -> None:
    radii = np.random.default_rng(0).uniform(0.3, 0.7, 50)
    frames = [solver.depth(radius, 32, np.array([0.0]))[0].ravel() for radius in radii]
    assert len(np.unique(np.round(frames, 6), axis=0)) == 50


@pytest.mark.parametrize("points", [7, 32])
def test_the_rings_cover_every_cell_once(points: int) -> None:
    edges, areas = solver._rings(points)
    np.testing.assert_allclose(areas.sum(axis=1), 1.0, atol=1e-12)
    half = points - points // 2
    # Cells on an axis count half where they straddle it, so that a quarter of each ring is left.
    weights = np.ones(half)
    weights[0] = 0.5 if points % 2 else 1.0
    totals = (weights[:, None] * weights).ravel() @ areas * (5 / points) ** 2
    rings = np.pi / 4 * np.diff(edges**2)
    whole = edges[1:] < 2.5
    np.testing.assert_allclose(totals[whole], rings[whole], atol=1e-12)


def test_a_sample_depends_on_its_own_generator_and_not_on_the_frames() -> None:
    def rngs() -> list[np.random.Generator]:
        return [np.random.default_rng(seed) for seed in (1, 2, 3)]

    every = solver.samples(rngs(), {}, 32, solver.TIMES, CPU)
    assert every["data"].shape == (3, 101, 32, 32, 1)
    assert every["dam_radius"].shape == (3,)
    assert np.all((every["dam_radius"] >= 0.3) & (every["dam_radius"] <= 0.7))
    alone = solver.samples(rngs()[1:2], {}, 32, solver.TIMES[[0, 20, 100]], CPU)
    np.testing.assert_array_equal(alone["dam_radius"], every["dam_radius"][1:2])
    np.testing.assert_array_equal(alone["data"], every["data"][1:2, [0, 20, 100]])
    first = solver.samples(rngs()[:1], {}, 64, np.array([0.0]), CPU)
    assert first["dam_radius"][0] == every["dam_radius"][0]


def test_coordinates_and_configuration_are_those_of_the_file() -> None:
    x = solver.coordinates(64)["x"]
    np.testing.assert_allclose(x, -2.5 + 5 * (np.arange(64) + 0.5) / 64)
    found = solver.configuration(64)
    assert (found["T_end"], found["n_time_steps"], found["xdim"]) == (1.0, 100, 64)
    assert (found["gravity"], found["inner_height"], found["x_left"]) == (1.0, 2.0, -2.5)
    assert solver.tolerance({}, 128) < 7.8e-3 / 10


@pytest.mark.parametrize("radius", [0.29, 0.71, float("nan")])
def test_a_radius_out_of_range_is_refused(radius: float) -> None:
    with pytest.raises(RequestError, match=r"from 0\.3 to 0\.7"):
        solver.depth(radius, 16, ENDS)


@pytest.mark.parametrize("times", [[], [0.1, 1.0], [0.0, 0.5, 0.5], [0.0, 1.1]])
def test_times_out_of_range_are_refused(times: list[float]) -> None:
    with pytest.raises(RequestError, match="must rise from 0"):
        solver.depth(0.5, 16, np.array(times))
