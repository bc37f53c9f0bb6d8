"""What the plots share: sheets of panels, axes, legends, and which entries are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.plots.rendering import PAGE, SMALL
from runner.report.plots.styles import GREY, Look, look, names_of
from runner.report.wording import count
from runner.results import Result

# More lines than these in one panel cannot be followed.
MOST_LINES = 12
# Spans of a factor from which on an axis counts in factors.
_LOG_FROM = 8.0
_CHARACTER = 0.056  # inches, of a legend's text
_HANDLE = 0.42


def plain_number(value: float) -> str:
    """Return a tick's number: `0.05`, `20000`, `2e-7`; no letter in it is wasted."""
    text = f"{value:.4g}"
    if "e" not in text and (value == 0 or abs(value) >= 1e-3):
        return text
    if 1e4 <= abs(value) < 1e5:
        return f"{value:.0f}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


_NUMBERS = FuncFormatter(lambda value, _: plain_number(value))


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The entries that a plot shows, in the order of the board.

    Attributes:
        lines: Them.
        looks: How each looks, by label.
        names: What each is called, by label.
        left_out: How many others the board has.
    """

    lines: tuple[Line, ...]
    looks: dict[str, Look]
    names: dict[str, str]
    left_out: int

    @property
    def left_out_text(self) -> str:
        """What a legend says of the others; empty if there are none."""
        return f"(+{self.left_out} not shown)" if self.left_out else ""

    @property
    def left_out_sentence(self) -> str:
        """What a caption says of the others, with a blank in front; empty if there are none."""
        if not self.left_out:
            return ""
        shown = count(len(self.lines), "entry is", "entries are")
        return f" The first {shown} shown, {self.left_out} more are not."


def cast_of(board: Leaderboard, lines: Sequence[Line], most: int = MOST_LINES) -> Cast:
    """Return the first `most` of some lines of a board, each with its look.

    On a board with few entries an entry looks the same in all plots.
    """
    shown = tuple(lines[:most])
    every = board.by_label if len(board.lines) <= most else sorted(shown, key=lambda x: x.label)
    number = {line.label: place for place, line in enumerate(every)}
    return Cast(
        lines=shown,
        looks={line.label: look(number[line.label]) for line in shown},
        names=names_of([line.label for line in shown]),
        left_out=len(lines) - len(shown),
    )


def by_score(board: Leaderboard, column: TaskColumn) -> list[Line]:
    """Return the lines that have a score on a task, the best first."""
    sign = -1.0 if column.direction == "max" else 1.0
    return sorted(
        (line for line in board.lines if column.key in line.scores),
        key=lambda line: (sign * line.scores[column.key].mean, line.label),
    )


def cells_of(line: Line, column: TaskColumn) -> list[Result]:
    """Return the cells with a value that a line's score on a task is made of, by seed."""
    own = [
        cell
        for cell in line.cells
        if cell.task == column.task
        and cell.value is not None
        and (not column.origin or (cell.origin or "unknown") == column.origin)
    ]
    return sorted(own, key=lambda cell: cell.seed)


def short_tasks(columns: Sequence[TaskColumn]) -> dict[str, str]:
    """Return what the tasks are called in a plot, by key: without the suite if all share it."""
    suites = {column.key.partition("/")[0] for column in columns}
    if len(suites) == 1 and all("/" in column.key for column in columns):
        return {column.key: column.key.partition("/")[2] for column in columns}
    return {column.key: column.key for column in columns}


def panels(
    number: int, *, most_columns: int, row_height: float, extra: float, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of two columns' width with as many panels, in rows of nearly equal length.

    Args:
        number: How many.
        most_columns: In one row.
        row_height: Inches of a row.
        extra: Inches for what stands above and below all panels.
        share_y: Whether all panels have one y axis.
    """
    rows = math.ceil(number / most_columns)
    columns = math.ceil(number / rows)
    figure = Figure(figsize=(PAGE, rows * row_height + extra), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    every = [axes for row in grid for axes in row]
    for axes in every[number:]:
        axes.remove()
    return figure, every[:number]


def scale(axes: Axes, which: str, values: Sequence[float]) -> bool:
    """Let an axis count in factors where positive values span several; say whether it does.

    Args:
        axes: The panel.
        which: `x` or `y`.
        values: All finite values on the axis.
    """
    axis = getattr(axes, f"{which}axis")
    log = bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    if log:
        getattr(axes, f"set_{which}scale")("log")
        low, high = math.log10(min(values)), math.log10(max(values))
        room = 0.06 * (high - low)
        getattr(axes, f"set_{which}lim")(10 ** (low - room), 10 ** (high + room))
        few = high - low < 1.6
        axis.set_major_locator(LogLocator(numticks=5, subs=(1.0, 2.0, 5.0) if few else (1.0,)))
        axis.set_minor_locator(NullLocator())
    else:
        if values and min(values) == max(values):  # matplotlib would show rounding
            room = 0.1 * abs(values[0]) or 1.0
            getattr(axes, f"set_{which}lim")(values[0] - room, values[0] + room)
        axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(_NUMBERS)
    axis.set_minor_formatter(NullFormatter())
    return log


def legend(
    figure: Figure, cast: Cast, lines: Sequence[Line], style: str, *, more: Sequence[Line2D] = ()
) -> None:
    """Write below all panels which entry looks how.

    Args:
        figure: With a constrained layout.
        cast: The entries.
        lines: Those that are drawn.
        style: `dots` or `line`.
        more: Handles of what else is drawn, with labels.
    """
    handles = [
        Line2D([], [], label=cast.names[line.label], **getattr(cast.looks[line.label], style))
        for line in lines
    ] + list(more)
    if cast.left_out:
        handles.append(Line2D([], [], linestyle="none", label=cast.left_out_text))
    legend_of(figure, handles)


def legend_of(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Write handles below all panels, in as many columns as there is room for.

    Args:
        figure: With a constrained layout.
        handles: With labels; at least one.
    """
    longest = max(len(str(handle.get_label())) for handle in handles)
    fit = int((figure.get_figwidth() - 0.1) / (_HANDLE + _CHARACTER * longest + 0.1))
    columns = max(1, min(fit, len(handles)))
    columns = math.ceil(len(handles) / math.ceil(len(handles) / columns))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        fontsize=SMALL,
        columnspacing=1.2,
        handletextpad=0.6,
        borderaxespad=0.2,
    )


def legend_rows(cast: Cast, width: float, more: int = 0) -> int:
    """Return how many rows such a legend has at most."""
    longest = max([len(name) for name in cast.names.values()] + [len(cast.left_out_text)])
    fit = max(1, int((width - 0.1) / (_HANDLE + _CHARACTER * longest + 0.1)))
    return math.ceil((len(cast.lines) + more + bool(cast.left_out)) / fit)


def reference(axes: Axes, x: float, **style: Any) -> None:
    """Draw a thin upright line, such as that of the best."""
    axes.axvline(x, **{"color": GREY, "linewidth": 0.8, "zorder": 1, **style})
