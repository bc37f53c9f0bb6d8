"""Leaderboards as rich tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from runner.console import encodable
from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.published import CAUTION, PUBLISHED_COLUMNS, published_rows
from runner.report.wording import (
    average_rank,
    coverage,
    heading,
    score_cells,
    task_title,
    time_spent,
    title,
)


def to_terminal(boards: Sequence[Leaderboard], *, published: bool = True) -> RenderableType:
    """Return something that a rich console prints.

    Args:
        boards: What `build` returned.
        published: Whether to set published numbers underneath.
    """
    return Group(*(_Board(board, published) for board in boards))


@dataclass(frozen=True)
class _Board:
    """A board that splits its tasks over several tables where the terminal is narrow."""

    board: Leaderboard
    published: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board = self.board
        yield Text(title(board), style="bold")
        yield Text("\n".join(heading(board)))
        columns = board.tasks
        natural = options.update(max_width=10_000)
        per_table = len(columns)
        while per_table > 1 and any(
            console.measure(table, options=natural).maximum > options.max_width
            for table in _tables(board, columns, per_table, options.encoding)
        ):
            per_table -= 1
        yield from _tables(board, columns, per_table, options.encoding)
        for line in board.unranked:
            yield Text(f"not ranked: {line.label} lacks {'; '.join(line.missing)}")
        for note in board.notes:
            yield Text(f"note: {note}")
        if self.published:
            yield from _published(board)
        yield Text()


def _tables(
    board: Leaderboard, columns: Sequence[TaskColumn], per_table: int, encoding: str
) -> list[Table]:
    parts = [columns[start : start + per_table] for start in range(0, len(columns), per_table)]
    return [_table(board, part, encoding, last=part is parts[-1]) for part in parts]


def _table(
    board: Leaderboard, columns: Sequence[TaskColumn], encoding: str, *, last: bool
) -> Table:
    def shown(text: str) -> str:  # columns are as wide as what is shown in the end
        return encodable(text, encoding)

    table = Table()
    table.add_column("average\nrank", justify="right")
    table.add_column("entry", overflow="fold")
    for column in columns:
        table.add_column(Text(shown("\n".join(task_title(column)))), justify="right")
    if last:
        table.add_column("tasks", justify="right")
        table.add_column("time", justify="right")

    def add(line: Line) -> None:
        cells: list[Text] = [Text(average_rank(line)), Text(shown(line.label))]
        for value, behind, best in score_cells(line, columns, board):
            cells.append(Text.assemble((shown(value), "bold" if best else ""), shown(behind)))
        if last:
            cells += [Text(coverage(line, board)), Text(time_spent(line))]
        table.add_row(*cells)

    for line in board.ranked:
        add(line)
    table.add_section()
    for line in board.unranked:
        add(line)
    return table


def _published(board: Leaderboard) -> RenderResult:
    rows = published_rows(board)
    if not rows:
        return
    yield Text(CAUTION)
    table = Table(style="dim")
    for name in PUBLISHED_COLUMNS:
        table.add_column(name, justify="right" if name == "value" else "left")
    for row in rows:
        table.add_row(*(Text(part) for part in row))
    yield table
