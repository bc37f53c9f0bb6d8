"""Cells that go on from a checkpoint, and those that train nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import xmft.training
from benchmarks import catalog
from runner.ledger import Ledger
from runner.plan import make_plan
from runner.sessions import CellSession
from tests.runner.cells import (
    Attempt,
    JobOf,
    PlanOne,
    only_failure,
    rows_of,
    values_of,
)
from tests.runner.plans import task_for
from xmft.methods import METHODS


def stops_after(saves: int, error: BaseException) -> type[CellSession]:
    """A session that keeps a checkpoint after every epoch and dies after a number of them."""

    class Dying(CellSession):
        saved = 0

        def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
            super().save(state, force=True)
            self.saved += 1
            if self.saved == saves:
                raise error

    return Dying


@pytest.mark.parametrize(
    ("method", "saves"),
    [
        *((method, n) for method in ("nft", "fno", "unet") for n in (1, 2)),
        *(("recraft", n) for n in (1, 2, 3, 4)),
    ],
)
def test_an_interrupted_cell_goes_on_and_ends_the_same(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    tmp_path: Path,
    method: str,
    saves: int,
) -> None:
    item = plan_one(methods=[method])
    with pytest.raises(KeyboardInterrupt):
        attempt(job_of(item), stops_after(saves, KeyboardInterrupt()))
    assert ledger.states() == {}  # an interruption is no failure
    assert ledger.load_checkpoint(item.cell.id) is not None
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.resumed_epochs) == ("ok", saves)
    assert ledger.load_checkpoint(item.cell.id) is None
    whole = Ledger(tmp_path / "whole")
    whole.prepare()
    assert attempt(job_of(item, results=whole.uri)).resumed_epochs == 0
    assert values_of(ledger, item.cell.id) == values_of(whole, item.cell.id)
    assert ledger.curves(item.cell.id).equals(whole.curves(item.cell.id))


def test_a_failed_cell_goes_on_from_its_checkpoint(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, tmp_path: Path
) -> None:
    item = plan_one()
    failed = attempt(job_of(item), stops_after(1, OSError(28, "No space left on device")))
    assert (failed.failure, failed.resumed_epochs) == ("code", 0)
    assert "No space left on device" in (failed.error or "")
    assert attempt(job_of(item)).resumed_epochs == 1
    whole = Ledger(tmp_path / "whole")
    whole.prepare()
    attempt(job_of(item, results=whole.uri))
    assert values_of(ledger, item.cell.id) == values_of(whole, item.cell.id)
    assert {r["attempt"]: r["status"] for r in rows_of(ledger, item.cell.id)} == {
        1: "failed",
        2: "ok",
    }


def test_checkpoints_are_seconds_apart_unless_forced(
    plan_one: PlanOne, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("runner.sessions.time.monotonic", lambda: clock[0])
    session = CellSession(plan_one().cell, ledger.uri, torch.device("cpu"), None, None)
    written: list[int] = []

    def kept(number: int, *, force: bool = False) -> dict[str, Any] | None:
        session.save(lambda: written.append(number) or {"number": number}, force=force)  # type: ignore[func-returns-value]
        return session.restore()

    assert kept(1) is None
    assert written == []  # the state is not even collected
    assert kept(2, force=True) == {"number": 2}
    clock[0] += 60
    assert kept(3) == {"number": 3}
    assert kept(4) == {"number": 3}


def test_a_checkpoint_of_another_version_is_not_used(plan_one: PlanOne, ledger: Ledger) -> None:
    import io

    cell = plan_one().cell
    buffer = io.BytesIO()
    torch.save({"version": 0, "state": {"number": 1}}, buffer)
    ledger.save_checkpoint(cell.id, buffer.getvalue())
    session = CellSession(cell, ledger.uri, torch.device("cpu"), None, None)
    assert session.restore() is None


def test_scores_that_are_not_finite_are_no_result(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    # One step: its loss is still that of the untrained model.
    recipe = {"learning_rate": 1e30, "epochs": 1, "batch_size": 64}
    row = only_failure(ledger, attempt(job_of(plan_one(recipe=recipe))))
    assert row["failure"] == "diverged"
    assert "scores on val after epoch 1 are not finite" in row["error"]


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].uses_backbone])
def test_methods_without_a_backbone_leave_their_scores(
    name: str,
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = catalog.get(task_for(name))
    if not entry.generatable:
        entry.miniature(data_root)

    def unwanted(*_: object, **__: object) -> None:
        pytest.fail("a backbone was loaded")

    monkeypatch.setattr(xmft.training, "load_backbone", unwanted)
    # Few kernels, where there are any.
    few = {"rocket": {"kernels": 50}}
    asked = {"methods": [name], "tasks": [entry.task.name], "options": few}
    item = plan_one(**asked)
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.error) == ("ok", None)
    values = values_of(ledger, item.cell.id)
    rows = rows_of(ledger, item.cell.id)
    trivial = "epochs" in METHODS[name].ignores  # nothing is trained in stages
    assert (("train", "last", "target_fit") in values) != trivial
    assert {row["backbone"] for row in rows} == {"none"}
    assert {row["epoch"] for row in rows if row["split"] == "val"} <= ({0} if trivial else {1, 2})
    assert (rows[0]["trainable_params"] == 0) == trivial
    assert (ledger.curves(item.cell.id).num_rows == 0) == trivial
    again = plan_one(**asked)
    assert again.state == "done"


@pytest.mark.parametrize("name", ["identity", "mean"])
def test_what_trains_nothing_scores_the_same_under_every_seed(
    name: str,
    tiny_grid: Callable[..., Any],
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    data_root: Path,
) -> None:
    planned = make_plan(tiny_grid(methods=[name], seeds=[0, 1]), ledger, data_root)
    assert [attempt(job_of(item)).status for item in planned] == ["ok", "ok"]
    first, second = (values_of(ledger, item.cell.id) for item in planned)
    assert first == second
