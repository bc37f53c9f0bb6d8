"""Performance profiles: on what share of the tasks an entry is within a factor of the best.

E. D. Dolan and J. J. More, Benchmarking optimization software with performance profiles,
Mathematical Programming 91, 2002.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from runner.report.compare import Leaderboard
from runner.report.plots.panels import Cast, cast_of, legend, legend_rows, scale
from runner.report.plots.plot import NotDrawn
from runner.report.plots.ratios import ratios_of
from runner.report.plots.rendering import COLUMN, Drawing
from runner.report.plots.styles import enumerated, there_are
from runner.report.wording import count, scope

KIND = "profiles"
_TOLD = (1.0, 2.0)


def share_within(ratios: Sequence[float], factor: float) -> float:
    """Return the share of tasks on which an entry is within a factor of the best.

    Args:
        ratios: By which factor it is worse than the best, by task; infinite where none is enough.
        factor: At least 1.
    """
    # Half a part in a billion, so that equal scores are equal whatever a division makes of them.
    return sum(ratio <= factor * (1 + 5e-10) for ratio in ratios) / len(ratios)


def profiles(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw a stair per complete entry, those within 2 of the best most often named first."""
    if len(board.ranked) < 2:
        reason = f"it takes two complete entries, there {there_are(len(board.ranked))}"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    found = [(column, ratios_of(board, column, board.ranked)) for column in board.tasks]
    used = [ratios for _, ratios in found if ratios is not None]
    if not used:
        reason = "no task has scores of one sign, which a ratio needs"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    by_label = {
        line.label: [ratios.by_label[line.label] for ratios in used] for line in board.ranked
    }
    cast = cast_of(board, board.ranked)
    height = 2.2 + 0.13 * legend_rows(cast, COLUMN)
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    axes = figure.subplots()
    shown = [by_label[line.label] for line in cast.lines]
    finite = [ratio for ratios in shown for ratio in ratios if math.isfinite(ratio)]
    end = max([*finite, 1.0]) * 1.05
    for line in cast.lines:
        steps = sorted({1.0, *(r for r in by_label[line.label] if math.isfinite(r))})
        heights = [share_within(by_label[line.label], step) for step in steps]
        style = cast.looks[line.label].line | {"markevery": slice(0, len(steps))}
        axes.plot(
            [*steps, end], [*heights, heights[-1]], drawstyle="steps-post", clip_on=False, **style
        )
    log = scale(axes, "x", [1.0, end])
    axes.set_xlim(1.0, end if log else max(end, 1.1))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("within this factor of the best error")
    axes.set_ylabel("share of tasks")
    legend(figure, cast, cast.lines, "line")
    zeros = [ratios.column.key for ratios in used if ratios.best == 0]
    left = [column.key for column, ratios in found if ratios is None]
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Performance profiles, {scope(board)}",
        caption=_caption(board, cast, len(used), zeros, left),
        alt=_alt(cast, by_label),
        board=board.name,
    )


def _caption(
    board: Leaderboard, cast: Cast, used: int, zeros: Sequence[str], left: Sequence[str]
) -> str:
    text = (
        "Share of tasks on which the mean error over seeds is within a factor of the best entry's "
        f"(Dolan and Moré, 2002); higher is better, the left end is the share of tasks won. "
        f"{count(used, 'task')}, {count(len(board.ranked), 'complete entry', 'complete entries')}."
    )
    if any(column.direction == "max" for column in board.tasks):
        text += " Where more is better the factor is best divided by score."
    if zeros:
        text += (
            f" On {enumerated(zeros)} the best has no error at all: others are within no factor."
        )
    if left:
        text += f" Left aside, for their scores have no ratio: {enumerated(left)}."
    return text + cast.left_out_sentence


def _alt(cast: Cast, by_label: Mapping[str, Sequence[float]]) -> str:
    parts = [
        f"{cast.names[line.label]} "
        + ", ".join(
            f"{share_within(by_label[line.label], factor):.0%} within {factor:g}"
            for factor in _TOLD
        )
        for line in cast.lines
    ]
    return "Share of tasks within a factor of the best: " + "; ".join(parts) + "."
