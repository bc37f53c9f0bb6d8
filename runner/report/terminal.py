"""Leaderboards as rich tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from runner.console import encodable
from runner.report.compare import Leaderboard
from runner.report.layout import (
    ENTRY,
    Field,
    Mark,
    cells_of,
    compute_fields,
    rank_fields,
    score_fields,
    summary_fields,
)
from runner.report.lines import Line
from runner.report.published import CAUTION, PUBLISHED_COLUMNS, published_rows
from runner.report.wording import heading, legend_of, title

_STYLES = {Mark.NONE: "", Mark.BEST: "bold", Mark.CLOSE: "underline"}
# A longer name of an entry is folded where the terminal is narrow.
NARROW_ENTRY = 26
# Of tables without frames: a rule below the head and between sections alone.
RULES = box.Box("    \n    \n -- \n    \n -- \n -- \n    \n    \n", ascii=True)
_NARROW = (
    "narrow terminal: means alone, of three digits; deviations from {width} columns on, or with "
    "--format md"
)
_NO_COMPUTE = "narrow terminal: {columns} from {width} columns on, or with --format md"


def to_terminal(boards: Sequence[Leaderboard], *, published: bool = True) -> RenderableType:
    """Return something that a rich console prints.

    Args:
        boards: What `build` returned.
        published: Whether to set published numbers underneath.
    """
    return Group(*(_Board(board, published) for board in boards))


@dataclass(frozen=True)
class _Board:
    """A board in one table where the terminal is wide enough, else in several narrow ones."""

    board: Leaderboard
    published: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board = self.board
        yield Text(title(board), style="bold")
        told, legend = heading(board), legend_of(board)
        yield Text.assemble("\n".join(told), *(f"\n{line}" for line in legend))
        sheet = _Sheet(board, console, options)
        whole, smaller = (sheet.whole(compute=compute) for compute in (True, False))
        if (width := sheet.width(whole)) <= options.max_width:
            yield whole
        elif (least := sheet.width(smaller)) <= options.max_width:
            columns = " and ".join(" ".join(field.head) for field in compute_fields(board))
            yield Text(_NO_COMPUTE.format(columns=columns, width=width))
            yield smaller
        else:
            yield Text(_NARROW.format(width=least))
            yield from replace(sheet, narrow=True).tables()
        for line in board.unranked:
            yield Text(f"not ranked: {line.label} {line.why_unranked}")
        if board.statistics:
            yield Text("statistics:")
            yield from (Text(f"· {sentence}") for sentence in board.statistics)
        for note in board.notes:
            yield Text(f"note: {note}")
        if self.published:
            yield from _published(board, console, options)
        yield Text()


@dataclass(frozen=True)
class _Sheet:
    """Draws tables of a board: with lines between the columns, or narrow without."""

    board: Leaderboard
    console: Console
    options: ConsoleOptions
    narrow: bool = False

    def whole(self, *, compute: bool) -> Table:
        """Return all in one table, with or without what the entries took of devices."""
        board = self.board
        return self.table(
            [
                *rank_fields(board),
                ENTRY,
                *score_fields(board, board.tasks),
                *summary_fields(board, short=True, compute=compute),
            ]
        )

    def tables(self) -> Iterator[Table]:
        """Yield what sums the lines up, then the scores, as many columns at once as fit."""
        board = self.board
        yield from self.split([*rank_fields(board), ENTRY], summary_fields(board, short=True))
        yield from self.split([ENTRY], score_fields(board, board.tasks, narrow=True, std=False))

    def split(self, first: Sequence[Field], others: Sequence[Field]) -> Iterator[Table]:
        """Yield tables of all fields; behind the first one the entry stands in front."""
        while others or first != [ENTRY]:
            count = len(others)
            while count > (first == [ENTRY]) and not self.fits([*first, *others[:count]]):
                count -= 1
            yield self.table([*first, *others[:count]])
            first, others = [ENTRY], others[count:]

    def fits(self, fields: Sequence[Field]) -> bool:
        return self.width(self.table(fields)) <= self.options.max_width

    def width(self, table: Table) -> int:
        """Return how wide a table wants to be."""
        natural = self.options.update(max_width=10_000)
        return self.console.measure(table, options=natural).maximum

    def table(self, fields: Sequence[Field]) -> Table:
        """Return a table of all lines, those that are not ranked below a rule."""
        table = Table(box=RULES, padding=(0, 1), pad_edge=False) if self.narrow else Table()
        for field in fields:
            table.add_column(
                Text(self.shown("\n".join(field.head))),
                justify="left" if field.kind == "text" else "right",
                overflow="fold",
                max_width=NARROW_ENTRY if self.narrow and field is ENTRY else None,
            )
        for line in self.board.ranked:
            table.add_row(*self.row(fields, line))
        table.add_section()
        for line in self.board.unranked:
            table.add_row(*self.row(fields, line))
        return table

    def row(self, fields: Sequence[Field], line: Line) -> list[Text]:
        return [
            Text.assemble(
                (self.shown(cell.text), _STYLES[cell.mark]),
                self.shown(("*" if cell.mark is Mark.CLOSE else "") + cell.behind),
            )
            for cell in cells_of(fields, line)
        ]

    def shown(self, text: str) -> str:
        """Columns are as wide as what is shown in the end."""
        return encodable(text, self.options.encoding)


def _published(board: Leaderboard, console: Console, options: ConsoleOptions) -> RenderResult:
    rows = published_rows(board)
    if not rows:
        return
    yield Text(CAUTION)
    table = Table(style="dim")
    for name in PUBLISHED_COLUMNS:
        table.add_column(name, justify="right" if name == "value" else "left")
    for row in rows:
        table.add_row(*(Text(part) for part in row))
    if (
        console.measure(table, options=options.update(max_width=10_000)).maximum
        <= options.max_width
    ):
        yield table
        return
    groups: dict[tuple[str, ...], list[str]] = {}
    for task, metric, method, value, *where in rows:
        groups.setdefault((task, metric, *where), []).append(f"{method} {value}")
    for (task, metric, *where), values in groups.items():
        yield Text(f"· {task} {metric}: {', '.join(values)} ({', '.join(filter(None, where))})")
