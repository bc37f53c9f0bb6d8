"""Which cells logs are told of, and what becomes of one that fails."""

from __future__ import annotations

import pytest

from runner.ledger import Ledger
from runner.loggers import writer
from runner.loggers.record import CellRecord
from runner.loggers.writer import Writer
from tests.runner.attempts import attempt_of, cell_of, score_of

CELLS = [cell_of(seed=seed) for seed in range(3)]


class Log:
    """Keeps what it is told, until it breaks."""

    known_before: tuple[str, ...] = ()
    breaks_at = ""

    def __init__(self, _folder: object) -> None:
        self.told: list[str] = []
        self.asked = 0

    def known(self) -> tuple[str, ...]:
        self.asked += 1
        return self.known_before

    def write(self, record: CellRecord) -> None:
        if record.cell_id == self.breaks_at:
            raise ConnectionError("no\nroute")
        self.told.append(record.cell_id)


@pytest.fixture
def filled(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger.prepare()
    for cell in CELLS:
        ledger.write_attempt(attempt_of(cell, score_of(0.5)))

    class Knowing(Log):
        known_before = (CELLS[0].id,)

    class Breaking(Log):
        breaks_at = CELLS[1].id

    monkeypatch.setattr(writer, "LOGS", {"knowing": Knowing, "breaking": Breaking})
    return ledger


def told(found: Writer, name: str) -> list[str]:
    log = found._logs[name]
    assert isinstance(log, Log)
    return log.told


def test_cells_of_before_are_told_to_those_that_lack_them(filled: Ledger) -> None:
    found = Writer(filled, ("knowing",))
    for cell in CELLS:
        assert found.write(cell.id, new=False) == []
    assert told(found, "knowing") == [CELLS[1].id, CELLS[2].id]
    log = found._logs["knowing"]
    assert isinstance(log, Log) and log.asked == 1
    found.write(CELLS[0].id)  # made again
    assert told(found, "knowing")[-1] == CELLS[0].id
    assert found.write("0" * 16) == []


def test_a_log_that_breaks_is_left_out_and_the_others_go_on(filled: Ledger) -> None:
    found = Writer(filled, ("breaking", "knowing"))
    said = [text for cell in CELLS for text in found.write(cell.id)]
    assert said == [
        f"breaking cannot be told of {CELLS[1].id} (ConnectionError: no route). The run goes on "
        "without; the same command with --log breaking makes up for it later."
    ]
    assert told(found, "knowing") == [cell.id for cell in CELLS]
    assert "breaking" not in found._logs
