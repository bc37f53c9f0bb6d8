from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from benchmarks import catalog
from benchmarks.pdebench.generate import GENERATORS, write
from benchmarks.pdebench.solvers import (
    compressible_ns_1d,
    compressible_ns_2d,
    diffusion_reaction_2d,
    shallow_water,
    strided_centres,
)
from tests.benchmarks.final_frames import FINAL_FRAMES

Array = npt.NDArray[Any]

PARAMETERS: dict[str, dict[str, float]] = {
    "pdebench/advection": {"beta": 0.4},
    "pdebench/burgers": {"Nu": 0.01},
    "pdebench/compressible_ns_1d": {"eta": 0.1, "zeta": 0.1},
    "pdebench/compressible_ns_2d": {"M": 0.1, "eta": 0.1, "zeta": 0.1},
    "pdebench/darcy": {"beta": 1.0},
    "pdebench/diffusion_reaction_1d": {"Nu": 0.5, "rho": 1.0},
    "pdebench/diffusion_reaction_2d": {},
    "pdebench/diffusion_sorption": {},
    "pdebench/shallow_water": {},
}

# A generator that is not among them is tested with the values of its task.
PARAMETERS |= {
    task: dict(catalog.get(task).parameters) for task in GENERATORS.keys() - PARAMETERS.keys()
}
FINAL_TIME = {
    "pdebench/advection": 2.0,
    "pdebench/burgers": 2.0,
    "pdebench/diffusion_sorption": 500.0,
    "pdebench/diffusion_reaction_2d": 5.0,
}

FRAMES = {
    "pdebench/advection": 201,
    "pdebench/burgers": 201,
    "pdebench/compressible_ns_2d": 21,
    "pdebench/darcy": 1,
}

# Points of the released grid, of which fewer points are every n-th.
RELEASED = {
    "pdebench/advection": 1024,
    "pdebench/burgers": 1024,
    "pdebench/compressible_ns_1d": 64,  # in `small`
    "pdebench/compressible_ns_2d": 128,
    "pdebench/darcy": 128,
    "pdebench/diffusion_reaction_1d": 1024,
}

PLANE = ("darcy", "shallow_water", "diffusion_reaction_2d", "compressible_ns_2d")

FLUID = ["Vx", "density", "pressure"]


def axes_of(task: str) -> tuple[str, ...]:
    return ("x", "y") if task.partition("/")[2] in PLANE else ("x",)


def make(path: Path, task: str, samples: int = 5, resolution: int = 16, seed: int = 0) -> Path:
    write(task, PARAMETERS[task], path, samples=samples, resolution=resolution, seed=seed)
    return path


def content(path: Path) -> dict[str, Array]:
    """The fields of a file, `[sample, ...]`, whatever its layout."""
    with h5py.File(path) as file:
        if "0000" in file:
            return {"data": np.stack([group["data"][:] for group in file.values()])}
        return {name: file[name][:] for name in file if not name.endswith("-coordinate")}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the costly solvers take two samples at once, on coarse grids."""
    for solver in (diffusion_reaction_2d, compressible_ns_1d, compressible_ns_2d, shallow_water):
        monkeypatch.setattr(solver, "BATCH", 2)
    monkeypatch.setattr(shallow_water, "CELLS", 300)
    monkeypatch.setattr(compressible_ns_1d, "LEAST_CELLS", 64)
    monkeypatch.setattr(compressible_ns_1d, "RELEASED_POINTS", 64)
    monkeypatch.setattr(compressible_ns_2d, "_stages", lambda *_: [(24, math.inf)])
    monkeypatch.setattr(compressible_ns_2d, "SAMPLING_POINTS", 48)


@pytest.fixture(params=sorted(GENERATORS))
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


MakeOnce = Callable[[str], Path]


def once(folder: Path) -> MakeOnce:
    """`make` for files that are only read: what was made in this folder is not made again."""

    def made(task: str) -> Path:
        path = folder / task.replace("/", "-")
        return path if path.exists() else make(path, task)

    return made


@pytest.fixture(scope="module")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    return once(tmp_path_factory.mktemp("generated"))


@pytest.fixture(scope="module")
def batches_of_two(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Likewise, for files that are made while `BATCH` is 2."""
    return once(tmp_path_factory.mktemp("of_two"))


def test_the_final_frames_are_those_of_solvers_that_passed_the_accuracy_tests(
    task: str, make_once: MakeOnce
) -> None:
    if task not in FINAL_FRAMES:
        pytest.skip("no values are stored")
    found = content(make_once(task))
    assert found.keys() == FINAL_FRAMES[task].keys()
    for name, values in found.items():
        final = values[:, -1] if name != "nu" else values
        mean, deviation = FINAL_FRAMES[task][name]
        assert final.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-3, abs=1e-3 * deviation)
        assert final.std(dtype=np.float64) == pytest.approx(deviation, rel=1e-3)


def test_the_root_says_what_the_file_is(task: str, tmp_path: Path) -> None:
    path = make(tmp_path / "new" / "folder" / "file.hdf5", task, samples=5, seed=3)
    with h5py.File(path) as file:
        for name, value in PARAMETERS[task].items():
            assert file.attrs[name] == value
        assert file.attrs["xmft_origin"] == "generated"
        assert file.attrs["xmft_solver"] == GENERATORS[task].solver.SOLVER
        assert file.attrs["xmft_seed"] == 3
        tolerance = GENERATORS[task].solver.tolerance(PARAMETERS[task], 16)
        assert file.attrs["xmft_tolerance"] == tolerance
        assert 0 < tolerance < 0.05


TENSOR = sorted(task for task in PARAMETERS if GENERATORS[task].configuration is None)

GROUPS = sorted(set(PARAMETERS) - set(TENSOR))


@pytest.mark.parametrize("task", TENSOR)
def test_one_dataset_for_each_field(task: str, make_once: MakeOnce) -> None:
    with h5py.File(make_once(task)) as file:
        shapes = {name: file[name].shape for name in file}
        assert all(file[name].dtype == np.float32 for name in file)
        assert all(file[name].chunks is None for name in file)
        assert all(np.isfinite(file[name]).all() for name in file)
        low, high = (-1, 1) if task == "pdebench/compressible_ns_1d" else (0, 1)
        centres = low + (high - low) * strided_centres(16, RELEASED.get(task, 16))
        for axis in axes_of(task):
            assert shapes.pop(f"{axis}-coordinate") == (16,)
            np.testing.assert_allclose(file[f"{axis}-coordinate"], centres, rtol=1e-6)
        if task == "pdebench/darcy":
            assert shapes == {"tensor": (5, 1, 16, 16), "nu": (5, 16, 16)}
            assert set(np.unique(file["nu"])) == {np.float32(0.1), np.float32(1)}
            return
        # One time more than there are frames, as in the released files.
        times = FINAL_TIME.get(task, 1.0) * np.array([0, 1, 2])
        np.testing.assert_array_equal(file["t-coordinate"], times)
        del shapes["t-coordinate"]
        fields = ["tensor"]
        if "compressible" in task:
            fields = FLUID if len(axes_of(task)) == 1 else ["Vx", "Vy", *FLUID[1:]]
        assert shapes == dict.fromkeys(fields, (5, 2, *[16 for _ in axes_of(task)]))


@pytest.mark.parametrize("task", GROUPS)
def test_one_group_for_each_sample(task: str, make_once: MakeOnce) -> None:
    with h5py.File(make_once(task)) as file:
        # PDEBench's reader takes everything in the root for a sample.
        assert list(file) == ["0000", "0001", "0002", "0003", "0004"]
        channels = 2 if task == "pdebench/diffusion_reaction_2d" else 1
        for number, group in enumerate(file.values()):
            assert group["data"].shape == (2, *[16 for _ in axes_of(task)], channels)
            assert group["data"].dtype == group["grid/x"].dtype == np.float32
            assert np.isfinite(group["data"]).all()
            assert set(group["grid"]) == {*axes_of(task), "t"}
            np.testing.assert_array_equal(group["grid/t"], [0, FINAL_TIME.get(task, 1.0)])
            assert group["grid/x"].shape == (16,)
            sim = yaml.safe_load(group.attrs["config"])["sim"]
            assert sim["seed"] == number
            assert sim["xdim"] in (16, 128, 1024)
        if task == "pdebench/shallow_water":
            # The wet disc of the first frame is as wide as the configuration says.
            wet = (group["data"][0] > 1.5).sum() * (5 / 16) ** 2
            assert wet == pytest.approx(np.pi * sim["dam_radius"] ** 2, abs=0.4)


def test_all_released_frames_on_request(task: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"samples": 2, "resolution": 16, "seed": 0}
    write(task, PARAMETERS[task], tmp_path / "all", frames="all", **arguments)
    write(task, PARAMETERS[task], tmp_path / "ends", frames="ends", **arguments)
    every, ends = content(tmp_path / "all"), content(tmp_path / "ends")
    for name in every.keys() - {"nu"}:
        assert every[name].shape[1] == FRAMES.get(task, 101)
        scale = np.abs(ends[name]).max()
        np.testing.assert_allclose(every[name][:, 0], ends[name][:, 0], atol=1e-6 * scale)
        # Steps may end elsewhere, so that the last frames agree to the solver's accuracy only.
        np.testing.assert_allclose(every[name][:, -1], ends[name][:, -1], atol=2e-2 * scale)


def test_the_same_arguments_give_the_same_data(
    task: str, tmp_path: Path, make_once: MakeOnce
) -> None:
    first = make_once(task)
    assert make(tmp_path / "b.hdf5", task).read_bytes() == first.read_bytes()
    other = content(make(tmp_path / "c.hdf5", task, seed=1))
    for name, values in content(first).items():
        assert not np.array_equal(values, other[name])


@pytest.mark.parametrize("fewer", [1, 3])
def test_samples_do_not_depend_on_how_many_there_are(
    task: str,
    fewer: int,
    tmp_path: Path,
    batches_of_two: MakeOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(GENERATORS[task].solver, "BATCH", 2)
    many = content(batches_of_two(task))
    few = content(make(tmp_path / "few", task, samples=fewer))
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:fewer])
        assert len(np.unique(many[name], axis=0)) == 5


def test_resolutions_sample_the_same_functions(tmp_path: Path) -> None:
    for task, tolerance in (("pdebench/advection", 1e-5), ("pdebench/diffusion_reaction_1d", 1e-4)):
        coarse = content(make(tmp_path / "coarse.hdf5", task, samples=32, resolution=32))
        fine = content(make(tmp_path / "fine.hdf5", task, samples=32, resolution=64))
        np.testing.assert_allclose(coarse["tensor"], fine["tensor"][..., ::2], atol=tolerance)


@pytest.mark.parametrize("task", ["pdebench/darcy", "pdebench/diffusion_sorption"])
def test_resolutions_are_strides_of_the_same_solutions(task: str, tmp_path: Path) -> None:
    coarse, fine = (
        content(make(tmp_path / str(points), task, samples=3, resolution=points))
        for points in (32, 128)
    )
    for name, values in coarse.items():
        strided = fine[name][..., ::4, :] if name == "data" else fine[name][..., ::4, ::4]
        np.testing.assert_array_equal(values, strided)


def test_reaction_diffusion_starts_between_zero_and_one(tmp_path: Path) -> None:
    path = make(tmp_path / "a.hdf5", "pdebench/diffusion_reaction_1d", samples=32, resolution=256)
    initial, final = content(path)["tensor"].swapaxes(0, 1)
    assert initial.min() >= 0 and initial.max() <= 1
    assert initial.min(axis=1).max() < 0.01 and initial.max(axis=1).min() > 0.99
    assert (final.mean(axis=1) > initial.mean(axis=1)).all()
    assert np.ptp(final, axis=1).max() < 1e-4


def test_progress_counts_to_the_number_of_samples(task: str, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write(
        task,
        PARAMETERS[task],
        tmp_path / "a.hdf5",
        samples=5,
        resolution=8,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (5, 5)
    assert calls == sorted(set(calls))
