"""What tests of plans share."""

from __future__ import annotations

from collections.abc import Callable

from runner.cell import Cell
from runner.config import Grid
from runner.ledger import Ledger
from tests.runner.attempts import attempt_of, score_of

MakeGrid = Callable[..., Grid]


def record(ledger: Ledger, cell: Cell, *, failure: str | None = None, wall_s: float = 1.0) -> None:
    score = score_of(0.5, selection="last", epoch=2)
    ledger.write_attempt(
        attempt_of(cell, score, failure=failure, data_origin="generated", wall_s=wall_s)
    )
