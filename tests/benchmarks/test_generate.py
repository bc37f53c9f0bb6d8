from __future__ import annotations

import math
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from benchmarks.pdebench import batches
from benchmarks.pdebench.generate import GENERATORS, signature, write
from benchmarks.pdebench.solvers import (
    advection,
    compressible_ns_1d,
    compressible_ns_2d,
    diffusion_reaction,
    diffusion_reaction_2d,
    shallow_water,
)
from xmft.errors import DataError, RequestError

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
    monkeypatch.setattr(compressible_ns_2d, "_stages", lambda *_: [(24, math.inf)])
    monkeypatch.setattr(compressible_ns_2d, "SAMPLING_POINTS", 48)


@pytest.fixture(params=sorted(GENERATORS))
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_generator_is_tested() -> None:
    assert set(GENERATORS) == set(PARAMETERS)


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
def test_one_dataset_for_each_field(task: str, tmp_path: Path) -> None:
    with h5py.File(make(tmp_path / "a.hdf5", task)) as file:
        shapes = {name: file[name].shape for name in file}
        assert all(file[name].dtype == np.float32 for name in file)
        assert all(file[name].chunks is None for name in file)
        assert all(np.isfinite(file[name]).all() for name in file)
        low, high = (-1, 1) if task == "pdebench/compressible_ns_1d" else (0, 1)
        centres = low + (high - low) * (np.arange(16) + 0.5) / 16
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
def test_one_group_for_each_sample(task: str, tmp_path: Path) -> None:
    with h5py.File(make(tmp_path / "a.h5", task)) as file:
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
            assert sim["xdim"] in (16, 128)
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


def test_the_same_arguments_give_the_same_data(task: str, tmp_path: Path) -> None:
    first = make(tmp_path / "a.hdf5", task)
    assert make(tmp_path / "b.hdf5", task).read_bytes() == first.read_bytes()
    other = content(make(tmp_path / "c.hdf5", task, seed=1))
    for name, values in content(first).items():
        assert not np.array_equal(values, other[name])


@pytest.mark.parametrize("fewer", [1, 3])
def test_samples_do_not_depend_on_how_many_there_are(
    task: str, fewer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GENERATORS[task].solver, "BATCH", 2)
    many = content(make(tmp_path / "many", task, samples=5))
    few = content(make(tmp_path / "few", task, samples=fewer))
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:fewer])
        assert len(np.unique(many[name], axis=0)) == 5


def test_processes_that_share_the_work_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WORTH_SECONDS", 0.0)
    for workers in (1, 2):
        write(
            "pdebench/darcy",
            {"beta": 1.0},
            tmp_path / str(workers),
            samples=22,
            resolution=12,
            seed=0,
            workers=workers,
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_values_that_are_not_finite_never_reach_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def samples(rngs: Any, *_: Any) -> dict[str, Array]:
        return {"tensor": np.full((len(rngs), 2, 8), np.nan)}

    monkeypatch.setattr(advection, "samples", samples)
    with pytest.raises(DataError, match="not finite for samples 0 to 31 of seed 0"):
        make(tmp_path / "a.hdf5", "pdebench/advection")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_seen_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(0, 0, 10_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    make(tmp_path / "few.hdf5", "pdebench/advection", samples=70)
    seen: list[int] = []
    with pytest.raises(DataError, match=r"80 samples take 10\.2 kB, and .* has 10\.0 kB left"):
        write(
            "pdebench/advection",
            {"beta": 0.4},
            tmp_path / "many.hdf5",
            samples=80,
            resolution=16,
            seed=0,
            progress=lambda done, _: seen.append(done),
        )
    assert seen == []
    assert [path.name for path in tmp_path.iterdir()] == ["few.hdf5"]


def test_resolutions_sample_the_same_functions(tmp_path: Path) -> None:
    for task, tolerance in (("pdebench/advection", 1e-5), ("pdebench/diffusion_reaction_1d", 1e-4)):
        coarse = content(make(tmp_path / "coarse.hdf5", task, samples=32, resolution=20))
        fine = content(make(tmp_path / "fine.hdf5", task, samples=32, resolution=60))
        np.testing.assert_allclose(coarse["tensor"], fine["tensor"][..., 1::3], atol=tolerance)


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, DataError])
def test_an_error_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = make(tmp_path / "a.hdf5", "pdebench/darcy")
    before = path.read_bytes()

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write(
            "pdebench/darcy",
            {"beta": 1.0},
            path,
            samples=20,
            resolution=8,
            seed=9,
            progress=stop,
        )
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    seen: list[bool] = []
    write(
        "pdebench/darcy",
        {"beta": 1.0},
        path,
        samples=9,
        resolution=8,
        seed=0,
        progress=lambda done, total: seen.append(path.exists()),
    )
    assert seen and not any(seen)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("limit", [2_000, 20_000, 68_000])
def test_a_full_disk_is_a_data_error(limit: int, tmp_path: Path) -> None:
    # In a process of its own: what is guarded against is a crash of the HDF5 library at exit.
    script = f"""
import resource
from pathlib import Path
from benchmarks.pdebench.generate import write
from xmft.errors import DataError

resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write("pdebench/darcy", {{"beta": 1.0}}, Path({str(tmp_path / "a.hdf5")!r}),
          samples=32, resolution=16, seed=0)
except DataError as error:
    raise SystemExit(f"expected: {{error}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done
    assert "expected: Writing" in done.stderr and "Free some space" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_name": "pdebench/advektion"}, "Did you mean 'pdebench/advection'"),
        ({"parameters": {}}, "needs values for beta; found none"),
        ({"parameters": {"Nu": 1.0}}, "needs values for beta; found Nu"),
        ({"parameters": {"beta": float("nan")}}, "beta must be finite"),
        ({"samples": 0}, "samples must be at least 1; found 0"),
        ({"resolution": 3}, "resolution must be at least 4"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_wrong_requests_are_explained(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    arguments: dict[str, object] = {
        "task_name": "pdebench/advection",
        "parameters": {"beta": 0.4},
        "samples": 2,
        "resolution": 8,
        "seed": 0,
        **changes,
    }
    with pytest.raises(RequestError, match=message):
        write(path=tmp_path / "a.hdf5", **arguments)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=message):
        signature(**arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RequestError, match="is a folder"):
        make(tmp_path, "pdebench/advection")
    with pytest.raises(RequestError, match="Choose another data folder"):
        make(tmp_path / "file" / "a.hdf5", "pdebench/advection")
    assert (tmp_path / "file").read_text() == "text"


def test_signature_tells_different_data_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    task, parameters = "pdebench/diffusion_reaction_1d", {"Nu": 0.5, "rho": 1.0}
    base = signature(task, parameters, samples=4, resolution=8, seed=0)
    assert base == signature(task, {"rho": 1, "Nu": 0.5}, samples=4, resolution=8, seed=0)
    assert len(base) == 64 and int(base, 16) > 0
    others = {
        signature(task, parameters, samples=5, resolution=8, seed=0),
        signature(task, parameters, samples=4, resolution=9, seed=0),
        signature(task, parameters, samples=4, resolution=8, seed=1),
        signature(task, {"Nu": 1.0, "rho": 1.0}, samples=4, resolution=8, seed=0),
        signature("pdebench/advection", {"beta": 0.5}, samples=4, resolution=8, seed=0),
        signature("pdebench/darcy", {"beta": 0.5}, samples=4, resolution=8, seed=0),
        signature(task, parameters, samples=4, resolution=8, seed=0, frames="all"),
    }
    monkeypatch.setattr(diffusion_reaction, "SOLVER", "diffusion_reaction 2")
    others.add(signature(task, parameters, samples=4, resolution=8, seed=0))
    assert len(others | {base}) == 9
