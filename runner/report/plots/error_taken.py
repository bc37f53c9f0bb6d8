"""Error against what it took (time, device time, operations), with those unbeaten in both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from runner.report.wording import count, duration, operations, scope
from runner.results import Result


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a cell took, as an axis.

    Attributes:
        kind: Of the plot.
        title: What error is drawn against.
        label: Of the axis.
        of: From a cell to the number; None or nothing where it is unknown.
        worded: From a number to words.
        caption: What the numbers are.
        caution: What they cannot say; empty for nothing.
    """

    kind: str
    title: str
    label: str
    of: Callable[[Result], float | None]
    worded: Callable[[float], str]
    caption: str
    caution: str = ""


TIME = Taken(
    kind="time",
    title="time",
    label="seconds",
    of=lambda cell: cell.own_s,
    worded=duration,
    caption="wall time of the cell's counting attempt",
    caution=" Times of different machines do not compare.",
)
DEVICE_TIME = Taken(
    kind="device-time",
    title="device time",
    label="device seconds",
    of=lambda cell: cell.device_s,
    worded=duration,
    caption="device time of the cell's counting attempt (seconds of GPUs or, on CPUs, of cores)",
    caution=" Times of different devices do not compare.",
)
COMPUTE = Taken(
    kind="compute",
    title="compute",
    label="FLOPs",
    of=lambda cell: cell.flops,
    worded=lambda number: f"{operations(number)} FLOPs",
    caption="the floating-point operations that the score took",
)
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
# What an entry took, and its error.
Point = tuple[float, float]


def pareto(points: Mapping[str, Point], *, maximise: bool = False) -> list[str]:
    """Return the names that no other beats in one respect without losing in the other.

    Args:
        points: What was taken, and score, by name; less of the first is better.
        maximise: Whether more of the score is better.

    Returns:
        The names, what took least first; of equal ones all.
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


def error_taken(board: Leaderboard, taken: Taken = TIME) -> Drawing | NotDrawn:
    """Draw a panel per task, and before them one over all tasks where there are several."""
    cast = cast_of(board, board.lines, _MOST)
    shown: list[tuple[str, str, dict[str, Point], bool]] = []
    overall = _overall(board, cast, taken) if len(board.tasks) > 1 else {}
    if overall:
        shown.append((_ALL, "relative error", overall, False))
    tasks = short_tasks(board.tasks)
    for column in board.tasks:
        points = _points(column, cast.lines, taken)
        if points:
            metric = one_line(column.metric)
            shown.append((tasks[column.key], metric, points, column.direction == "max"))
    if not shown:
        reason = f"no result says what its cell took of {taken.title}"
        return NotDrawn(kind=taken.kind, reason=reason, board=board.name)
    rows = legend_rows(cast, PAGE, more=1)
    figure, axes = panels(len(shown), most_columns=4, row_height=1.8, extra=0.1 + 0.13 * rows)
    for panel, (title, metric, points, maximise) in zip(axes, shown, strict=True):
        front = pareto(points, maximise=maximise)
        _panel(panel, cast, points, front)
        panel.set_title(wrapped(title, 24), fontsize=6.5, linespacing=1.05)
        panel.set_ylabel(cut(metric, 24) + (" (more is better)" if maximise else ""))
        summed = ", sum over tasks" if title == _ALL else ""
        panel.set_xlabel(f"{taken.label}{summed}", labelpad=1)
    drawn = {label for _, _, points, _ in shown for label in points}
    handle = axes[0].plot([], [], label="Pareto front", **_FRONT)
    lines = [line for line in cast.lines if line.label in drawn]
    legend(figure, cast, lines, "dots", more=handle)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{taken.kind}",
        kind=taken.kind,
        title=f"Error against {taken.title}, {scope(board)}",
        caption=_caption(board, cast, bool(overall), taken),
        alt=_alt(shown, cast, taken),
        board=board.name,
    )


def _points(column: TaskColumn, lines: Sequence[Line], taken: Taken) -> dict[str, Point]:
    """Return what was taken and the score, means over seeds, of entries that took anything."""
    points = {}
    for line in lines:
        used = [number for cell in cells_of(line, column) if (number := taken.of(cell))]
        if used and column.key in line.scores:
            points[line.label] = (fmean(used), line.scores[column.key].mean)
    return points


def _overall(board: Leaderboard, cast: Cast, taken: Taken) -> dict[str, Point]:
    """Return what all tasks took and the geometric mean of relative errors, of complete entries.

    Tasks without ratios, or with a best that has no error, take no part.
    """
    lines = tuple(line for line in cast.lines if line in board.ranked)
    found = {}
    for column in board.tasks:
        ratios = ratios_of(board, column, lines)
        if ratios is not None and ratios.best != 0:
            found[column.key] = ratios.by_label, _points(column, lines, taken)
    overall = {}
    for line in lines:
        own = [
            (points[line.label][0], factors[line.label])
            for factors, points in found.values()
            if line.label in points and math.isfinite(factors[line.label])
        ]
        if found and len(own) == len(found):
            mean = math.exp(fmean(math.log(factor) for _, factor in own))
            overall[line.label] = (math.fsum(used for used, _ in own), mean)
    return overall


def _panel(axes: Axes, cast: Cast, points: Mapping[str, Point], front: Sequence[str]) -> None:
    axes.plot(
        [points[label][0] for label in front],
        [points[label][1] for label in front],
        drawstyle="steps-post",
        zorder=1,
        **_FRONT,
    )
    for label, (used, error) in points.items():
        style = cast.looks[label].dots
        if label not in front:
            style |= {"alpha": 0.85}
        axes.plot([used], [error], zorder=3, **style)
    scale(axes, "x", [used for used, _ in points.values()])
    scale(axes, "y", [error for _, error in points.values()])
    axes.margins(0.08)


def _caption(board: Leaderboard, cast: Cast, overall: bool, taken: Taken) -> str:
    text = (
        f"Score against {taken.caption}, means over seeds; down and left is better where less is. "
        "Rings and the grey stair mark the entries that no other beats in both. "
        f"{count(len(cast.lines), 'entry', 'entries')}, {count(len(board.tasks), 'task')}."
    )
    if overall:
        text += (
            " All tasks: geometric mean of the error relative to the best against the sum of "
            f"{taken.label}, complete entries only."
        )
    return text + taken.caution + cast.left_out_sentence


def _alt(shown: Sequence[tuple[str, str, dict[str, Point], bool]], cast: Cast, taken: Taken) -> str:
    parts = []
    for title, metric, points, maximise in shown:
        front = pareto(points, maximise=maximise)
        told = [
            f"{cast.names[label]} ({taken.worded(used)}, {metric} {error:.3g})"
            for label in front
            for used, error in [points[label]]
        ]
        parts.append(f"{one_line(title)}: unbeaten in both are {enumerated(told)}.")
    return f"Error against {taken.title}. " + " ".join(parts)
