"""What stands in the tables of a board, whatever format they are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.compute import tells_device_time, tells_flops
from runner.report.lines import Line, Standing
from runner.report.wording import (
    average_rank,
    coverage,
    duration,
    gpu_hours,
    narrow_title,
    operations,
    plus_minus,
    rank_interval,
    rounded,
    task_title,
    time_spent,
)


class Mark(Enum):
    """How a score is set off."""

    NONE = ""
    BEST = "best"
    # Not significantly worse than the best.
    CLOSE = "*"


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: What is set off by the mark.
        behind: What follows it as it is.
        mark: How the text is set off.
    """

    text: str
    behind: str = ""
    mark: Mark = Mark.NONE


@dataclass(frozen=True)
class Field:
    """One column of a table.

    Attributes:
        head: The lines above it.
        cell: From a line of the board to what stands in it.
        kind: Whether it holds scores of a task, other numbers, or texts.
        sort: From a line to what it is sorted by where readers can sort; None: by nothing.
    """

    head: tuple[str, ...]
    cell: Callable[[Line], Cell]
    kind: Literal["score", "number", "text"] = "number"
    sort: Callable[[Line], float | str | None] = lambda line: None

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines above it where there is room: one, but for scores."""
        return self.head if self.kind == "score" else (" ".join(self.head),)


def _number(head: str, told: Callable[[Line], str], sort: Callable[[Line], float | None]) -> Field:
    """Return a column without marks; line feeds part the lines of its head."""
    return Field(tuple(head.split("\n")), lambda line: Cell(told(line)), sort=sort)


ENTRY = Field(("entry",), lambda line: Cell(line.label), "text", lambda line: line.label)
MISSING = Field(("missing",), lambda line: Cell("; ".join(line.missing)), "text")
WHY = Field(("why",), lambda line: Cell(line.why_unranked), "text")


def rank_fields(board: Leaderboard) -> list[Field]:
    """Return the average rank, and its interval where there is one."""
    fields = [_number("average\nrank", average_rank, lambda line: line.average_rank)]
    if any(line.rank_interval for line in board.lines):
        fields.append(
            _number(
                "95 %\ninterval",
                rank_interval,
                lambda line: line.rank_interval[0] if line.rank_interval else None,
            )
        )
    return fields


def score_fields(
    board: Leaderboard, columns: Sequence[TaskColumn], *, narrow: bool = False, std: bool = True
) -> list[Field]:
    """Return one column for each task.

    Args:
        board: The board.
        columns: The tasks, some or all.
        narrow: Whether the lines of the heads are to be short.
        std: Whether to tell deviations, and means with as many digits as go with them.
    """
    return [
        Field(
            tuple(narrow_title(column, board) if narrow else task_title(column, board)),
            _score(board, column, std),
            "score",
            _mean(column),
        )
        for column in columns
    ]


def summary_fields(
    board: Leaderboard, *, short: bool = False, ranked: bool = True, compute: bool = True
) -> list[Field]:
    """Return what sums a line up: wins, score, coverage, time, compute.

    Args:
        board: The board.
        short: Whether to leave out what the time was spent on.
        ranked: Whether complete entries are among the lines, which alone have wins and a score.
        compute: Whether to tell device time and operations, where there are any.
    """
    fields = []
    if ranked and any(line.win_rate is not None for line in board.lines):
        fields += [
            _number("win\nrate", lambda line: percent(line.win_rate), lambda line: line.win_rate),
            _number(
                "score",
                lambda line: "-" if line.normalised is None else f"{line.normalised:.2f}",
                lambda line: line.normalised,
            ),
        ]
    fields += [
        _number("tasks", lambda line: coverage(line, board), lambda line: line.covered),
        _number(
            "time",
            lambda line: duration(line.wall_s) if short else time_spent(line),
            lambda line: line.wall_s,
        ),
    ]
    if any(line.gpu_s for line in board.lines):
        fields.append(_number("GPU-h", gpu_hours, lambda line: line.gpu_s))
    return fields + (compute_fields(board) if compute else [])


def compute_fields(board: Leaderboard) -> list[Field]:
    """Return device time and operations, each where there is something to tell."""
    fields = []
    if tells_device_time(board.lines, board.query.most_seconds):
        fields.append(
            _number(
                "device\ntime",
                lambda line: "-" if line.device_s is None else duration(line.device_s),
                lambda line: line.device_s,
            )
        )
    if tells_flops(board.lines):
        fields.append(
            _number("FLOPs", lambda line: operations(line.flops), lambda line: line.flops)
        )
    return fields


def percent(share: float | None) -> str:
    """Return `93 %`, a dash for None."""
    return "-" if share is None else f"{100 * share:.0f} %"


def ranked_fields(board: Leaderboard) -> list[Field]:
    """Return all columns of the complete entries."""
    return [
        *rank_fields(board),
        ENTRY,
        *score_fields(board, board.tasks),
        *summary_fields(board),
    ]


def unranked_fields(board: Leaderboard) -> list[Field]:
    """Return all columns of the entries without a rank."""
    return [
        ENTRY,
        *score_fields(board, board.tasks),
        *summary_fields(board, ranked=False),
        WHY if any(line.over for line in board.unranked) else MISSING,
    ]


def cells_of(fields: Iterable[Field], line: Line) -> list[Cell]:
    """Return a line of a table."""
    return [field.cell(line) for field in fields]


def is_best(score: Standing | None, column: TaskColumn, board: Leaderboard) -> bool:
    """Tell whether no ranked line is better on the task."""
    if score is None or score.rank is None:
        return False
    return score.rank == _best_rank(column, board)


def lacking(score: Standing, column: TaskColumn) -> str:
    """Return how many seeds a score is of if it lacks some, `[1 of 2 seeds]`."""
    if score.seeds == column.seeds:
        return ""
    count = len(column.seeds)
    return f"[{len(score.seeds)} of {count} seed{'' if count == 1 else 's'}]"


def _best_rank(column: TaskColumn, board: Leaderboard) -> float:
    ranks = [score.rank for line in board.ranked if (score := line.scores.get(column.key))]
    return min((rank for rank in ranks if rank is not None), default=0.0)


def _mean(column: TaskColumn) -> Callable[[Line], float | None]:
    def mean(line: Line) -> float | None:
        score = line.scores.get(column.key)
        return None if score is None else score.mean

    return mean


def _score(board: Leaderboard, column: TaskColumn, std: bool) -> Callable[[Line], Cell]:
    best = _best_rank(column, board)

    def cell(line: Line) -> Cell:
        failure = line.failures.get(column.key, "")
        score = line.scores.get(column.key)
        if score is None:
            return Cell(failure or "-")
        text = plus_minus(score.mean, score.std) if std else rounded(score.mean)
        if score.rank is None:
            told = " ".join(filter(None, (lacking(score, column), failure)))
            return Cell(text, told and f" {told}")
        mark = Mark.BEST if score.rank == best else Mark.CLOSE if score.close else Mark.NONE
        return Cell(text, f" ({score.rank:g})", mark)

    return cell
