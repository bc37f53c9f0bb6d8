"""How numbers and headings of a board are worded, the same in every format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.report.compute import tells_device_time, tells_flops

if TYPE_CHECKING:  # they load pandas, which `xmft status` does not need
    from runner.report.compare import Leaderboard, TaskColumn
    from runner.report.lines import Line

ARROWS = {"min": "↓", "max": "↑"}


# What each mark and column means, said above every board that has it.
MARKS = (
    "marks: the best entry of a task, and those that are not significantly worse (*; Welch's t "
    "test over the seeds, one-sided, 5 %, Holm's correction)"
)
INTERVAL = "95 % interval: of the average rank, bootstrap over the tasks"
SHARES = (
    "win rate: share of the other complete entries that are worse, ties count half, mean over the "
    "tasks; score: 1 is the best of a task, 0 the median entry and all below, mean over the tasks"
)
FLOOR = (
    "floor: what a perfect solver of the equation would score on these data, which have an error "
    "of their own; a score below it fits that error"
)
FLOPS = (
    "FLOPs: floating-point operations that the scores took, without work entry by entry and "
    "transport"
)
DEVICE_TIME = "device time: seconds of GPUs or, on CPUs, of cores"
OVERALL = (
    "overall: each task is ranked on data of one origin, so ranks may be averaged even where "
    "scores of different origins cannot stand in one column"
)


def heading(board: Leaderboard) -> list[str]:
    """Return the lines above a board: what was measured, how, and what sorts the lines."""
    metrics: dict[str, list[str]] = {}
    within = " within the budget" if board.query.budget else ""
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
        f"sorted by: average rank over {count(len(board.tasks), 'task')}, each weighing the same, "
        f"among the {count(len(board.ranked), 'complete entry', 'complete entries')}{within}; "
        "1 is best",
    ]
    if board.query.budget:
        lines.append(
            f"budget: {board.query.budget} a cell; entries that took more, or of which it is not "
            "known, have no rank"
        )
    lines += [OVERALL] if board.overall else []
    backbones = {line.backbones for line in board.lines if line.backbones}
    if len(backbones) == 1:
        lines.append(f"backbone: {', '.join(backbones.pop())}")
    return lines


def legend_of(board: Leaderboard) -> list[str]:
    """Return what the marks and columns of a board mean."""
    lines = [MARKS] if len(board.ranked) > 1 else []
    lines += [INTERVAL] if any(line.rank_interval for line in board.lines) else []
    lines += [SHARES] if any(line.win_rate is not None for line in board.lines) else []
    compute = [FLOPS] if tells_flops(board.lines) else []
    compute += [DEVICE_TIME] if tells_device_time(board.lines, board.query.most_seconds) else []
    lines += ["; ".join(compute)] if compute else []
    lines += [FLOOR] if any(column.floor is not None for column in board.tasks) else []
    return lines


def not_ranked(board: Leaderboard) -> str:
    """Return what stands above the entries without a rank."""
    over = {line.over.known for line in board.unranked if line.over}
    reasons = {
        "incomplete": any(line.missing for line in board.unranked),
        "over the budget": True in over,
        "not known to be within the budget": False in over,
    }
    return "Not ranked, because " + " or ".join(why for why, holds in reasons.items() if holds)


def title(board: Leaderboard) -> str:
    """Return the title of a board: `Leaderboard: pdebench, official data`."""
    return f"Leaderboard: {scope(board)}"


def scope(board: Leaderboard) -> str:
    """Return what a board is over: `pdebench, official data`."""
    if board.overall:
        return f"overall, {board.origin} data"
    return f"{board.suite or 'all suites'}, {board.origin} data"


def task_title(column: TaskColumn, board: Leaderboard | None = None) -> list[str]:
    """Return the lines above the column of a task: its name, what was measured, the floor.

    On a board over several origins that of the task's data as well.
    """
    name, metric, seeds, *others = _title(column, board)
    return [name, f"{metric} · {seeds}", *others]


def narrow_title(column: TaskColumn, board: Leaderboard) -> list[str]:
    """Return what `task_title` does in shorter lines, without the suite where all have one."""
    name, *others = _title(column, board)
    return [name.partition("/")[2] if board.suite else name, *others]


def _title(column: TaskColumn, board: Leaderboard | None) -> list[str]:
    lines = [column.task, f"{column.metric} {ARROWS[column.direction]}"]
    lines.append(count(len(column.seeds), "seed"))
    lines += [f"{column.origin} data"] if board is not None and board.overall else []
    return lines if column.floor is None else [*lines, f"floor {column.floor:.1e}"]


def plus_minus(value: float, std: float | None) -> str:
    """Return `0.01234 ± 0.00056`: four significant digits of the value, as many decimals of std."""
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3e}" + ("" if std is None else f" ± {std:.1e}")
    decimals = 4 if not value else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def rounded(value: float) -> str:
    """Return a value with three significant digits: `0.0123`, `12.3`, `1.23e-05`."""
    if not value or 1e-3 <= abs(value) < 1e3:
        decimals = 2 if not value else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e5 else f"{value:.1e}"


def coverage(line: Line, board: Leaderboard) -> str:
    """Return how many of the board's tasks the line has all seeds of, `5/6`."""
    return f"{line.covered}/{len(board.tasks)}"


def average_rank(line: Line) -> str:
    """Return the average rank with two decimals, a dash for an incomplete line."""
    return "-" if line.average_rank is None else f"{line.average_rank:.2f}"


def rank_interval(line: Line) -> str:
    """Return the interval of the average rank, `1.0 to 2.3`, a dash where there is none."""
    if line.rank_interval is None:
        return "-"
    low, high = line.rank_interval
    return f"{low:.1f} to {high:.1f}"


def gpu_hours(line: Line) -> str:
    """Return the hours that GPUs were held for a line, a dash where none was."""
    return f"{line.gpu_s / 3600:.2f}" if line.gpu_s else "-"


def operations(number: float | None) -> str:
    """Return a number of operations with two digits, `1.2e15`, a dash for None."""
    if number is None:
        return "-"
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if number else "0"


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


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 task`, `3 tasks`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
