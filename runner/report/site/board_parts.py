"""What a page shows of a board: texts, and the cells behind each of its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.plots.plot import Plot
from runner.report.published import CAUTION, PUBLISHED_COLUMNS, published_rows
from runner.report.wording import (
    average_rank,
    coverage,
    duration,
    heading,
    score_cells,
    task_title,
    time_spent,
    title,
)
from runner.results import Result


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a board.

    Attributes:
        text: The result in words; the class of the failure where there is none.
        behind: Its rank, or the seeds that it lacks.
        best: Whether no other entry is better on the task.
        sort: What the column is sorted by; None where there is no result.
        cells: Places of the cells behind it in the table of all cells.
    """

    text: str
    behind: str
    best: bool
    sort: float | None
    cells: tuple[int, ...]


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
    """One line of a board."""

    label: str
    ranked: bool
    average: str
    rank: float | None
    numbers: tuple[Number, ...]
    covered: tuple[Covered, ...]
    coverage: str
    share: float
    time: str
    seconds: float
    time_in_full: str
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownBoard:
    """A board as the template takes it."""

    title: str
    name: str
    columns: tuple[tuple[str, ...], ...]
    lines: tuple[ShownLine, ...]
    heading: tuple[str, ...]
    notes: tuple[str, ...]
    statistics: tuple[str, ...]
    published: tuple[tuple[str, ...], ...]
    plots: tuple[Plot, ...]
    caution: str = CAUTION
    published_columns: tuple[str, ...] = PUBLISHED_COLUMNS


def shown_board(
    board: Leaderboard,
    places: Mapping[str, int],
    *,
    published: bool,
    statistics: Iterable[str],
    plots: Iterable[Plot],
) -> ShownBoard:
    """Return what a page shows of a board.

    Args:
        board: The board.
        places: Of the cells in the table of all cells, by id.
        published: Whether to set published numbers underneath.
        statistics: Sentences about it.
        plots: Those of all boards.
    """
    return ShownBoard(
        title=title(board),
        name=board.name,
        columns=tuple(tuple(task_title(column)) for column in board.tasks),
        lines=tuple(_line(line, board, places) for line in board.lines),
        heading=tuple(heading(board)),
        notes=board.notes,
        statistics=tuple(statistics),
        published=tuple(map(tuple, published_rows(board))) if published else (),
        plots=tuple(plot for plot in plots if plot.board == board.name),
    )


def _line(line: Line, board: Leaderboard, places: Mapping[str, int]) -> ShownLine:
    numbers, covered = [], []
    shown = score_cells(line, board.tasks, board)
    for column, (text, behind, best) in zip(board.tasks, shown, strict=True):
        cells = [cell for cell in line.cells if _is_of(cell, column)]
        standing = line.scores.get(column.key)
        failed = _failures(cells)
        numbers.append(
            Number(
                text=text if standing is not None else failed or text,
                behind=behind,
                best=best,
                sort=None if standing is None else standing.mean,
                cells=tuple(sorted(places[c.cell_id] for c in cells if c.cell_id in places)),
            )
        )
        done = len(standing.seeds) if standing is not None else 0
        covered.append(Covered(done=done, wanted=len(column.seeds), failed=failed))
    return ShownLine(
        label=line.label,
        ranked=line.average_rank is not None,
        average=average_rank(line),
        rank=line.average_rank,
        numbers=tuple(numbers),
        covered=tuple(covered),
        coverage=coverage(line, board),
        share=line.covered,
        time=duration(line.wall_s),
        seconds=line.wall_s,
        time_in_full=time_spent(line),
        missing=line.missing,
    )


def _is_of(cell: Result, column: TaskColumn) -> bool:
    # A failed cell may not know the origin of its data.
    return cell.task == column.task and cell.origin in (column.origin, None)


def _failures(cells: Sequence[Result]) -> str:
    """Return the failures by class, `2 oom, 1 data`."""
    counts = Counter(cell.failure for cell in cells if cell.value is None and cell.failure)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
