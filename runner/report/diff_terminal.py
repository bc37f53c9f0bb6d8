"""How the difference between two ledgers is shown in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from runner.report.diff import Difference
from runner.report.diff_formats import heading, left_out, tables
from runner.report.terminal import NARROW_ENTRY, RULES

_STYLES = {"worse": "red", "better": "green", "not comparable": "yellow"}
_NUMBERS = ("A", "B", "change", "spread")
# What one line says of several rows where the terminal is narrow.
_SHARED = ("task", "metric", "seeds")


@dataclass(frozen=True)
class DiffView:
    """The difference in two tables where they fit the terminal, else in narrow ones by task.

    Attributes:
        found: The difference.
        names: Of A and B.
    """

    found: Difference
    names: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield heading, tables and what is not in them."""
        yield from map(Text, heading(self.found, self.names))
        for title, columns, rows in tables(self.found):
            whole = _table(columns, rows, title)
            natural = options.update(max_width=10_000)
            if console.measure(whole, options=natural).maximum <= options.max_width:
                yield whole
            else:
                yield Text(title, "italic")
                yield from _narrow(columns, rows)
        yield from map(Text, left_out(self.found))


def _narrow(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
    """Yield tables without frames below a line of what their rows share."""
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    for told, group in groupby(records, lambda record: [record.get(name) for name in _SHARED]):
        task, metric, seeds = told
        yield Text(f"{task} {metric} seeds {seeds}" if metric else str(task), "bold")
        kept = [*group]
        # A column that says nothing of these rows is left out.
        filled = [name for name in columns if any(record[name] for record in kept)]
        others = [name for name in filled if name not in _SHARED]
        yield _table(others, [[record[name] for name in others] for record in kept])


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None
) -> Table:
    """Return a table; without a title it has no frame."""
    view = (
        Table(title=title, title_justify="left")
        if title
        else Table(box=RULES, padding=(0, 1), pad_edge=False)
    )
    for column in columns:
        view.add_column(
            column,
            justify="right" if column in _NUMBERS else "left",
            overflow="fold",
            # An entry can have many options in its name.
            max_width=NARROW_ENTRY if column == "entry" else None,
        )
    for row in rows:
        view.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    return view
