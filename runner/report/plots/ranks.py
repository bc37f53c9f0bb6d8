"""The critical-difference diagram: average ranks, and between which of them nothing is shown.

J. Demsar, Statistical comparisons of classifiers over multiple data sets, Journal of Machine
Learning Research 7, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.report.compare import Leaderboard
from runner.report.lines import Line
from runner.report.plots.panels import Cast, cast_of
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import NORMAL, PAGE, SMALL, Drawing
from runner.report.plots.styles import count, enumerated
from runner.report.statistics import cliques, critical_difference

KIND = "critical-difference"
ALPHA = 0.05
_MOST = 30
# Inches.
_NAMES, _ROW, _HEAD, _AXIS, _BAR = 2.0, 0.165, 0.3, 0.28, 0.085


def critical_differences(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw the average ranks of the complete entries on an axis, 1 to the left."""
    ranks = {line.label: line.average_rank for line in board.ranked}
    known = {label: rank for label, rank in ranks.items() if rank is not None}
    if len(known) < 2:
        reason = f"ranks compare two complete entries or more, there {_are(len(known))}"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    if len(board.tasks) < 2:
        reason = "the ranks of one task have no spread: it takes two tasks or more"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    difference = critical_difference(len(known), len(board.tasks), ALPHA)
    groups = [group for group in cliques(known, difference) if len(group) > 1]
    cast = cast_of(board, board.ranked, _MOST)
    figure = _figure(cast, known, groups, difference)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Average ranks and their critical difference, {board.name} data",
        caption=_caption(board, cast, len(known), difference),
        alt=_alt(cast, known, groups, difference),
        board=board.name,
    )


def _figure(
    cast: Cast,
    ranks: dict[str, float],
    groups: Sequence[Sequence[str]],
    difference: float,
) -> Figure:
    low, high = 1, max(2, len(ranks))
    bars = _levels([(min(own), max(own)) for own in _within(groups, ranks, cast)], high - low)
    half = math.ceil(len(cast.lines) / 2)
    deep = 1 + max((level for _, level in bars), default=-1)
    # The axis is at height 0; below it first the bars, then the names.
    under = 0.1 + deep * _BAR
    height = _HEAD + _AXIS + under + half * _ROW + 0.12 + 0.16 * bool(cast.left_out)
    figure = Figure(figsize=(PAGE, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE)
    axes.set_ylim(_HEAD + _AXIS - height, _HEAD + _AXIS)
    span = PAGE - 2 * _NAMES

    def at(rank: float) -> float:
        return _NAMES + span * (rank - low) / (high - low)

    _axis(axes, low, high, at)
    for label, rank in ranks.items():
        if label not in cast.looks:
            axes.plot([at(rank)] * 2, [0, -0.05], color="#9a9a9a", linewidth=0.6)
    _difference(axes, difference, at, low, high)
    for (start, end), level in bars:
        y = -0.1 - level * _BAR
        reach = 0.025
        axes.plot(
            [at(start) - reach, at(end) + reach],
            [y, y],
            color="black",
            linewidth=2.6,
            solid_capstyle="butt",
        )
    for place, line in enumerate(cast.lines):
        left = place < half
        row = place if left else len(cast.lines) - 1 - place
        _name(axes, cast, line, at(ranks[line.label]), -under - (row + 0.6) * _ROW, left=left)
    if cast.left_out:
        axes.text(PAGE / 2, -under - (half + 0.6) * _ROW, cast.left_out_text,
                  ha="center", va="center", fontsize=SMALL)
    return figure
