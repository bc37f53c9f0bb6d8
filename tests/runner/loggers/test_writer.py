"""Which cells logs are told of, and what becomes of one that fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from runner.ledger import Ledger
from runner.loggers import writer
from runner.loggers.record import CellRecord, counting_attempts, record_of
from runner.loggers.writer import Writer
from runner.schema import VERSION_KEY
from tests.runner.attempts import DAY, attempt_of, cell_of, score_of
from xmft.task import CurvePoint

CELLS = [cell_of(seed=seed) for seed in range(5)]


class Log:
    """Has what it is told, each attempt; breaks at some cells, or is away from one on."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.asked = 0
        self.breaks_at: set[str] = set()
        self.away_from = ""
        self.is_away = False

    def known(self) -> dict[str, set[str]]:
        self.asked += 1
        if self.is_away:
            raise ConnectionError("no\nroute")
        return {id: {there for of, there in self.told if of == id} for id, _ in self.told}

    def write(self, record: CellRecord) -> None:
        self.is_away = self.is_away or record.cell_id == self.away_from
        if self.is_away or record.cell_id in self.breaks_at:
            raise ConnectionError("no\nroute")
        self.told.append((record.cell_id, record.attempt))

    @property
    def cells(self) -> list[str]:
        return [cell_id for cell_id, _ in self.told]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Log]:
    found = {"mlflow": Log(), "wandb": Log()}
    monkeypatch.setattr(writer, "LOGS", {name: lambda _, n=name: found[n] for name in found})
    return found


def finish(ledger: Ledger, *cells: Any, day: int = 0, failure: str | None = None) -> None:
    for cell in cells:
        ledger.write_attempt(
            attempt_of(
                cell, score_of(0.5), failure=failure, finished_at=DAY + timedelta(days=day, hours=1)
            )
        )


def tell(ledger: Ledger, *names: str, new: bool = False) -> list[str]:
    """Tell of all cells in a process of its own, as it were; return what was said."""
    found = Writer(ledger, names)
    return [text for cell in CELLS for text in found.write(cell.id, new=new)]


def test_logs_have_the_attempt_that_counts_whatever_they_were_told_before(
    ledger: Ledger, logs: dict[str, Log]
) -> None:
    log = logs["mlflow"]
    ok, mended, again, worse, late = CELLS
    finish(ledger, ok, again, worse)
    finish(ledger, mended, failure="oom")
    assert tell(ledger, "mlflow") == []
    assert log.cells == [ok.id, mended.id, again.id, worse.id]  # of one nothing is known
    # Runs that tell nobody: --retry-failed, --force, and cells that were not begun before.
    log.told = log.told[:4]
    finish(ledger, mended, again, late, day=1)
    finish(ledger, worse, day=1, failure="oom")  # an ok one counts
    assert tell(ledger, "mlflow") == []
    assert log.cells[4:] == [mended.id, again.id, late.id]
    counting = counting_attempts(ledger)
    assert set(log.told[4:]) == {(id, counting[id]) for id in (mended.id, again.id, late.id)}
    # One that has another attempt as well is told again, which puts one in place of both.
    log.told = [(cell.id, counting[cell.id]) for cell in CELLS] + [(again.id, "stale")]
    asked = log.asked
    assert tell(ledger, "mlflow") == []
    assert (log.cells[6:], log.asked - asked) == ([again.id], 1)


def test_an_attempt_is_another_one_if_it_went_otherwise(ledger: Ledger) -> None:
    """Two that end at the same time; and both ways to ask agree."""
    seen = set()
    for failure in ("oom", None):
        finish(ledger, CELLS[0], failure=failure)
        record = record_of(ledger, CELLS[0].id)
        assert record is not None
        assert counting_attempts(ledger) == {CELLS[0].id: record.attempt}
        seen.add(record.attempt)
    assert len(seen) == 2


def test_a_log_that_is_away_is_left_out_and_the_others_go_on(
    ledger: Ledger, logs: dict[str, Log]
) -> None:
    finish(ledger, *CELLS)
    logs["mlflow"].away_from = CELLS[1].id
    assert tell(ledger, "mlflow", "wandb", new=True) == [
        f"mlflow cannot be told of {CELLS[1].id} (ConnectionError: no route). The run goes on "
        "without; the same command with --log mlflow makes up for it later."
    ]
    assert logs["mlflow"].cells == [CELLS[0].id]
    assert logs["wandb"].cells == [cell.id for cell in CELLS]


@pytest.mark.parametrize("new", [True, False])
def test_a_cell_that_a_log_refuses_is_left_out_alone(
    ledger: Ledger, logs: dict[str, Log], new: bool
) -> None:
    finish(ledger, *CELLS)
    logs["mlflow"].breaks_at = {CELLS[1].id, CELLS[2].id}
    assert tell(ledger, "mlflow", new=new) == [
        f"mlflow refuses {cell.id} (ConnectionError: no route). It goes on without."
        for cell in CELLS[1:3]
    ]
    assert logs["mlflow"].cells == [CELLS[0].id, CELLS[3].id, CELLS[4].id]
    # One that refuses everything is not asked for ever.
    logs["mlflow"].breaks_at = {cell.id for cell in CELLS}
    said = tell(ledger, "mlflow", new=True)
    assert [text.split(CELLS[n].id)[0] for n, text in enumerate(said)] == [
        "mlflow refuses ",
        "mlflow refuses ",
        "mlflow cannot be told of ",
    ]


def damage(ledger: Ledger, cell_id: str, how: str) -> None:
    """Have a file be one of a version to come."""
    assert ledger.local_root is not None
    folder = ledger.local_root / "cells" / cell_id
    (path,) = folder.glob("curves.arrow" if how == "newer curves" else "attempt-*.arrow")
    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    table = table.replace_schema_metadata({VERSION_KEY: "999"})
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


@pytest.mark.parametrize("how", ["newer curves", "newer attempt"])
@pytest.mark.parametrize("new", [True, False])
def test_a_cell_that_cannot_be_read_is_left_out_alone(
    ledger: Ledger, logs: dict[str, Log], how: str, new: bool
) -> None:
    finish(ledger, *CELLS)
    point = CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)
    ledger.write_curves(CELLS[1].id, [point])
    damage(ledger, CELLS[1].id, how)
    (said,) = tell(Ledger(ledger.uri), "mlflow", "wandb", new=new)
    assert said.startswith(f"mlflow and wandb cannot be told of {CELLS[1].id}: it cannot be read (")
    rest = [cell.id for cell in CELLS if cell is not CELLS[1]]
    assert (logs["mlflow"].cells, logs["wandb"].cells) == (rest, rest)


def test_many_cells_that_cannot_be_read_are_said_in_few_lines(
    ledger: Ledger, logs: dict[str, Log]
) -> None:
    finish(ledger, *CELLS)
    for cell in CELLS:
        damage(ledger, cell.id, "newer attempt")
    said = tell(Ledger(ledger.uri), "wandb", new=True)
    assert len(said) == 3
    assert said[-1].endswith("Further ones are not named.")
