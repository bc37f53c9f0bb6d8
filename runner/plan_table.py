"""The plan as a table for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from runner.expected import duration_text
from runner.plan import PlannedCell, remarks_of

_COLUMNS = ("cell", "task", "method", "seed", "state", "data", "expected")
# Blanks between two columns.
_GAP = 4
_STYLE = {"done": "green", "failed": "red", "missing": ""}


def plan_table(planned: Sequence[PlannedCell]) -> list[RenderableType]:
    """Return one line per cell, what is wrong with the data, and the total."""
    rows: list[list[Text]] = []
    problems: dict[str, str] = {}
    notes: dict[str, str] = {}
    warnings: dict[str, tuple[str, ...]] = {}
    for item in planned:
        if item.problem:
            problems[item.cell.task] = item.problem
        elif item.source:
            notes[item.cell.task] = item.source.note
            warnings[item.cell.task] = item.source.warnings
        lacking = Text(_lacking(item), style="red")
        rows.append(
            [
                *map(Text, (item.cell.id, item.cell.task, item.cell.title, str(item.cell.seed))),
                _state(item),
                Text(item.source.origin) if item.source else lacking,
                Text(("" if item.measured else "~") + duration_text(item.expected_s)),
            ]
        )
    parts: list[RenderableType] = [_Cells(rows)]
    parts += [Text(f"{task}: {note}") for task, note in notes.items()]
    parts += [
        Text(f"{task}: {line}", style="yellow")
        for task, lines in warnings.items()
        for line in lines
    ]
    parts += [Text(f"{task}: {problem}", style="red") for task, problem in problems.items()]
    parts += [Text(remark) for remark in remarks_of(planned)]
    return [*parts, Text(_total(planned), style="bold")]


class _Cells:
    """One line for each cell: plain lines where they fit, which is quick, or else a table."""

    def __init__(self, rows: list[list[Text]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        header = [Text(name, style="bold") for name in _COLUMNS]
        lines = [header, *self._rows]
        widths = [max(map(cell_len, map(str, column))) for column in zip(*lines, strict=True)]
        if sum(widths) + _GAP * len(widths) <= options.max_width:
            for line in lines:
                for text, width in zip(line, widths, strict=True):
                    style = console.get_style(text.style)
                    filled = width + _GAP // 2 - cell_len(str(text))
                    yield Segment(" " * (_GAP // 2))
                    yield Segment(str(text), style)
                    yield Segment(" " * filled)
                yield Segment.line()
            return
        table = Table(box=None, padding=(0, _GAP // 2), header_style="bold")
        for name in _COLUMNS:
            table.add_column(name)
        for row in self._rows:
            table.add_row(*row)
        yield table


def _state(item: PlannedCell) -> Text:
    if item.failure is not None:
        return Text(f"failed ({item.failure})", style=_STYLE[item.state])
    if item.state != "missing":
        return Text(item.state, style=_STYLE[item.state])
    return Text("cannot run", style="red") if item.problem else Text("to run")


def _lacking(item: PlannedCell) -> str:
    return "missing" if item.absent else "unusable"


def _total(planned: Sequence[PlannedCell]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for item in planned:
        counts[item.state] += 1
    left = sum(item.expected_s for item in planned if item.state != "done")
    lacking = sum(item.state == "missing" and item.problem is not None for item in planned)
    without = f" ({lacking} of them without usable data)" if lacking else ""
    return (
        f"{len(planned)} cells: {counts['done']} done, {counts['failed']} failed, "
        f"{counts['missing']} to run{without}; about {duration_text(left)} of one slot left "
        "(~ is a guess from the recipe for one core, otherwise the median of finished cells)"
    )
