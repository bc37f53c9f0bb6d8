"""The table of all cells: a row for each, in columns that are short as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.report.compare import Leaderboard
from runner.report.site.json_text import plain
from runner.results import Result

# Columns of texts, as places in a sorted list of these.
_TEXTS = ("task", "entry", "method", "protocol", "origin", "state", "metric")


@dataclass(frozen=True)
class CellRows:
    """The cells of a page in the order of its table.

    Attributes:
        cells: By task, entry and seed.
        labels: Of the entries on the boards, by cell.
        place: Of each cell in the table, by its id.
    """

    cells: tuple[Result, ...]
    labels: Mapping[str, str]
    place: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        places = {cell.cell_id: place for place, cell in enumerate(self.cells)}
        object.__setattr__(self, "place", places)


def cell_rows(cells: Sequence[Result], boards: Sequence[Leaderboard]) -> CellRows:
    """Return the cells in order, each with the entry that it belongs to.

    A cell that is on no board belongs to its method.
    """
    labels = {cell.cell_id: cell.method for cell in cells}
    for board in reversed(boards):  # the first board that has a cell names its entry
        for line in board.lines:
            labels.update((cell.cell_id, line.label) for cell in line.cells)
    ordered = sorted(
        cells, key=lambda one: (one.task, labels[one.cell_id], one.protocol, one.seed, one.cell_id)
    )
    return CellRows(cells=tuple(ordered), labels=labels)


def as_columns(rows: CellRows, chunk_of: Mapping[str, str]) -> dict[str, Any]:
    """Return the table as JSON has it.

    Args:
        rows: The cells.
        chunk_of: Name of the file with the details of each cell.

    Returns:
        `texts`: for each column of texts its values, sorted; `columns`: one value per cell, for
        texts the place in `texts`; `chunks` likewise.
    """
    told = [_row(cell, rows.labels[cell.cell_id], chunk_of[cell.cell_id]) for cell in rows.cells]
    columns = {name: [row[name] for row in told] for name in (told[0] if told else ())}
    texts = {}
    for name in (*_TEXTS, "chunk"):
        texts[name] = sorted(set(columns.get(name, ())))
        places = {text: place for place, text in enumerate(texts[name])}
        columns[name] = [places[text] for text in columns.get(name, ())]
    return {"texts": texts, "columns": columns}


def _row(cell: Result, label: str, chunk: str) -> dict[str, Any]:
    found: dict[str, Any] = plain(
        {
            "id": cell.cell_id,
            "task": cell.task,
            "entry": label,
            "method": cell.method,
            "seed": cell.seed,
            "protocol": cell.protocol,
            "origin": cell.origin or "unknown",
            "state": cell.failure or "code" if cell.state == "failed" else "ok",
            "metric": cell.metric,
            "value": cell.value,
            "seconds": round(cell.wall_s, 3),
            "finished": cell.finished_at.isoformat(timespec="seconds"),
            "chunk": chunk,
        }
    )
    return found
