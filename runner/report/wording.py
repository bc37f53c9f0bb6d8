"""How numbers and headings of a board are worded, the same in every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they load pandas, which `xmft status` does not need
    from runner.report.compare import Leaderboard, TaskColumn
    from runner.report.lines import Line, Standing

ARROWS = {"min": "↓", "max": "↑"}


def heading(board: Leaderboard) -> list[str]:
    """Return the lines above a board: what was measured, how, and what sorts the lines."""
    metrics: dict[str, list[str]] = {}
    for column in board.tasks:
        name = f"{column.metric} v{column.metric_version} {ARROWS[column.direction]}"
        metrics.setdefault(name, []).append(column.task)
    described = [
        name if len(metrics) == 1 else f"{name} ({', '.join(tasks)})"
        for name, tasks in metrics.items()
    ]
    lines = [
        f"data origin: {board.origin} · protocol: {board.query.protocol} · "
        f"selection: {board.query.selection} · split: {board.query.split}",
        f"metric: {'; '.join(described)} · mean ± sample standard deviation over seeds (rank)",
        f"sorted by: average rank over {_count(len(board.tasks), 'task')}, each weighing the same, "
        f"among the {_count(len(board.ranked), 'complete entry', 'complete entries')}; 1 is best",
    ]
    if any(column.floor is not None for column in board.tasks):
        lines.append(
            "floor: what a perfect solver of the equation would score on these data, which have "
            "an error of their own; a score below it fits that error"
        )
    backbones = {line.backbones for line in board.lines if line.backbones}
    if len(backbones) == 1:
        lines.append(f"backbone: {', '.join(backbones.pop())}")
    return lines


def title(board: Leaderboard) -> str:
    """Return the title of a board."""
    return f"Leaderboard: {board.origin} data"


def task_title(column: TaskColumn) -> list[str]:
    """Return the lines above the column of a task: its name, what was measured, the floor."""
    arrow = ARROWS[column.direction]
    lines = [column.task, f"{column.metric} {arrow} · {_count(len(column.seeds), 'seed')}"]
    return lines if column.floor is None else [*lines, f"floor {column.floor:.1e}"]


def plus_minus(value: float, std: float | None) -> str:
    """Return `0.01234 ± 0.00056`: four significant digits of the value, as many decimals of std."""
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3e}" + ("" if std is None else f" ± {std:.1e}")
    decimals = 4 if not value else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def score_text(score: Standing | None, column: TaskColumn) -> tuple[str, str]:
    """Return the result in words and what stands behind it: its rank, or the seeds it lacks."""
    if score is None:
        return "-", ""
    text = plus_minus(score.mean, score.std)
    if score.rank is not None:
        return text, f" ({score.rank:g})"
    if score.seeds != column.seeds:
        return text, f" [{len(score.seeds)} of {_count(len(column.seeds), 'seed')}]"
    return text, ""


def is_best(score: Standing | None, column: TaskColumn, board: Leaderboard) -> bool:
    """Tell whether no ranked line is better on the task."""
    if score is None or score.rank is None:
        return False
    ranks = [line.scores[column.task].rank for line in board.ranked]
    return score.rank == min(rank for rank in ranks if rank is not None)


def score_cells(
    line: Line, columns: Sequence[TaskColumn], board: Leaderboard
) -> Iterator[tuple[str, str, bool]]:
    """Yield for each column the result, what stands behind it, and whether it is the best."""
    for column in columns:
        standing = line.scores.get(column.task)
        yield *score_text(standing, column), is_best(standing, column, board)


def coverage(line: Line, board: Leaderboard) -> str:
    """Return how many of the board's tasks the line has all seeds of, `5/6`."""
    return f"{line.covered}/{len(board.tasks)}"


def average_rank(line: Line) -> str:
    """Return the average rank with two decimals, a dash for an incomplete line."""
    return "-" if line.average_rank is None else f"{line.average_rank:.2f}"


def time_spent(line: Line) -> str:
    """Return the time of all attempts, and what alignment and fitting took of it."""
    return f"{duration(line.wall_s)} (align {duration(line.align_s)}, fit {duration(line.fit_s)})"


def duration(seconds: float) -> str:
    """Return `0.4s`, `45s`, `3m20s`, `5h07m`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02d}m"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
