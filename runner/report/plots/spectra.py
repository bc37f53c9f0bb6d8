"""On which scales a prediction of a field is wrong: power of the error by wavenumber."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy import fft

from runner.example_table import NamedExamples
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
    scale,
)
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import COLUMN, Drawing
from runner.report.plots.styles import enumerated, one_line
from runner.report.wording import count, scope

KIND = "spectra"
Power = npt.NDArray[np.float64]
_GREYED: dict[str, Any] = {"color": "#9a9a9a", "linewidth": 3.0, "label": "truth"}
# Of the largest power: below are the digits that numbers of 32 bits do not have.
_LEAST = 1e-14


def spectrum(field: npt.NDArray[Any]) -> Power:
    """Return the power of a field by wavenumber, in the squared units of the field.

    Wavenumbers count periods over the field, 0 is its mean. In two dimensions all modes whose
    wavenumber (kx^2 + ky^2)^(1/2) rounds to the same number are added up, so that in any number of
    dimensions the powers add up to the mean square of the field (Parseval).

    Args:
        field: On an even grid, `[x]` or `[x, y]`.

    Returns:
        One power for each wavenumber from 0.
    """
    values = np.asarray(field, dtype=np.float64)
    modes = np.abs(fft.fftn(values)) ** 2 / values.size**2
    axes = [fft.fftfreq(points, 1.0 / points) for points in values.shape]
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij")))
    rings = np.bincount(np.rint(radius).astype(int).ravel(), weights=modes.ravel())
    return rings.astype(np.float64)


def mean_spectrum(fields: npt.NDArray[Any]) -> Power:
    """Return the mean over samples and channels of `spectrum`, up to the finest even wavenumber.

    Args:
        fields: `[samples, channels, *grid]`.
    """
    flat = fields.reshape(-1, *fields.shape[2:])
    mean: Power = np.mean([spectrum(field) for field in flat], axis=0)
    return mean[: min(fields.shape[2:]) // 2 + 1]


def spectra(
    board: Leaderboard, column: TaskColumn, read: Callable[[str], NamedExamples | None]
) -> Drawing | NotDrawn:
    """Draw the power of the truth and of each entry's error.

    Args:
        board: The board.
        column: The task.
        read: From the id of a cell to the predictions that it keeps.
    """

    def not_drawn(reason: str) -> NotDrawn:
        return NotDrawn(kind=KIND, reason=reason, board=board.name, task=column.task)

    lines = by_score(board, column)
    truth: Power | None = None
    first: NamedExamples | None = None
    kept: dict[str, Power] = {}
    shown: list[Line] = []
    without: list[str] = []
    for line in lines:
        if len(shown) == MOST_LINES:
            break
        found = next((e for cell in cells_of(line, column) if (e := read(cell.cell_id))), None)
        if found is None or not np.isfinite(found.predictions).all() or _odd(found, first):
            without.append(line.label)
            continue
        if first is None:
            first, truth = found, mean_spectrum(found.targets)
        error = found.predictions.astype(np.float64) - found.targets
        kept[line.label] = mean_spectrum(error)
        shown.append(line)
    if first is None or truth is None:
        return not_drawn("no entry keeps predictions of fields")
    if len(truth) < 3:
        return not_drawn("the fields have too few points for a spectrum")
    left_out = len(lines) - len(shown) - len(without)
    cast = replace(cast_of(board, shown), left_out=left_out)
    figure = _figure(cast, truth, kept)
    figure.suptitle(one_line(column.key), fontsize=8)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}/{column.key}",
        kind=KIND,
        title=f"Spectra of the error, {one_line(column.key)}, {scope(board)}",
        caption=_caption(first, cast, without),
        alt=_alt(cast, truth, kept),
        board=board.name,
        task=column.task,
    )


def _odd(found: NamedExamples, first: NamedExamples | None) -> bool:
    return first is not None and found.targets.shape[1:] != first.targets.shape[1:]


def _figure(cast: Cast, truth: Power, kept: Mapping[str, Power]) -> Figure:
    height = 2.5 + 0.13 * legend_rows(cast, COLUMN, more=1)
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    axes = figure.subplots()
    numbers = np.arange(1, len(truth))
    least = _least(truth, kept)
    handles = axes.plot(numbers, _drawable(truth, least), zorder=1, **_GREYED)
    values = [value for value in truth[1:] if value > least]
    for line in cast.lines:
        own = _drawable(kept[line.label], least)
        values += [value for value in own if np.isfinite(value)]
        # Marks at even distances on an axis of factors.
        marks = sorted({int(place) for place in np.geomspace(1, len(own), 8) - 1})
        axes.plot(numbers, own, markevery=marks, **cast.looks[line.label].line)
    scale(axes, "x", [1.0, float(len(truth) - 1)])
    scale(axes, "y", values)
    axes.set_xlabel("wavenumber (periods over the domain)")
    axes.set_ylabel("power")
    legend(figure, cast, cast.lines, "line", more=handles)
    return figure


def _least(truth: Power, kept: Mapping[str, Power]) -> float:
    """Return the power up to which there is nothing but rounding."""
    return _LEAST * max(float(truth[1:].max()), *(float(own[1:].max()) for own in kept.values()))


def _drawable(power: Power, least: float) -> Power:
    """Return powers from wavenumber 1, NaN where there is none that an axis of factors can show."""
    own = power[1:].copy()
    own[own <= least] = np.nan
    return own


def _caption(first: NamedExamples, cast: Cast, without: Sequence[str]) -> str:
    samples = count(len(first), "test sample")
    text = (
        f"Power of the truth and of each entry's error (prediction minus truth) by wavenumber, "
        f"mean over {samples} of the entry's lowest seed and over channels; no window. "
    )
    if first.targets.ndim == 4:
        text += "Modes of one wavenumber are added up in rings. "
    text += (
        "Summed over all wavenumbers power is the mean square; the mean, wavenumber 0, is not "
        "drawn. "
        "Where an error reaches the truth, that scale is not predicted."
    )
    if first.stride > 1:
        text += f" Of every {first.stride}th grid point."
    if without:
        text += f" Without predictions that can be drawn: {enumerated(without)}."
    return text + cast.left_out_sentence


def _alt(cast: Cast, truth: Power, kept: Mapping[str, Power]) -> str:
    parts = []
    least = _least(truth, kept)
    for line in cast.lines:
        own = kept[line.label]
        peak = int(own[1:].argmax()) + 1
        # The first scale on which the error is as large as the truth.
        lost = next((k for k in range(1, len(own)) if own[k] >= truth[k] and own[k] > least), None)
        told = "on no scale" if lost is None else f"from wavenumber {lost}"
        parts.append(
            f"{cast.names[line.label]} errs most at wavenumber {peak}, as much as the truth is "
            f"large {told}"
        )
    return f"Power by wavenumber up to {len(truth) - 1}: " + "; ".join(parts) + "."
