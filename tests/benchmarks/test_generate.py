from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.pdebench import batches
from benchmarks.pdebench.generate import signature, write
from benchmarks.pdebench.solvers import advection, diffusion_reaction
from xmft.errors import DataError, RequestError

Array = npt.NDArray[Any]

PARAMETERS = {"pdebench/advection": {"beta": 0.4}, "pdebench/darcy": {"beta": 1.0}}


def make(path: Path, task: str, samples: int = 5, resolution: int = 16, seed: int = 0) -> Path:
    write(task, PARAMETERS[task], path, samples=samples, resolution=resolution, seed=seed)
    return path


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
            resolution=16,
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
