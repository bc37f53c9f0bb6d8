"""What tests of plans share."""

from __future__ import annotations

from collections.abc import Callable

from runner.cell import Cell
from runner.config import Grid
from runner.ledger import Ledger
from tests.runner.attempts import attempt_of, score_of
from xmft.methods import METHODS

MakeGrid = Callable[..., Grid]


def task_for(method: str) -> str:
    """Return a task that a method is for: fields, or series with a class."""
    dense = "dense" in METHODS[method].kinds
    return "pdebench/advection" if dense else "nasbench360/satellite"


def record(ledger: Ledger, cell: Cell, *, failure: str | None = None, wall_s: float = 1.0) -> None:
    score = score_of(0.5, selection="last", epoch=2)
    ledger.write_attempt(
        attempt_of(cell, score, failure=failure, data_origin="generated", wall_s=wall_s)
    )
