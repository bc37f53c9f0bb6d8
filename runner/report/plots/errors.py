"""Error by task relative to the best entry, with the range over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.plots.panels import (
    Cast,
    cast_of,
    cells_of,
    panels,
    reference,
    scale,
    short_tasks,
)
from runner.report.plots.plot import NotDrawn
from runner.report.plots.ratios import Ratios, ratios_of
from runner.report.plots.rendering import HIGHEST, Drawing
from runner.report.plots.styles import GREY, cut, enumerated, one_line, wrapped
from runner.report.wording import count, scope

KIND = "errors"
_ROW = 0.155  # inches, of one entry
_FRAME = 0.68  # title and ticks of a panel
_MOST, _LEAST, _COLUMNS = 30, 6, 4


def errors(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw a panel per task and in it a row per entry, the board's best first."""
    if not board.tasks or not board.lines:
        return NotDrawn(kind=KIND, reason="no entry has a result", board=board.name)
    rows = math.ceil(len(board.tasks) / _COLUMNS)
    fit = int(((HIGHEST - 0.3) / rows - _FRAME) / _ROW)
    cast = cast_of(board, board.lines, max(_LEAST, min(_MOST, fit)))
    height = _FRAME + _ROW * len(cast.lines)
    figure, axes = panels(
        len(board.tasks), most_columns=_COLUMNS, row_height=height, extra=0.25, share_y=True
    )
    tasks = short_tasks(board.tasks)
    found = [ratios_of(board, column, cast.lines) for column in board.tasks]
    for panel, column, ratios in zip(axes, board.tasks, found, strict=True):
        _panel(panel, cast, column, ratios, tasks[column.key])
    figure.supxlabel("error relative to the best entry (1 = best)")
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Error by task relative to the best, {scope(board)}",
        caption=_caption(board, cast, found),
        alt=_alt(board, cast, found),
        board=board.name,
    )


def _panel(axes: Axes, cast: Cast, column: TaskColumn, ratios: Ratios | None, task: str) -> None:
    title = wrapped(task, 24)
    metric = one_line(column.metric)
    # Where there is no ratio, the scores themselves are shown.
    reached = ratios if ratios is not None and ratios.best != 0 else None
    told = f"{metric} itself" if reached is None else f"1 = {metric} {reached.best:.3g}"
    if reached is not None and len(told) > 28:
        told = f"{cut(metric, 28)}\n1 = {reached.best:.3g}"
    title += f"\n{told}"
    axes.set_title(title, fontsize=6.5, linespacing=1.05)
    drawn: list[float] = []
    for row, line in enumerate(cast.lines):
        score = line.scores.get(column.key)
        if score is None:
            continue
        values = [cell.value for cell in cells_of(line, column) if cell.value is not None]
        ends = [min([score.mean, *values]), max([score.mean, *values])]
        middle = score.mean
        if reached is not None:
            ends, middle = [reached.of(value) for value in ends], reached.of(middle)
        shown = [value for value in [*ends, middle] if math.isfinite(value)]
        if len(shown) < 3:
            continue
        look = cast.looks[line.label]
        axes.plot(ends, [row, row], color=look.colour, linewidth=1.8, alpha=0.55, zorder=2)
        axes.plot([middle], [row], zorder=3, **look.dots)
        drawn += shown
    if reached is not None:
        reference(axes, 1.0)
        drawn.append(1.0)
        if column.floor is not None and column.floor > 0 and reached.of(column.floor) > 0.2:
            axes.axvline(
                reached.of(column.floor), color=GREY, linewidth=0.8, linestyle=":", zorder=1
            )
            drawn.append(reached.of(column.floor))
    scale(axes, "x", drawn)
    axes.set_yticks(range(len(cast.lines)), [cast.names[line.label] for line in cast.lines])
    axes.set_ylim(len(cast.lines) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _caption(board: Leaderboard, cast: Cast, found: Sequence[Ratios | None]) -> str:
    text = (
        "Mean over seeds (mark) and range of the seeds (bar), divided by the mean of the best "
        f"complete entry on the task; {count(len(board.tasks), 'task')}, "
        f"{count(len(cast.lines), 'entry', 'entries')} in the order of the board, selection "
        f"{board.query.selection} on {board.query.split}."
    )
    if any(column.direction == "max" for column in board.tasks):
        text += " Where more is better the factor is best divided by score."
    plain = [
        column.key
        for column, ratios in zip(board.tasks, found, strict=True)
        if ratios is None or ratios.best == 0
    ]
    if plain:
        text += (
            f" The scores themselves where the best is zero or signs differ: {enumerated(plain)}."
        )
    if any(column.floor for column in board.tasks):
        text += " Dotted: the error of the data themselves, where it is not far to the left."
    if any(line in board.unranked for line in cast.lines):
        text += " Entries that lack a task or a seed come last."
    return text + cast.left_out_sentence


def _alt(board: Leaderboard, cast: Cast, found: Sequence[Ratios | None]) -> str:
    parts = []
    for column, ratios in zip(board.tasks, found, strict=True):
        if ratios is None:
            parts.append(f"{one_line(column.key)}: the scores have no ratio.")
            continue
        order = sorted(ratios.by_label.items(), key=lambda item: (item[1], item[0]))
        listed = ", ".join(f"{cast.names[label]} {factor:.3g}" for label, factor in order)
        parts.append(f"{one_line(column.key)} (1 is {column.metric} {ratios.best:.3g}): {listed}.")
    return "Error relative to the best. " + " ".join(parts)


def quickstart_plot(boards: Sequence[Leaderboard]) -> Drawing | NotDrawn:
    """Return the one picture that says most of a first board: error by task relative to the best.

    Args:
        boards: At least one; the first is drawn.
    """
    return errors(boards[0])
