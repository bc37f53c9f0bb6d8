"""What plans, runs and `data status` say of files that do not do, or lie under other names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import catalog
from benchmarks.pdebench.entry import PdeEntry
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan
from runner.plan_table import plan_table
from runner.prepare import _make_data_ready
from tests.files import write_miniature
from tests.runner.commands import output_of
from tests.runner.plans import MakeGrid, record

TASK = "pdebench/advection"


def _entry(name: str) -> PdeEntry:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return entry


def _table(planned: list[PlannedCell]) -> str:
    console = Console(width=400, record=True)
    with console.capture() as captured:
        for part in plan_table(planned):
            console.print(part)
    return captured.get()


def test_a_plan_says_that_a_file_has_too_few_samples(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    path = write_miniature(_entry(TASK), data_root, samples=3)
    grid = tiny_grid(tasks=[TASK, "nasbench360/satellite"], seeds=[0, 1])
    planned = make_plan(grid, ledger, data_root)
    record(ledger, planned[1].cell, failure="data")
    planned = make_plan(grid, ledger, data_root)
    assert [item.absent for item in planned] == [False, False, True, True]
    shown = _table(planned)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "cannot run" in rows[planned[0].cell.id] and "unusable" in rows[planned[0].cell.id]
    assert "failed (data)" in rows[planned[1].cell.id] and "unusable" in rows[planned[1].cell.id]
    assert "cannot run" in rows[planned[2].cell.id] and "missing" in rows[planned[2].cell.id]
    assert f"{TASK}: {path}: found 3 samples, expected at least 4" in shown
    assert "4 cells: 0 done, 1 failed, 3 to run (3 of them without usable data)" in shown


def test_a_plan_says_that_frames_are_too_coarse(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    name = "pdebench/shallow_water"
    write_miniature(_entry(name), data_root, points=32, frames=21)
    (item,) = make_plan(tiny_grid(tasks=[name], protocol="released"), ledger, data_root)
    assert item.problem is not None and "one at t=0.99 to test on" in item.problem
    (item,) = make_plan(tiny_grid(tasks=[name]), ledger, data_root)
    assert item.problem is None


def test_a_name_that_is_nearly_right_is_told_before_others_are_generated(
    plan_one: Callable[..., PlannedCell], data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data_root / "1D_Advection_Sols_beta0.4 (1).hdf5"
    path.write_bytes(b"x")
    item = plan_one()
    assert item.source is not None and item.source.origin == "generated"
    sentence = f"{TASK}: {path} is not taken under that name."
    assert sentence in _table([item])
    _make_data_ready([item])
    assert sentence in capsys.readouterr().err


def test_status_tells_them_apart(data_root: Path) -> None:
    write_miniature(_entry(TASK), data_root, samples=3)
    (data_root / "2D_DarcyFlow_beta0.1_Train.h5").write_bytes(b"x")
    shown = output_of("data", "status", "--data", data_root)
    # The first line of each: long ones are wrapped.
    rows = {line.split()[0]: line for line in reversed(shown.splitlines()) if line.strip()}
    assert rows[TASK].split()[1] == "unusable"
    assert rows["nasbench360/satellite"].split()[1] == "missing"
    assert rows["pdebench/darcy"].split()[1] == "generated"
    assert "2D_DarcyFlow_beta0.1_Train.h5 is not taken under that name" in " ".join(shown.split())
