"""The critical-difference diagram: average ranks, and between which of them nothing is shown.

J. Demsar, Statistical comparisons of classifiers over multiple data sets, Journal of Machine
Learning Research 7, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runner.report.compare import Leaderboard
from runner.report.plots.panels import Cast, cast_of
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import NORMAL, PAGE, SMALL, Drawing
from runner.report.plots.styles import GREY, enumerated, there_are
from runner.report.statistics import cliques, critical_difference
from runner.report.wording import count, scope

KIND = "critical-difference"
ALPHA = 0.05
_MOST = 30
_WHOLE_AXIS = 20
# Inches.
_ROW, _HEAD, _AXIS, _BAR = 0.165, 0.26, 0.24, 0.085
_RANK, _CHARACTER = 0.62, 0.067  # what stands before a name, and a letter of it


def critical_differences(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw the average ranks of the complete entries on an axis, 1 to the left."""
    ranks = {line.label: line.average_rank for line in board.ranked}
    known = {label: rank for label, rank in ranks.items() if rank is not None}
    if len(known) < 2:
        reason = f"ranks compare two complete entries or more, there {there_are(len(known))}"
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
        title=f"Average ranks and their critical difference, {scope(board)}",
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
    longest = max(len(name) for name in cast.names.values())
    scale = _scale(ranks, margin=_RANK + _CHARACTER * longest)
    ends = [
        (min(ranks[label] for label in group), max(ranks[label] for label in group))
        for group in groups
        if any(label in cast.looks for label in group)
    ]
    levels = _levels(ends, 0.02 * (scale.high - scale.low))
    half = math.ceil(len(cast.lines) / 2)
    # The axis is at height 0; below it first the bars, then the names.
    under = 0.1 + _BAR * (1 + max(levels, default=-1))
    above = _HEAD + _AXIS
    height = above + under + (half + 0.5 + bool(cast.left_out)) * _ROW
    figure = Figure(figsize=(PAGE, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE)
    axes.set_ylim(above - height, above)
    _draw_axis(axes, scale)
    _draw_difference(axes, scale, difference)
    for label, rank in ranks.items():
        if label not in cast.looks:
            axes.plot([scale.at(rank)] * 2, [0, -0.05], color=GREY, linewidth=0.5)
    for (start, end), level in zip(ends, levels, strict=True):
        axes.plot(
            [scale.at(start) - 0.03, scale.at(end) + 0.03],
            [-0.1 - level * _BAR] * 2,
            color="black",
            linewidth=2.6,
            solid_capstyle="butt",
            zorder=3,
        )
    for place, line in enumerate(cast.lines):
        left = place < half
        row = place if left else len(cast.lines) - 1 - place
        rank = ranks[line.label]
        _draw_name(
            axes,
            name=cast.names[line.label],
            rank=rank,
            at=(scale.at(rank), -under - (row + 0.5) * _ROW),
            edge=scale.margin - 0.1 if left else PAGE - scale.margin + 0.1,
            left=left,
        )
    if cast.left_out:
        text = f"({count(cast.left_out, 'more entry', 'more entries')} as ticks alone)"
        y = -under - (half + 0.6) * _ROW
        axes.text(PAGE / 2, y, text, ha="center", va="center", fontsize=SMALL)
    return figure


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Ranks on the axis, in inches from the left edge."""

    low: float
    high: float
    margin: float

    def at(self, rank: float) -> float:
        return self.margin + self.length(rank - self.low)

    def length(self, difference: float) -> float:
        return (PAGE - 2 * self.margin) * difference / (self.high - self.low)


def _scale(ranks: dict[str, float], margin: float) -> _Scale:
    """Return all ranks that there could be; of many entries those that there are."""
    if len(ranks) <= _WHOLE_AXIS:
        return _Scale(low=1, high=len(ranks), margin=margin)
    low = math.floor(min(ranks.values()))
    return _Scale(low=low, high=max(math.ceil(max(ranks.values())), low + 1), margin=margin)


def _levels(ends: Sequence[tuple[float, float]], gap: float) -> list[int]:
    """Return on which level each bar is drawn, so that none meets another; ordered by start."""
    reached: list[float] = []
    levels = []
    for start, end in ends:
        level = next((i for i, until in enumerate(reached) if until + gap < start), len(reached))
        reached[level:] = [end, *reached[level + 1 :]]
        levels.append(level)
    return levels


def _draw_axis(axes: Axes, scale: _Scale) -> None:
    axes.plot([scale.at(scale.low), scale.at(scale.high)], [0, 0], color="black", linewidth=0.8)
    ticks = MaxNLocator(10, integer=True).tick_values(scale.low, scale.high)
    kept = {int(tick) for tick in ticks if scale.low <= tick <= scale.high}
    for tick in sorted(kept | ({1} if scale.low == 1 else set())):
        axes.plot([scale.at(tick)] * 2, [0, 0.05], color="black", linewidth=0.8)
        axes.text(scale.at(tick), 0.07, f"{tick}", ha="center", va="bottom", fontsize=SMALL)


def _draw_difference(axes: Axes, scale: _Scale, difference: float) -> None:
    """Draw above the axis how far apart ranks must be; cut where no sheet is as wide."""
    length = scale.length(difference)
    start = scale.at(scale.low)
    room = PAGE - start - 0.1
    text = f"critical difference {difference:.2f}"
    if length > room:
        length, text = room, f"{text}, longer than this bar"
    y = _AXIS + 0.06
    axes.plot([start, start + length], [y, y], color="black", linewidth=1.2)
    for x in (start, start + length):
        axes.plot([x, x], [y - 0.035, y + 0.035], color="black", linewidth=0.8)
    axes.text(start, y + 0.05, text, ha="left", va="bottom", fontsize=SMALL)
    end = PAGE - 0.1
    axes.text(end, y + 0.05, "average rank, 1 is best", ha="right", va="bottom", fontsize=SMALL)


def _draw_name(
    axes: Axes, *, name: str, rank: float, at: tuple[float, float], edge: float, left: bool
) -> None:
    x, y = at
    axes.plot([x, x, edge], [0, y, y], color="black", linewidth=0.6)
    text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
    side = "right" if left else "left"
    axes.text(edge + (-0.05 if left else 0.05), y, text, ha=side, va="center", fontsize=NORMAL)


def _caption(board: Leaderboard, cast: Cast, entries: int, difference: float) -> str:
    text = (
        f"Average ranks of {entries} complete entries over {count(len(board.tasks), 'task')}. "
        f"Bars join entries whose ranks differ by less than the critical difference of "
        f"{difference:.2f} (Nemenyi, level {ALPHA:g}): between these the tasks show no difference, "
        "which is not that there is none."
    )
    if difference > entries - 1:
        text += " So few tasks cannot tell even the first from the last."
    return text + cast.left_out_sentence


def _alt(
    cast: Cast, ranks: dict[str, float], groups: Sequence[Sequence[str]], difference: float
) -> str:
    told = "; ".join(
        f"{cast.names[x.label]} has average rank {ranks[x.label]:.2f}" for x in cast.lines
    )
    joined = [
        enumerated([cast.names.get(label, label) for label in group], _MOST)
        for group in groups
        if any(label in cast.looks for label in group)
    ]
    text = f"{told}. Critical difference {difference:.2f}. "
    if not joined:
        return text + "No two entries are joined."
    return text + "Joined: " + "; ".join(joined) + "."
