"""What a perfect solver makes of the test samples, on files whose solutions are known otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.integrate

from benchmarks import data
from benchmarks.pdebench import batches, perfect
from benchmarks.pdebench.solvers import darcy, diffusion_reaction, diffusion_sorption
from xmft.errors import DataError
from xmft.floor import Floor, floor_of
from xmft.task import Protocol, Recipe, TaskData

Array = npt.NDArray[np.float64]
Write = Callable[..., Path]

SAMPLES = 20  # two of them are for the test


def load(
    root: Path, task: str, resolution: int, protocol: Protocol = "clean", **recipe: Any
) -> TaskData:
    recipe = Recipe(resolution=resolution, **recipe)
    return data.load(task, data_root=root, recipe=recipe, protocol=protocol)


def floor(loaded: TaskData) -> Floor:
    found = floor_of(loaded)
    assert found is not None
    return found


def centres(points: int) -> Array:
    return (np.arange(points) + 0.5) / points


def relative(found: Array, true: Array) -> Array:
    found, true = found.reshape(len(found), -1), true.reshape(len(true), -1)
    return np.asarray(np.linalg.norm(found - true, axis=1) / np.linalg.norm(true, axis=1))


@pytest.mark.parametrize(("beta", "stride"), [("0.4", 1), ("1.0", 4)])
def test_advection_is_the_initial_field_moved(
    data_root: Path, write_hdf5: Write, beta: str, stride: int
) -> None:
    x, sample = centres(256)[None], np.arange(SAMPLES)[:, None]

    def field(x: Array) -> Array:
        return 1 + sample + np.sin(2 * np.pi * 3 * x + sample) + np.cos(2 * np.pi * 8 * x)

    moved = field(x - 2 * float(beta))
    off = np.where(sample == 0, 1.1, 1.01)
    arrays = {
        "tensor": np.stack([field(x), off * moved], axis=1)[..., ::stride],
        "x-coordinate": x[0, ::stride],
        "t-coordinate": [0.0, 2.0, 4.0],
    }
    write_hdf5(f"1D_Advection_Sols_beta{beta}.hdf5", {"beta": float(beta)}, arrays)
    task = "pdebench/advection" + ("" if beta == "0.4" else f":beta{beta}")
    loaded = load(data_root, task, 64)
    assert loaded.floor is None and loaded.perfect is not None
    np.testing.assert_allclose(loaded.perfect[:, 0], moved[:2, :: 256 // 64], rtol=1e-5, atol=1e-5)
    found = floor(loaded)
    # The distance over the norm of the data, not of the solution.
    each = [0.1 / 1.1, 0.01 / 1.01]
    assert found.score == pytest.approx(np.mean(each), rel=1e-4)
    assert found.median == pytest.approx(np.mean(each), rel=1e-4)
    assert found.largest == pytest.approx(each[0], rel=1e-4) and found.samples == 2


def fisher(start: Array, times: Array) -> Array:
    """u_t = u_xx / 2 + u (1 - u) in Fourier space by a general integrator, `[frames, points]`."""
    points = start.shape[-1]
    rates = 0.5 * (2 * np.pi * np.fft.rfftfreq(points, 1 / points)) ** 2

    def slope(_: float, u: Array) -> Array:
        return np.asarray(np.fft.irfft(-rates * np.fft.rfft(u), points) + u * (1 - u))

    ends = (0.0, times[-1])
    solved = scipy.integrate.solve_ivp(slope, ends, start, t_eval=times, rtol=1e-9, atol=1e-11)
    return np.asarray(solved.y.T)


def write_fisher(write_hdf5: Write) -> Array:
    """A file whose frames after the first are 0.9 times the solutions, which are returned."""
    times = np.arange(101) * 0.01
    phases = np.arange(SAMPLES) / SAMPLES
    wave = np.cos(2 * np.pi * (centres(32) + phases[:, None]))
    true = np.stack([fisher(row, times) for row in (0.2 + 0.5 * phases[:, None]) * (1 + wave) / 2])
    arrays = {
        "tensor": np.where(times[:, None] > 0, 0.9, 1.0) * true,
        "x-coordinate": centres(32),
        "t-coordinate": np.append(times, 1.01),
    }
    write_hdf5("ReacDiff_Nu0.5_Rho1.0.hdf5", {"Nu": 0.5, "rho": 1.0}, arrays)
    return true


@pytest.mark.parametrize(("protocol", "frame"), [("clean", 100), ("released", 99)])
def test_diffusion_reaction_is_solved_to_the_time_of_the_test(
    data_root: Path, write_hdf5: Write, protocol: Protocol, frame: int
) -> None:
    true = write_fisher(write_hdf5)
    loaded = load(data_root, "pdebench/diffusion_reaction_1d", 32, protocol)
    assert loaded.perfect is not None
    np.testing.assert_allclose(loaded.perfect[:, 0], true[:2, frame], rtol=1e-5)
    # The file is off by 0.1 of the solution, and a perfect solver scores 0.1 / 0.9.
    assert floor(loaded).score == pytest.approx(0.1 / 0.9, rel=1e-3)


def test_where_the_solver_fails_the_floor_is_not_known(
    data_root: Path, write_hdf5: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fisher(write_hdf5)
    monkeypatch.setattr(diffusion_reaction, "LEVELS", 1)
    loaded = load(data_root, "pdebench/diffusion_reaction_1d", 32)
    assert loaded.perfect is None and floor_of(loaded) is None


def test_bad_samples_are_told_by_who_reads_them_all(data_root: Path, write_hdf5: Write) -> None:
    nu = np.linspace(0.1, 1.0, SAMPLES)[:, None, None] * np.ones((32, 32))
    u = darcy.solve(nu, beta=1.0)
    nu[[0, 1, 7], 3] = -1.0
    write_darcy(write_hdf5, nu, u, centres(32))
    with pytest.raises(DataError, match="sample 0 of 'nu' and in 2 more"):
        load(data_root, "pdebench/darcy:beta1.0", 32)


@pytest.mark.parametrize("native", [1024, 256, 64])
def test_sorption_is_solved_for_the_concentration_at_the_start(
    data_root: Path, write_groups: Write, native: int
) -> None:
    starts = np.linspace(0.01, 0.19, 10)
    initial = np.repeat(starts[:, None], native, axis=1)
    solution = diffusion_sorption.solve(initial, np.array([0.0, 500.0]))
    stride = native // 32
    values = solution[:, :, ::stride, None]
    write_groups(
        "1D_diff-sorp_NA_NA.h5", values, {"x": centres(native)[::stride], "t": [0.0, 500.0]}
    )
    loaded = load(data_root, "pdebench/diffusion_sorption", 16)
    # Against cells of a sixth or less of the width, with another stencil.
    cells = 9 * 1024 // 3
    fine = diffusion_sorption.solve(
        np.full((1, cells), starts[-1]), np.array([500.0]), scheme="accurate"
    )[0, 0]
    true = np.interp(centres(native)[:: 2 * stride], centres(cells), fine)
    assert loaded.perfect is not None
    np.testing.assert_allclose(loaded.perfect[0, 0], true, rtol=0, atol=5e-6)
    # The walls are off by half a cell: 1e-3 with 1024 cells.
    assert floor(loaded).score == pytest.approx(1.0 / native, rel=0.1)


def poisson(points: int) -> Array:
    """-lap u = 1 on the unit square with u = 0 around it, by the Fourier series."""
    k = np.arange(1, 800, 2)
    sines = np.sin(np.pi * k[:, None] * centres(points))
    weight = 16 / np.pi**4 / np.outer(k, k) / (k[:, None] ** 2 + k**2)
    return np.einsum("kl,ki,lj->ij", weight, sines, sines, optimize=True)


def write_darcy(write_hdf5: Write, nu: Array, u: Array, x: Array) -> Path:
    arrays = {"tensor": u[:, None], "nu": nu, "x-coordinate": x, "y-coordinate": x}
    return write_hdf5("2D_DarcyFlow_beta1.0_Train.hdf5", {"beta": 1.0}, arrays)


def test_darcy_is_solved_on_the_cells_of_the_file(data_root: Path, write_hdf5: Write) -> None:
    scale = np.linspace(0.1, 1.0, SAMPLES)[:, None, None]
    nu, true = scale * np.ones((64, 64)), poisson(64) / scale
    # The first test sample has not settled, the others are what the released stencil gives.
    stored = darcy.solve(nu, beta=1.0)
    stored[0] += 0.5 * true[0]
    write_darcy(write_hdf5, nu, stored, centres(64))
    loaded = load(data_root, "pdebench/darcy:beta1.0", 32)
    each = relative(true[:2, ::2, ::2], stored[:2, ::2, ::2])
    found = floor(loaded)
    assert found.score == pytest.approx(each.mean(), abs=1e-3)
    assert found.largest == pytest.approx(each.max(), abs=1e-3)
    assert each.min() == pytest.approx(0.0516, abs=1e-3) and each.max() > 0.3


def test_a_strided_official_coefficient_does_not_tell_the_solution(
    data_root: Path, write_hdf5: Write
) -> None:
    nu = np.linspace(0.1, 1.0, SAMPLES)[:, None, None] * np.ones((32, 32))
    write_darcy(write_hdf5, nu, darcy.solve(nu, beta=1.0), centres(128)[::4])
    loaded = load(data_root, "pdebench/darcy:beta1.0", 32)
    assert loaded.perfect is None
    assert floor(loaded) == Floor(score=5.8e-2, note=loaded.floor_note)


def test_coefficients_on_one_side_of_the_threshold_may_come_again(
    data_root: Path, write_hdf5: Write
) -> None:
    nu = darcy.draw_coefficient(batches.generators(0, 0, SAMPLES), 32)
    nu[[3, 5]] = 0.1
    x = centres(32)
    path = write_darcy(write_hdf5, nu, darcy.solve(nu, beta=1.0), x)
    assert load(data_root, "pdebench/darcy:beta1.0", 32).perfect is not None
    data.verify("pdebench/darcy:beta1.0", data_root=data_root)
    path.unlink()
    nu[7] = nu[6]
    write_darcy(write_hdf5, nu, darcy.solve(nu, beta=1.0), x)
    for look in (
        lambda: load(data_root, "pdebench/darcy:beta1.0", 32),
        lambda: data.verify("pdebench/darcy:beta1.0", data_root=data_root),
    ):
        with pytest.raises(DataError, match="sample 7 is the same as sample 6"):
            look()


def generated(root: Path, resolution: int) -> Path:
    wanted = data.Generation(samples=SAMPLES, resolution=resolution)
    return data.generate("pdebench/darcy:beta1.0", wanted, data_root=root)


def test_the_coefficient_of_generated_samples_is_drawn_again(data_root: Path) -> None:
    path = generated(data_root, 32)
    loaded = load(path.parent, "pdebench/darcy:beta1.0", 32)
    nu = darcy.draw_coefficient(batches.generators(0, 0, 2), 128)
    fine = darcy.solve(nu.repeat(3, 1).repeat(3, 2), beta=1.0, scheme="accurate")[:, 1::3, 1::3]
    assert loaded.origin == "generated" and loaded.perfect is not None
    assert relative(loaded.perfect, fine[:, ::4, ::4]).max() < 4e-3
    score = floor(loaded).score
    assert 0.02 < score < 0.05
    # The same samples at another resolution have the same floor, but for the points.
    whole = load(generated(data_root, 128).parent, "pdebench/darcy:beta1.0", 128)
    assert floor(whole).score == pytest.approx(score, rel=0.02)


@pytest.mark.parametrize("seed", [None, 7])
def test_coefficients_of_another_seed_are_not_mistaken(data_root: Path, seed: int | None) -> None:
    path = generated(data_root, 32)
    with h5py.File(path, "a") as file:
        del file.attrs["xmft_seed"]
        if seed is not None:
            file.attrs["xmft_seed"] = seed
    loaded = load(path.parent, "pdebench/darcy:beta1.0", 32)
    assert loaded.perfect is None
    assert floor(loaded).score == darcy.tolerance({"beta": 1.0}, 32)


def test_it_is_solved_once(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: dict[str, Any] = {"samples": SAMPLES}
    first = load(data_root, "pdebench/darcy:beta1.0", 32, **recipe)
    monkeypatch.setattr(perfect, "solutions", lambda *_: pytest.fail("solved again"))
    again = load(data_root, "pdebench/darcy:beta1.0", 32, **recipe)
    assert floor_of(again) == floor_of(first) is not None
