"""Learning curves: what was validated and lost after each epoch, with the range over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.plots.panels import (
    MOST_LINES,
    Cast,
    by_score,
    cast_of,
    cells_of,
    legend,
    legend_rows,
    panels,
    scale,
)
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import PAGE, Drawing
from runner.report.plots.styles import cut, enumerated, one_line
from runner.report.wording import count, scope

KIND = "curves"
_LOSS = "fitting/loss"
# Split and name of a curve.
_Of = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve over several seeds; all of one length.

    Attributes:
        epochs: Those that any seed has.
        mean: Mean of the seeds that have the epoch.
        low: Least of them.
        high: Largest of them.
        seeds: How many seeds have the curve.
    """

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


def band(curves: Sequence[Mapping[int, float]]) -> Band | None:
    """Return mean and range over seeds; None where no epoch of any seed has a finite value.

    Args:
        curves: Value by epoch, of each seed.
    """
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve.items():
            if math.isfinite(value):
                values.setdefault(epoch, []).append(value)
    if not values:
        return None
    epochs = tuple(sorted(values))
    return Band(
        epochs=epochs,
        mean=tuple(fmean(values[epoch]) for epoch in epochs),
        low=tuple(min(values[epoch]) for epoch in epochs),
        high=tuple(max(values[epoch]) for epoch in epochs),
        seeds=sum(any(math.isfinite(value) for value in curve.values()) for curve in curves),
    )


def curves(
    board: Leaderboard, column: TaskColumn, read: Callable[[str], pa.Table]
) -> Drawing | NotDrawn:
    """Draw the main metric on the validation split, and the training loss, by epoch.

    Args:
        board: The board.
        column: The task.
        read: From the id of a cell to its curves.
    """
    lines = by_score(board, column)
    wanted: tuple[_Of, _Of] = (("val", column.metric), ("train", _LOSS))
    # One by one until enough have curves: a large board has many cells to read.
    kept: list[tuple[Line, dict[_Of, Band]]] = []
    without: list[Line] = []
    for line in lines:
        if len(kept) == MOST_LINES:
            break
        found = _bands(line, column, read, wanted)
        if found:
            kept.append((line, found))
        else:
            without.append(line)
    if not kept:
        reason = "no entry keeps curves of epochs"
        return NotDrawn(kind=KIND, reason=reason, board=board.name, task=column.task)
    left_out = len(lines) - len(kept) - len(without)
    cast = replace(cast_of(board, [line for line, _ in kept]), left_out=left_out)
    shown = [of for of in wanted if any(of in found for _, found in kept)]
    rows = legend_rows(cast, PAGE)
    figure, axes = panels(len(shown), most_columns=2, row_height=2.2, extra=0.15 + 0.13 * rows)
    for panel, of in zip(axes, shown, strict=True):
        _panel(panel, cast, {line.label: found[of] for line, found in kept if of in found})
        panel.set_ylabel(f"validation {cut(of[1], 24)}" if of[0] == "val" else "training loss")
    legend(figure, cast, cast.lines, "line")
    figure.suptitle(one_line(column.key), fontsize=8)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}/{column.key}",
        kind=KIND,
        title=f"Learning curves, {one_line(column.key)}, {scope(board)}",
        caption=_caption(column, cast, kept, without),
        alt=_alt(cast, kept),
        board=board.name,
        task=column.task,
    )


def _bands(
    line: Line, column: TaskColumn, read: Callable[[str], pa.Table], wanted: Sequence[_Of]
) -> dict[_Of, Band]:
    found: dict[_Of, list[dict[int, float]]] = {of: [] for of in wanted}
    for cell in cells_of(line, column):
        own: dict[_Of, dict[int, float]] = {}
        for row in read(cell.cell_id).to_pylist():
            if row["value"] is not None:
                own.setdefault((row["split"], row["name"]), {})[row["epoch"]] = row["value"]
        for of in wanted:
            if of in own:
                found[of].append(own[of])
    bands = {of: band(seeds) for of, seeds in found.items()}
    return {of: own_band for of, own_band in bands.items() if own_band is not None}


def _panel(axes: Axes, cast: Cast, bands: Mapping[str, Band]) -> None:
    values: list[float] = []
    for label, own in bands.items():
        look = cast.looks[label]
        every = max(1, len(own.epochs) // 10)
        axes.plot(own.epochs, own.mean, markevery=every, **look.line)
        if own.seeds > 1:
            axes.fill_between(
                own.epochs, own.low, own.high, color=look.colour, alpha=0.18, linewidth=0
            )
        values += [*own.low, *own.high]
    scale(axes, "y", values)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")


def _caption(
    column: TaskColumn,
    cast: Cast,
    kept: Sequence[tuple[Line, Mapping[_Of, Band]]],
    without: Sequence[Line],
) -> str:
    most = max(own.seeds for _, found in kept for own in found.values())
    text = (
        f"{column.metric} on the validation split and training loss of target fitting by epoch: "
        f"mean over seeds (line) and their range (band), up to {count(most, 'seed')}; losses of "
        "different methods are on scales of their own. Epochs of an alignment before count along."
    )
    if without:
        names = enumerated([line.label for line in without])
        text += f" Without curves, as they train in no epochs: {names}."
    return text + cast.left_out_sentence


def _alt(cast: Cast, kept: Sequence[tuple[Line, Mapping[_Of, Band]]]) -> str:
    parts = []
    for line, found in kept:
        told = [
            f"{'validation' if split == 'val' else 'training loss'} from {own.mean[0]:.3g} at "
            f"epoch {own.epochs[0]} to {own.mean[-1]:.3g} at epoch {own.epochs[-1]}"
            for (split, _), own in found.items()
        ]
        parts.append(f"{cast.names[line.label]}: {', '.join(told)}.")
    return "Learning curves. " + " ".join(parts)
