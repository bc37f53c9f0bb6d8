"""Equal compute: which entries stay within a budget that every cell has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from runner.report.entries import Contender
from runner.report.query import Query
from runner.report.wording import duration, operations
from runner.results import Result


@dataclass(frozen=True, kw_only=True)
class Over:
    """Why an entry is not within a budget.

    Attributes:
        found: What its dearest cell took, or that it is unknown: `device time 31s on s/a`.
        known: Whether a cell is known to have taken more; else it is only not known to be within.
    """

    found: str
    known: bool

    def __str__(self) -> str:
        state = "over the budget" if self.known else "not known to be within the budget"
        return f"is {state} ({self.found})"


def over_budget(entries: Sequence[Contender], query: Query) -> Mapping[str, Over]:
    """Return the entries not known to be within the budget of a query, by label, and why.

    What a finished cell took counts, in the attempt that counts. An entry of which that is not
    known is not known to be within the budget either.

    Args:
        entries: Of one board.
        query: May have a budget.
    """
    return {entry.label: why for entry in entries if (why := _over(entry, query))}


def _over(entry: Contender, query: Query) -> Over | None:
    cells = [cell for cell in entry.cells if cell.value is not None]
    told = [
        _most(cells, query.most_flops, lambda cell: cell.flops, "FLOPs", operations),
        _most(cells, query.most_seconds, lambda cell: cell.device_s, "device time", duration),
    ]
    found = [over for over in told if over is not None]
    if not found:
        return None
    return Over(
        found=", ".join(over.found for over in found), known=any(over.known for over in found)
    )


def _most(
    cells: Sequence[Result],
    most: float | None,
    used: Callable[[Result], float | None],
    what: str,
    worded: Callable[[float], str],
) -> Over | None:
    if most is None or not cells:
        return None
    largest = max(cells, key=lambda cell: used(cell) or 0.0)
    found = used(largest) or 0.0
    if found > most:
        return Over(found=f"{what} {worded(found)} on {largest.task}", known=True)
    for cell in cells:
        if used(cell) is None:
            return Over(found=f"{what} of {cell.task} unknown", known=False)
    return None
