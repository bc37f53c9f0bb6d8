"""Error against time, with the entries that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.plots.panels import (
    Cast,
    cast_of,
    cells_of,
    legend,
    legend_rows,
    panels,
    scale,
    short_tasks,
)
from runner.report.plots.plot import NotDrawn
from runner.report.plots.ratios import ratios_of
from runner.report.plots.rendering import PAGE, Drawing
from runner.report.plots.styles import GREY, cut, enumerated, one_line, wrapped
from runner.report.wording import count, duration, scope

KIND = "time"
_MOST = 24
_ALL = "all tasks"
# Rings around the unbeaten, for a front may be a single point.
_FRONT: dict[str, Any] = {
    "color": GREY,
    "linewidth": 1,
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
}
# Seconds and error of an entry.
Point = tuple[float, float]


def pareto(points: Mapping[str, Point], *, maximise: bool = False) -> list[str]:
    """Return the names that no other beats in one respect without losing in the other.

    Args:
        points: Seconds and score by name; fewer seconds are better.
        maximise: Whether more of the score is better.

    Returns:
        The names, the quickest first; of equal ones all.
    """
    sign = -1.0 if maximise else 1.0
    front: list[str] = []
    best = math.inf
    last: Point | None = None
    order = sorted(points, key=lambda name: (points[name][0], sign * points[name][1], name))
    for name in order:
        own = points[name]
        if sign * own[1] < best or own == last:
            front.append(name)
            best, last = sign * own[1], own
    return front


def error_time(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw a panel per task, and before them one over all tasks where there are several."""
    cast = cast_of(board, board.lines, _MOST)
    shown: list[tuple[str, str, dict[str, Point], bool]] = []
    overall = _overall(board, cast) if len(board.tasks) > 1 else {}
    if overall:
        shown.append((_ALL, "relative error", overall, False))
    tasks = short_tasks(board.tasks)
    for column in board.tasks:
        points = _points(column, cast.lines)
        if points:
            metric = one_line(column.metric)
            shown.append((tasks[column.key], metric, points, column.direction == "max"))
    if not shown:
        reason = "no result says how long its cell took"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    rows = legend_rows(cast, PAGE, more=1)
    figure, axes = panels(len(shown), most_columns=4, row_height=1.8, extra=0.1 + 0.13 * rows)
    for panel, (title, metric, points, maximise) in zip(axes, shown, strict=True):
        front = pareto(points, maximise=maximise)
        _panel(panel, cast, points, front)
        panel.set_title(wrapped(title, 24), fontsize=6.5, linespacing=1.05)
        panel.set_ylabel(cut(metric, 24) + (" (more is better)" if maximise else ""))
        panel.set_xlabel("seconds" if title != _ALL else "seconds, sum over tasks", labelpad=1)
    drawn = {label for _, _, points, _ in shown for label in points}
    handle = axes[0].plot([], [], label="Pareto front", **_FRONT)
    lines = [line for line in cast.lines if line.label in drawn]
    legend(figure, cast, lines, "dots", more=handle)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Error against time, {scope(board)}",
        caption=_caption(board, cast, bool(overall)),
        alt=_alt(shown, cast),
        board=board.name,
    )


def _points(column: TaskColumn, lines: Sequence[Line]) -> dict[str, Point]:
    """Return mean seconds and mean score over seeds, of entries that took any time."""
    points = {}
    for line in lines:
        cells = [cell for cell in cells_of(line, column) if cell.own_s > 0]
        if cells and column.key in line.scores:
            points[line.label] = (
                fmean(cell.own_s for cell in cells),
                line.scores[column.key].mean,
            )
    return points


def _overall(board: Leaderboard, cast: Cast) -> dict[str, Point]:
    """Return seconds over all tasks and the geometric mean of relative errors, of complete entries.

    Tasks without ratios, or with a best that has no error, take no part.
    """
    lines = tuple(line for line in cast.lines if line in board.ranked)
    found = {}
    for column in board.tasks:
        ratios = ratios_of(board, column, lines)
        if ratios is not None and ratios.best != 0:
            found[column.key] = ratios.by_label, _points(column, lines)
    overall = {}
    for line in lines:
        own = [
            (points[line.label][0], factors[line.label])
            for factors, points in found.values()
            if line.label in points and math.isfinite(factors[line.label])
        ]
        if found and len(own) == len(found):
            mean = math.exp(fmean(math.log(factor) for _, factor in own))
            overall[line.label] = (math.fsum(seconds for seconds, _ in own), mean)
    return overall


def _panel(axes: Axes, cast: Cast, points: Mapping[str, Point], front: Sequence[str]) -> None:
    axes.plot(
        [points[label][0] for label in front],
        [points[label][1] for label in front],
        drawstyle="steps-post",
        zorder=1,
        **_FRONT,
    )
    for label, (seconds, error) in points.items():
        style = cast.looks[label].dots
        if label not in front:
            style |= {"alpha": 0.85}
        axes.plot([seconds], [error], zorder=3, **style)
    scale(axes, "x", [seconds for seconds, _ in points.values()])
    scale(axes, "y", [error for _, error in points.values()])
    axes.margins(0.08)


def _caption(board: Leaderboard, cast: Cast, overall: bool) -> str:
    text = (
        "Score against wall time of the cell's counting attempt, means over seeds; down and left "
        "is better where less is. Rings and the grey stair mark the entries that no other beats in "
        "both. "
        f"{count(len(cast.lines), 'entry', 'entries')}, {count(len(board.tasks), 'task')}."
    )
    if overall:
        text += (
            " All tasks: geometric mean of the error relative to the best against the sum of "
            "seconds, complete entries only."
        )
    return text + " Times of different machines do not compare." + cast.left_out_sentence


def _alt(shown: Sequence[tuple[str, str, dict[str, Point], bool]], cast: Cast) -> str:
    parts = []
    for title, metric, points, maximise in shown:
        front = pareto(points, maximise=maximise)
        told = [
            f"{cast.names[label]} ({duration(points[label][0])}, {metric} {points[label][1]:.3g})"
            for label in front
        ]
        parts.append(f"{one_line(title)}: unbeaten in both are {enumerated(told)}.")
    return "Error against time. " + " ".join(parts)
