"""Errors relative to the best entry of a task, whatever its metric."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """By which factor each entry is worse than the best one of a task.

    Attributes:
        column: The task.
        best: Score of the best entry.
        best_label: Its label.
        by_label: The factor of each entry with a score, 1 for the best; infinite for all that err
            where the best does not.
    """

    column: TaskColumn
    best: float
    best_label: str
    by_label: dict[str, float]

    def of(self, value: float) -> float:
        """Return the factor by which a value is worse than the best entry's."""
        return _factor(value, self.best, self.column.direction)


def ratios_of(board: Leaderboard, column: TaskColumn, lines: tuple[Line, ...]) -> Ratios | None:
    """Return the factors of some lines on a task; None where scores have no ratio.

    A ratio is that of two scores of one sign: errors of zero or more, or, where more is better,
    scores above zero. The best is that of the complete entries, if there are any.

    Args:
        board: The lines' board.
        column: The task.
        lines: Whose factors are wanted.
    """
    found = {
        line.label: line.scores[column.key].mean for line in lines if column.key in line.scores
    }
    complete = {
        line.label: line.scores[column.key].mean
        for line in board.ranked
        if column.key in line.scores
    }
    candidates = complete or found
    if not found:
        return None
    values = [*found.values(), *candidates.values()]
    maximise = column.direction == "max"
    if min(values) < 0 or (maximise and min(values) == 0):
        return None
    sign = -1.0 if maximise else 1.0
    label = min(candidates, key=lambda name: (sign * candidates[name], name))
    best = candidates[label]
    return Ratios(
        column=column,
        best=best,
        best_label=label,
        by_label={name: _factor(v, best, column.direction) for name, v in found.items()},
    )


def _factor(value: float, best: float, direction: str) -> float:
    above, below = (best, value) if direction == "max" else (value, best)
    if below > 0:
        return above / below
    return 1.0 if above <= 0 else math.inf
