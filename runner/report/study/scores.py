"""Results of a study: scores by task, ranks, and one method against every other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from scipy.stats import wilcoxon

from runner.report.compare import Leaderboard
from runner.report.compute import tells_flops
from runner.report.layout import is_best, lacking
from runner.report.lines import Line
from runner.report.markdown import markdown_table
from runner.report.wording import ARROWS, average_rank, operations, plus_minus
from runner.results import Result

# Value of each seed by task.
_Values = dict[str, dict[int, float]]


def scores_table(board: Leaderboard) -> str:
    """Return task x entry: mean and sample standard deviation over seeds, the best in bold."""
    rows = []
    for column in board.tasks:
        row = [column.task, f"{column.metric} {ARROWS[column.direction]}"]
        row.append("-" if column.floor is None else f"{column.floor:.1e}")
        for line in board.lines:
            score = line.scores.get(column.task)
            text = "-" if score is None else plus_minus(score.mean, score.std)
            if score is not None and (less := lacking(score, column)):
                text += f" {less}"
            row.append(f"**{text}**" if is_best(score, column, board) else text)
        rows.append(row)
    table = markdown_table(["task", "metric", "floor", *(x.label for x in board.lines)], rows)
    notes = [f"* Note: {note}" for note in board.notes]
    return "\n\n".join([table, "\n".join(notes)] if notes else [table])


def ranks_table(board: Leaderboard) -> str:
    """Return entry by entry: average rank, tasks won, what a cell takes, as medians.

    Seconds of stage 1 and of fitting, and where they were counted all operations.
    """
    rows, counted = [], tells_flops(board.lines)
    for line in board.lines:
        scored = [cell for cell in line.cells if cell.value is not None]
        won = sum(is_best(line.scores.get(c.task), c, board) for c in board.tasks)
        rows.append(
            [
                line.label,
                average_rank(line),
                "-" if line.average_rank is None else f"{won} of {len(board.tasks)}",
                _seconds([cell.align_s for cell in scored]),
                _seconds([cell.fit_s for cell in scored]),
                *([_flops(scored)] if counted else []),
                "; ".join(line.missing),
            ]
        )
    header = ["entry", "average rank", "tasks won", "stage 1, s", "fitting, s"]
    header += [*(["FLOPs"] if counted else []), "missing"]
    if not board.unranked:
        header, rows = header[:-1], [row[:-1] for row in rows]
    return markdown_table(header, rows)


def wins_table(board: Leaderboard, method: str) -> str:
    """Return how a method does against every other entry, on the seeds that both have.

    Args:
        board: The cells.
        method: Name of the method; each of its entries has a table.
    """
    ours = [line for line in board.by_label if line.method == method]
    if not ours:
        return (
            f"There are no results of {method}." if method else "No method is set against others."
        )
    return "\n\n".join(
        markdown_table(
            [
                f"{entry.label} against",
                "better on",
                "win rate over tasks and seeds",
                "median ratio of errors",
                "p",
            ],
            [_against(board, entry, other) for other in board.lines if other is not entry],
        )
        for entry in ours
    )


def _against(board: Leaderboard, ours: Line, theirs: Line) -> list[str]:
    """Return one row; a ratio below 1 says that ours has the smaller error."""
    first, second = _values(ours), _values(theirs)
    better: list[bool] = []
    pairs: list[float] = []
    ratios: list[float] = []
    for column in board.tasks:
        one, other = first.get(column.task, {}), second.get(column.task, {})
        seeds = sorted(one.keys() & other.keys())
        if not seeds:
            continue
        sign = 1.0 if column.direction == "max" else -1.0
        mine, yours = fmean(one[seed] for seed in seeds), fmean(other[seed] for seed in seeds)
        better.append(sign * (mine - yours) > 0)
        pairs += [_win(sign * (one[seed] - other[seed])) for seed in seeds]
        if min(mine, yours) > 0:
            ratios.append((yours / mine) ** sign)
    if not better:
        return [theirs.label, *["-"] * 4]
    return [
        theirs.label,
        f"{sum(better)} of {len(better)}",
        f"{fmean(pairs):.0%} of {len(pairs)}",
        f"{median(ratios):.3f}" if ratios else "-",
        _p_value([math.log(ratio) for ratio in ratios]),
    ]


def _win(advantage: float) -> float:
    return 0.5 if advantage == 0 else float(advantage > 0)


def _p_value(differences: Sequence[float]) -> str:
    """Return the two-sided Wilcoxon signed-rank p; nothing where all differences are zero."""
    if not any(differences):
        return "-"
    return f"{wilcoxon(differences).pvalue:.2g}"


def _values(entry: Line) -> _Values:
    values: _Values = {}
    for cell in entry.cells:
        if cell.value is not None:
            values.setdefault(cell.task, {})[cell.seed] = cell.value
    return values


def _flops(cells: Sequence[Result]) -> str:
    known = [cell.flops for cell in cells if cell.flops is not None]
    return operations(median(known) if known else None)


def _seconds(values: Sequence[float]) -> str:
    return f"{median(values):.1f}" if values else "-"
