"""Predictions of fields where the best entry errs most and where it errs as usual.

Input, truth, prediction and error side by side.

What is drawn, and how, is what `xmft figures` draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
from matplotlib import rc_context

from runner.report import drawing
from runner.report.compare import Leaderboard, TaskColumn
from runner.report.figures import Examined, Extreme, pictures
from runner.report.picture import Picture
from runner.report.plots.panels import cells_of
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import HIGHEST, PAGE, Drawing
from runner.report.plots.styles import cut, names_of, one_line
from runner.report.wording import count, scope

KIND = "fields"
_EXTREMES: tuple[Extreme, ...] = ("worst", "median")
_MOST = 6
# Channels below one another that fill a page with one entry each.
_CHANNELS = 4


def fields(
    board: Leaderboard, columns: Sequence[TaskColumn], table: pa.Table, read: Examined
) -> Iterator[Drawing | NotDrawn]:
    """Yield one or two drawings for each task whose cells keep predictions.

    Args:
        board: The board.
        columns: The tasks of it to draw.
        table: Rows of the ledger.
        read: From the id of a cell to the predictions that it keeps.
    """
    only = {
        cell.cell_id
        for line in board.lines
        for column in columns
        for cell in cells_of(line, column)
    }
    drawn: dict[tuple[str, str], set[int]] = {}
    for extreme in _EXTREMES:
        for picture in pictures(table, read, sample=extreme, only=only, most=_MOST):
            samples = drawn.setdefault((picture.task, picture.origin), set())
            # With one sample kept the worst is the median.
            if picture.sample not in samples:
                samples.add(picture.sample)
                yield _drawing(board, picture, extreme)
    for column in columns:
        if (column.task, column.origin or board.origin) not in drawn:
            reason = "no entry keeps predictions of fields"
            yield NotDrawn(kind=KIND, reason=reason, board=board.name, task=column.task)


def _drawing(board: Leaderboard, picture: Picture, extreme: Extreme) -> Drawing:
    names = names_of([row.label for row in picture.rows])
    channels = picture.channels[:_CHANNELS]
    # As many entries as a page holds; every channel is a block of rows.
    fit = max(1, int((HIGHEST - 0.6) / (1.45 * len(channels))))
    shown = replace(
        picture,
        task=cut(picture.task, 80),
        channels=tuple(cut(channel) for channel in channels),
        rows=tuple(replace(row, label=names[row.label]) for row in picture.rows[:fit]),
    )
    task = one_line(picture.task)
    entries = count(len(shown.rows), "entry that keeps it", "entries that keep it")
    text = (
        f"Sample {picture.sample} of the test split, {picture.chosen}, the best entry, by relative "
        f"L2 error: input, truth, prediction and error of the best {entries}, each at its lowest "
        "seed. Truth and prediction share a scale; that of an error is its own, zero in the middle."
    )
    if len(channels) < len(picture.channels):
        text += f" The first {len(channels)} of {len(picture.channels)} channels."
    told = ", ".join(f"{names[row.label]} {row.nrmse():.3g}" for row in picture.rows[:fit])
    with rc_context({"axes.grid": False}):
        figure = drawing.draw(shown, width=PAGE)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}/{picture.task}-{extreme}",
        kind=KIND,
        title=f"Predictions of the {extreme} sample, {task}, {scope(board)}",
        caption=text,
        alt=f"Fields of sample {picture.sample} of {task}. Relative L2 error on it: {told}.",
        board=board.name,
        task=picture.task,
    )
