"""What a page shows of a board: texts, and the cells behind each of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.layout import (
    ENTRY,
    Cell,
    Field,
    Mark,
    rank_fields,
    score_fields,
    summary_fields,
)
from runner.report.lines import Line
from runner.report.plots.plot import NotDrawn, Plot
from runner.report.published import CAUTION, PUBLISHED_COLUMNS, published_rows
from runner.report.wording import heading, legend_of, title
from runner.results import Result


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place of the table of a board.

    Attributes:
        cell: What stands in it.
        sort: What its column is sorted by; None where there is nothing.
        cells: Places of the cells behind it in the table of all cells; none where it is no score.
    """

    cell: Cell
    sort: float | str | None
    cells: tuple[int, ...] = ()

    @property
    def mark(self) -> str:
        """`best`, `close` or nothing."""
        return self.cell.mark.name.lower() if self.cell.mark is not Mark.NONE else ""


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What is there of an entry's seeds on a task.

    Attributes:
        done: Seeds with a result.
        wanted: Seeds that any entry of the board has.
        failed: The classes of the failures of the others, in words.
    """

    done: int
    wanted: int
    failed: str

    @property
    def state(self) -> str:
        """`done`, `failed`, `part` or `missing`."""
        if self.done >= self.wanted:
            return "done"
        return "failed" if self.failed else "part" if self.done else "missing"


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    """One line of a board: as in its table, and what is there of its cells."""

    label: str
    ranked: bool
    places: tuple[Place, ...]
    covered: tuple[Covered, ...]
    why_unranked: str


@dataclass(frozen=True, kw_only=True)
class ShownBoard:
    """A board as the template takes it."""

    title: str
    fields: tuple[Field, ...]
    tasks: tuple[TaskColumn, ...]
    lines: tuple[ShownLine, ...]
    heading: tuple[str, ...]
    legend: tuple[str, ...]
    notes: tuple[str, ...]
    statistics: tuple[str, ...]
    published: tuple[tuple[str, ...], ...]
    plots: tuple[Plot, ...]
    of_tasks: tuple[Plot, ...]
    not_drawn: tuple[str, ...]
    caution: str = CAUTION
    published_columns: tuple[str, ...] = PUBLISHED_COLUMNS


def shown_board(
    board: Leaderboard,
    places: Mapping[str, int],
    drawn: Iterable[Plot | NotDrawn],
    *,
    published: bool,
) -> ShownBoard:
    """Return what a page shows of a board.

    Args:
        board: The board.
        places: Of the cells in the table of all cells, by id.
        drawn: The plots of all boards, and why others could not be drawn.
        published: Whether to set published numbers underneath.
    """
    own = [one for one in drawn if one.board == board.name]
    plots = [one for one in own if isinstance(one, Plot)]
    scores = score_fields(board, board.tasks)
    fields = [ENTRY, *rank_fields(board), *scores, *summary_fields(board, short=True)]
    of_task = dict(zip(map(id, scores), board.tasks, strict=True))
    return ShownBoard(
        title=title(board),
        fields=tuple(fields),
        tasks=board.tasks,
        lines=tuple(
            ShownLine(
                label=line.label,
                ranked=line.average_rank is not None,
                places=tuple(_place(one, line, of_task.get(id(one)), places) for one in fields),
                covered=tuple(_covered(line, column) for column in board.tasks),
                why_unranked=line.why_unranked,
            )
            for line in board.lines
        ),
        heading=tuple(heading(board)),
        legend=tuple(legend_of(board)),
        notes=board.notes,
        statistics=board.statistics,
        published=tuple(map(tuple, published_rows(board))) if published else (),
        plots=tuple(plot for plot in plots if plot.task is None),
        of_tasks=tuple(plot for plot in plots if plot.task is not None),
        not_drawn=tuple(str(one) for one in own if isinstance(one, NotDrawn)),
    )


def _place(field: Field, line: Line, column: TaskColumn | None, places: Mapping[str, int]) -> Place:
    behind: list[int] = []
    if column is not None:
        behind = [places[cell.cell_id] for cell in line.cells if _is_of(cell, column)]
    return Place(cell=field.cell(line), sort=field.sort(line), cells=tuple(sorted(behind)))


def _covered(line: Line, column: TaskColumn) -> Covered:
    standing = line.scores.get(column.key)
    return Covered(
        done=0 if standing is None else len(standing.seeds),
        wanted=len(column.seeds),
        failed=line.failures.get(column.key, ""),
    )


def _is_of(cell: Result, column: TaskColumn) -> bool:
    # A failed cell may not know the origin of its data.
    return cell.task == column.task and cell.origin in (column.origin, None)
