"""Equal compute: which entries stay within a budget that every cell has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runner.report.entries import Contender
from runner.report.query import Query
from runner.report.wording import duration, operations
from runner.results import Result


def over_budget(entries: Sequence[Contender], query: Query) -> Mapping[str, str]:
    """Return the entries with a cell beyond the budget of a query, by label, and by how much.

    What a finished cell took counts, in the attempt that counts. An entry of which that is not
    known is not known to be within the budget either.

    Args:
        entries: Of one board.
        query: May have a budget.
    """
    return {entry.label: why for entry in entries if (why := _over(entry, query))}


def _over(entry: Contender, query: Query) -> str:
    cells = [cell for cell in entry.cells if cell.value is not None]
    told = [
        _most(cells, query.most_flops, lambda cell: cell.flops, "FLOPs", operations),
        _most(cells, query.most_seconds, lambda cell: cell.device_s, "device time", duration),
    ]
    return ", ".join(filter(None, told))


def _most(
    cells: Sequence[Result],
    most: float | None,
    used: Callable[[Result], float | None],
    what: str,
    worded: Callable[[float], str],
) -> str:
    if most is None or not cells:
        return ""
    for cell in cells:
        if used(cell) is None:
            return f"{what} of {cell.task} unknown"
    largest = max(cells, key=lambda cell: used(cell) or 0.0)
    found = used(largest) or 0.0
    return f"{what} {worded(found)} on {largest.task}" if found > most else ""
