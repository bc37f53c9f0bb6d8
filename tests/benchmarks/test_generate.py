from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.pdebench import generate
from benchmarks.pdebench.generate import GENERATORS, signature, write
from xmft.errors import DataError, RequestError

PARAMETERS = {
    "pdebench/advection": {"beta": 0.4},
    "pdebench/diffusion_reaction_1d": {"Nu": 0.5, "rho": 1.0},
    "pdebench/darcy": {"beta": 1.0},
}
FINAL_TIME = {"pdebench/advection": 2.0, "pdebench/diffusion_reaction_1d": 1.0}


def make(path: Path, task: str, samples: int = 5, resolution: int = 16, seed: int = 0) -> Path:
    write(task, PARAMETERS[task], path, samples=samples, resolution=resolution, seed=seed)
    return path


def content(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


@pytest.fixture(params=sorted(GENERATORS))
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_generator_is_tested() -> None:
    assert set(GENERATORS) == set(PARAMETERS)


def test_layout_and_attributes_are_those_of_the_released_files(task: str, tmp_path: Path) -> None:
    path = make(tmp_path / "new" / "folder" / "file.hdf5", task, samples=37, seed=3)
    with h5py.File(path) as file:
        for name, value in PARAMETERS[task].items():
            assert file.attrs[name] == value
        assert file.attrs["xmft_origin"] == "generated"
        assert file.attrs["xmft_solver"] == GENERATORS[task].solver
        assert file.attrs["xmft_seed"] == 3
        assert 0 < file.attrs["xmft_tolerance"] <= 1e-6
        shapes = {name: file[name].shape for name in file}
        assert all(file[name].dtype == np.float32 for name in file)
        np.testing.assert_allclose(file["x-coordinate"], (np.arange(16) + 0.5) / 16)
        assert all(np.isfinite(file[name]).all() for name in file)
        if task == "pdebench/darcy":
            assert shapes == {
                "tensor": (37, 1, 16, 16),
                "nu": (37, 16, 16),
                "x-coordinate": (16,),
                "y-coordinate": (16,),
            }
            np.testing.assert_array_equal(file["x-coordinate"], file["y-coordinate"])
            assert set(np.unique(file["nu"])) == {np.float32(0.1), np.float32(1)}
        else:
            assert shapes == {"tensor": (37, 2, 16), "x-coordinate": (16,), "t-coordinate": (3,)}
            np.testing.assert_array_equal(
                file["t-coordinate"], FINAL_TIME[task] * np.array([0, 1, 2])
            )
        assert file["tensor"].chunks == (1, *file["tensor"].shape[1:])


def test_the_same_arguments_give_the_same_data(task: str, tmp_path: Path) -> None:
    first = make(tmp_path / "a.hdf5", task)
    assert make(tmp_path / "b.hdf5", task).read_bytes() == first.read_bytes()
    other = content(make(tmp_path / "c.hdf5", task, seed=1))
    assert not np.array_equal(content(first)["tensor"], other["tensor"])


@pytest.mark.parametrize("fewer", [1, 5, 33])
def test_samples_do_not_depend_on_how_many_there_are(task: str, fewer: int, tmp_path: Path) -> None:
    many = content(make(tmp_path / "many.hdf5", task, samples=40))
    few = content(make(tmp_path / "few.hdf5", task, samples=fewer))
    for name in {"tensor", "nu"} & set(few):
        np.testing.assert_array_equal(few[name], many[name][:fewer])
        assert len(np.unique(many[name], axis=0)) == 40


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
        samples=35,
        resolution=8,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (35, 35)
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
    }
    newer = dataclasses.replace(GENERATORS[task], solver="diffusion_reaction 2")
    monkeypatch.setitem(generate.GENERATORS, task, newer)
    others.add(signature(task, parameters, samples=4, resolution=8, seed=0))
    assert len(others | {base}) == 8
