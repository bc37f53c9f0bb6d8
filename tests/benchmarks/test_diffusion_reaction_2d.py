from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from scipy.integrate import solve_ivp

from benchmarks.pdebench.solvers import diffusion_reaction_2d as solver
from xmft.errors import RequestError

CPU = torch.device("cpu")
ENDS = np.array([0.0, 5.0])


def noise(seed: int, cells: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, cells, cells))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(("kx", "ky"), [(0, 1), (3, 5), (15, 15)])
def test_without_reaction_a_cosine_decays_at_the_rate_of_the_stencil(kx: int, ky: int) -> None:
    cells, time = 16, 1.7
    centres = (np.arange(cells) + 0.5) / cells
    mode = np.cos(np.pi * kx * centres)[:, None] * np.cos(np.pi * ky * centres)
    rate = sum((cells * np.sin(np.pi * k / (2 * cells))) ** 2 for k in (kx, ky))
    initial = np.stack([mode, 2 * mode])[None]
    found = solver.solve(initial, np.array([0.0, time]), reaction=False)[0, 1]
    np.testing.assert_allclose(found[0], mode * np.exp(-1e-3 * rate * time), atol=1e-13)
    np.testing.assert_allclose(found[1], 2 * mode * np.exp(-5e-3 * rate * time), atol=1e-13)


def test_without_reaction_nothing_flows_through_the_walls() -> None:
    initial = noise(2, 32)
    found = solver.solve(initial, ENDS, reaction=False)[:, 1]
    np.testing.assert_allclose(found.mean((-2, -1)), initial.mean((-2, -1)), atol=1e-14)
    assert found.std() < 0.2 * initial.std()


def test_constant_fields_follow_the_ordinary_differential_equations() -> None:
    start = np.array([1.2, -0.7])
    initial = np.broadcast_to(start[:, None, None], (1, 2, 8, 8))
    truth = solve_ivp(
        lambda _, y: [y[0] - y[0] ** 3 - 5e-3 - y[1], y[0] - y[1]],
        (0, 5),
        start,
        rtol=1e-12,
        atol=1e-14,
        method="DOP853",
    ).y[:, -1]
    found = solver.solve(np.ascontiguousarray(initial), ENDS)[0, 1]
    assert np.ptp(found, axis=(1, 2)).max() < 1e-12
    np.testing.assert_allclose(found[:, 0, 0], truth, atol=3e-7)


def test_the_transform_of_a_gpu_is_that_of_the_cpu() -> None:
    values = torch.from_numpy(noise(3, 16))
    forward, backward = solver._matrix_transforms(16, CPU)
    expected = scipy.fft.dctn(values.numpy(), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(forward(values).numpy(), expected, atol=1e-13)
    np.testing.assert_allclose(backward(forward(values)).numpy(), values.numpy(), atol=1e-13)


def test_the_other_transform_gives_the_same_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    initial = noise(4, 16)
    expected = solver.solve(initial, ENDS)
    monkeypatch.setattr(solver, "_transforms", solver._matrix_transforms)
    np.testing.assert_allclose(solver.solve(initial, ENDS), expected, atol=1e-12)


def test_a_sample_does_not_depend_on_its_batch_mates() -> None:
    initial = noise(5, 16, count=3)
    together = solver.solve(initial, ENDS)
    for sample, expected in zip(initial, together, strict=True):
        np.testing.assert_allclose(solver.solve(sample[None], ENDS)[0], expected, atol=1e-13)


def test_a_frame_does_not_depend_on_the_others() -> None:
    initial = noise(6, 16)
    every = solver.solve(initial, solver.TIMES)
    chosen = solver.solve(initial, solver.TIMES[[0, 1, 29, 100]])
    np.testing.assert_array_equal(chosen, every[:, [0, 1, 29, 100]])
    between = solver.solve(initial, np.array([0.0, 0.123, 5.0]))
    assert relative(between[:, -1], every[:, -1]) < 3e-7


def test_coarser_points_are_a_stride_of_the_released_grid() -> None:
    times = np.array([0.0, 0.05])
    fine, coarse = (
        solver.samples([np.random.default_rng(seed) for seed in (7, 8)], {}, points, times, CPU)
        for points in (128, 32)
    )
    assert fine["data"].shape == (2, 2, 128, 128, 2)
    np.testing.assert_array_equal(coarse["data"], fine["data"][:, :, ::4, ::4])
    drawn = np.random.default_rng(8).standard_normal((2, 128, 128))
    np.testing.assert_array_equal(fine["data"][1, 0, ..., 1], drawn[1])
    x = solver.coordinates(128)["x"]
    np.testing.assert_array_equal(solver.coordinates(32)["y"], x[::4])
    np.testing.assert_allclose(x, -1 + (np.arange(128) + 0.5) / 64)


@pytest.mark.parametrize("points", [0, 48, 256])
def test_points_that_are_no_stride_are_refused(points: int) -> None:
    with pytest.raises(RequestError, match="does not divide 128"):
        solver.coordinates(points)
    with pytest.raises(RequestError, match="does not divide 128"):
        solver.samples([np.random.default_rng(0)], {}, points, ENDS, CPU)


@pytest.mark.parametrize("times", [[], [0.1, 1.0], [0.0, 1.0, 1.0]])
def test_times_that_do_not_rise_from_zero_are_refused(times: list[float]) -> None:
    with pytest.raises(RequestError, match="must rise from 0"):
        solver.solve(noise(0, 8), np.array(times))


def test_the_configuration_names_the_constants_of_the_file() -> None:
    found = solver.configuration(32)
    assert (found["Du"], found["Dv"], found["k"]) == (1e-3, 5e-3, 5e-3)
    assert (found["t"], found["tdim"], found["xdim"], found["n"]) == (5, 101, 128, 1)
    assert solver.tolerance({}, 32) < 2.6e-7
