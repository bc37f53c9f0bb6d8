"""What tests read of the ledger of a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.job import CellJob
from runner.ledger import Ledger
from runner.outcome import Outcome
from runner.planned import PlannedCell

PlanOne = Callable[..., PlannedCell]


JobOf = Callable[..., CellJob]


Attempt = Callable[..., Outcome]


def rows_of(ledger: Ledger, cell_id: str) -> list[dict[str, Any]]:
    return [row for row in ledger.read().to_pylist() if row["cell_id"] == cell_id]


def values_of(ledger: Ledger, cell_id: str) -> dict[tuple[str, str, str], float]:
    """Split, selection and metric to value, of the ok attempt."""
    return {
        (row["split"], row["selection"], row["metric"]): row["value"]
        for row in rows_of(ledger, cell_id)
        if row["status"] == "ok"
    }


def only_failure(ledger: Ledger, outcome: Outcome) -> dict[str, Any]:
    """Return the one row of a failed attempt after checking it against what was returned."""
    (row,) = rows_of(ledger, outcome.cell_id)
    assert (row["status"], row["value"], row["metric"]) == ("failed", None, None)
    assert (outcome.status, outcome.failure) == ("failed", row["failure"])
    assert outcome.error == row["error"]
    assert ledger.states()[outcome.cell_id].status == "failed"
    return row
