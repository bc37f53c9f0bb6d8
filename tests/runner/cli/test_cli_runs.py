"""The command line: lists, plans, runs and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import catalog
from runner.grid_files import shipped_grids
from runner.ledger import Ledger
from tests.files import write_miniature
from tests.runner.commands import (
    Attempt,
    JobOf,
    PlanOne,
    WriteGrid,
    cells_of,
    output_of,
    refused,
    tree,
    xmft,
)
from xmft.backbones.weights import NAMED
from xmft.methods import METHODS
from xmft.source import PROXIES


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("tasks", catalog.names()),
        ("methods", list(METHODS)),
        ("backbones", list(NAMED)),
        ("sources", list(PROXIES)),
        ("grids", list(shipped_grids())),
    ],
)
def test_list_names_everything(kind: str, known: list[str]) -> None:
    text = output_of("list", kind)
    first_words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert known
    assert set(known) <= set(first_words)


def test_list_tells_what_one_wants_to_know() -> None:
    tasks = output_of("list", "tasks")
    assert "beta1.0" in tasks
    assert "nrmse" in tasks
    steps = next(x for x in output_of("list", "methods", "orca").splitlines() if "t_steps" in x)
    assert steps.split()[:2] == ["alignment_steps", "60"]
    quick = next(line for line in output_of("list", "grids").splitlines() if "quick" in line)
    assert int(quick.split()[1]) == cells_of("quick")


def test_list_shows_presets_and_what_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    presets = {"released": {"distortion_weight": 0.25, "predictor": {"threshold": 0.75}}}
    monkeypatch.setattr(METHODS["recraft"], "presets", presets)
    recraft = next(x for x in output_of("list", "methods").splitlines() if "recraft" in x)
    assert recraft.split()[-1] == "released"
    words = [line.split() for line in output_of("list", "methods", "recraft").splitlines()]
    rows = {row[0]: row[1:] for row in words if row}
    assert rows["option"][:2] == ["default", "released"]
    assert rows["distortion_weight"][:2] == ["1.0", "0.25"]
    assert rows["predictor.threshold"][:2] == ["0.4", "0.75"]
    assert "no options" in output_of("list", "methods", "nft")
    variant = output_of("list", "methods", "recraft:released")
    assert variant == output_of("list", "methods", "recraft")


def test_plan_shows_every_cell_and_writes_nothing(
    write_grid: WriteGrid, tmp_path: Path, data_root: Path
) -> None:
    grid = write_grid(methods=["nft", "recraft"], seeds=[0, 1])
    before = tree(tmp_path)
    text = output_of("plan", grid)
    assert "4 cells: 0 done, 0 failed, 4 to run" in text
    assert text.count("pdebench/advection") >= 4
    assert "generated" in text
    assert "made on first use" in text
    assert tree(tmp_path) == before
    narrow = output_of("plan", grid, "--methods", "nft", "--seeds", "0,5", "--set", "epochs=3")
    assert "2 cells" in narrow
    assert "recraft" not in narrow


def test_plan_knows_what_is_done(two_cells: Ledger, write_grid: WriteGrid) -> None:
    grid = write_grid(methods=["nft", "scratch"], seeds=[0, 1])
    text = output_of("plan", grid, "--results", two_cells.uri)
    assert "4 cells: 2 done, 0 failed, 2 to run" in text
    for cell_id in two_cells.states():
        assert cell_id in text


def test_plan_names_missing_data(write_grid: WriteGrid, data_root: Path) -> None:
    text = output_of("plan", write_grid(tasks=["nasbench360/satellite"]))
    assert "satellite_train.npy" in text
    assert "xmft data fetch nasbench360/satellite" in text


def test_run_with_everything_done_needs_no_ray(
    two_cells: Ledger, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr("runner.run._fan_out", started)
    grid = write_grid(methods=["nft", "scratch"])
    before = two_cells.read()
    text = output_of("run", grid, "--results", two_cells.uri)
    assert "2 cells: 2 done before, 0 to run" in text
    assert f"Next: xmft leaderboard --results {two_cells.uri}" in text
    assert two_cells.read().equals(before)


def test_run_with_a_cell_that_failed_before(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    write_grid: WriteGrid,
) -> None:
    change = {"recipe": {"learning_rate": 1e30}}
    assert attempt(job_of(plan_one(**change))).failure == "diverged"
    result = xmft("run", write_grid(**change), "--results", ledger.uri)
    assert result.exit_code == 1
    assert "1 cells: 0 done before, 0 to run, 1 failed before" in result.stdout
    assert "--retry-failed" in result.stderr


def test_data_of_a_task_from_nothing_to_verified(data_root: Path) -> None:
    task, root = "pdebench/advection", ("--data", data_root / "new")
    text = output_of("data", "generate", task, "--samples", "20", "--resolution", "32", *root)
    (path,) = data_root.rglob("*.hdf5")
    assert str(path) in text
    with h5py.File(path) as file:
        assert file["tensor"].shape == (20, 2, 32)  # first and last frame
        assert file.attrs["xmft_origin"] == "generated"
        assert file.attrs["beta"] == 0.4
    stamp = path.stat().st_mtime_ns
    output_of("data", "generate", task, "--samples", "20", "--resolution", "32", *root)
    assert path.stat().st_mtime_ns == stamp
    text = output_of("data", "verify", task, *root)
    assert "generated, 20 samples on 32 points" in text
    assert "all values were written and are finite and possible" in text
    with h5py.File(path, "a") as file:
        file["tensor"][3, 1, 5] = np.inf
    result = xmft("data", "verify", task, *root)
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert "Traceback" not in result.stderr


def test_data_status_names_every_task(data_root: Path) -> None:
    path = write_miniature(catalog.get("pdebench/darcy"), data_root)
    lines = {
        line.split()[0]: line for line in output_of("data", "status").splitlines() if line.strip()
    }
    assert set(catalog.names()) <= set(lines)
    assert lines["pdebench/darcy"].split()[1] == "miniature"
    assert str(path) in lines["pdebench/darcy"]
    assert lines["pdebench/advection"].split()[1] == "generated"
    assert lines["nasbench360/satellite"].split()[1] == "missing"
    only = output_of("data", "status", "pdebench/d*")
    assert "pdebench/darcy" in only
    assert "advection" not in only


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("status pdebench/darci", ["Unknown task", "Did you mean 'pdebench/darcy'?"]),
        ("status --data nowhere", ["nowhere", "is not a folder"]),
        ("generate nasbench360/satellite", ["cannot be generated", "xmft data fetch"]),
        ("generate pdebench/darci", ["Unknown task"]),
        ("generate pdebench/darcy:beta7", ["Unknown variant 'beta7'"]),
        ("verify other/*", ["No task", "matches 'other/*'"]),
        ("verify pdebench/advection --data nowhere", ["is not a folder"]),
        ("fetch pdebench/advektion", ["Unknown task"]),
    ],
)
def test_wrong_requests_about_data(
    line: str, parts: list[str], data_root: Path, tmp_path: Path
) -> None:
    text = refused(tmp_path, "data", *line.split())
    assert all(part in text for part in parts), text


def test_verify_without_data(data_root: Path) -> None:
    result = xmft("data", "verify", "pdebench/advection", "nasbench360/satellite")
    assert result.exit_code == 1
    assert "pdebench/advection: Task" in result.stderr
    assert "nasbench360/satellite: Task" in result.stderr
