"""Draws a picture: methods below one another, input, truth, prediction and error side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator

from runner.report.picture import Picture, Row
from runner.visible import visible

Field = npt.NDArray[np.float32]

_DPI = 110
_FIELD, _ERROR = "viridis", "RdBu_r"
# Inches.
_MARGIN, _TITLE, _CHANNEL, _CAPTION, _NAMES = 0.15, 0.55, 0.25, 0.26, 0.15
_TICKS, _LABEL = 0.5, 0.42
_BAR, _BAR_GAP = 0.08, 0.06
_IMAGE, _PLOT = 1.55, (2.5, 1.35)
_NARROW = 0.14
# The whole number on every tick; matplotlib's own factor above the axis would meet the captions.
_NUMBERS = FuncFormatter(lambda value, _: f"{value:.6g}")


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """A figure on which axes are placed in inches from the upper left corner."""

    figure: Figure
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def text(self, left: float, top: float, text: str, *, size: float, bold: bool = False) -> None:
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            visible(text),
            parse_math=False,  # nor by a name with two dollar signs
            fontsize=size,
            fontweight="bold" if bold else "normal",
            verticalalignment="top",
        )


def png(picture: Picture) -> bytes:
    """Return the picture as a PNG file."""
    buffer = io.BytesIO()
    draw(picture).savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def draw(picture: Picture, *, width: float | None = None) -> Figure:
    """Return the picture as a figure: one block per channel, in it one row per method.

    In two dimensions truth and prediction share the colour scale of the truth; the scale of an
    error is its own, with zero in the middle. Axes count grid points.

    Args:
        picture: What to draw.
        width: Inches that a block is fitted into, blocks below one another; None: panels have
            their usual size, and blocks stand in twos.
    """
    flat = picture.rows[0].target.ndim == 2
    size = _PLOT if flat else _image_size(picture.rows[0].target.shape[1:])
    if width is not None:
        size = _fitted(size, width - 2 * _MARGIN, flat=flat)
    widths = [_TICKS + size[0]] * 3 if flat else _image_columns(size[0])
    row_height = _CAPTION + size[1] + _NARROW
    count = len(picture.channels)
    side_by_side, small = (min(2, count), 8.0) if width is None else (1, 6.5)
    block_width = sum(widths) + 2 * _MARGIN
    head = _CHANNEL if count > 1 else 0.0
    block_height = head + _NAMES + len(picture.rows) * row_height + _LABEL
    width = side_by_side * block_width
    height = _TITLE + -(-count // side_by_side) * block_height
    sheet = _Sheet(figure=Figure(figsize=(width, height)), width=width, height=height)
    sheet.text(2 * _MARGIN, 0.12, picture.task, size=11, bold=True)
    sample = f"sample {picture.sample} of the test split"
    if picture.chosen:
        sample = f"test sample {picture.sample}, {picture.chosen}"
    sheet.text(
        2 * _MARGIN,
        0.33,
        f"{sample} · {picture.origin} data · protocol {picture.protocol} · after the last epoch · "
        "axes in grid points",
        size=small,
    )
    for channel, name in enumerate(picture.channels):
        down, across = divmod(channel, side_by_side)
        left = across * block_width + _MARGIN
        top = _TITLE + down * block_height
        sheet.text(left + _MARGIN, top, name, size=10, bold=True)
        for number, row in enumerate(picture.rows):
            at = top + head + number * row_height + (_NAMES if number else 0.0)
            caption = _caption(row, channel if count > 1 else None)
            sheet.text(left + _MARGIN, at + 0.08, caption, size=small)
            at += _CAPTION + (0.0 if number else _NAMES)
            place = _Place(
                left=left,
                top=at,
                size=size,
                first=number == 0,
                last=number + 1 == len(picture.rows),
                stride=picture.stride,
            )
            (_draw_lines if flat else _draw_images)(sheet, place, row, channel)
    return sheet.figure


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a row of panels is on the sheet, and whether it is its block's first or last."""

    left: float
    top: float
    size: tuple[float, float]
    first: bool
    last: bool
    stride: int


def _caption(row: Row, channel: int | None) -> str:
    own = "" if channel is None else f" (this channel {row.nrmse(channel):.3g})"
    return (
        f"{row.label}, seed {row.seed}: nrmse {row.nrmse():.3g}{own} on this sample, "
        f"{row.metric} {row.score:.3g} on the test split"
    )


def _fields(row: Row, channel: int) -> tuple[Field, Field, Field, Field]:
    """Return input, truth, prediction and error of one channel of the target."""
    inputs = row.inputs[min(channel, len(row.inputs) - 1)]
    truth, prediction = row.target[channel], row.prediction[channel]
    return inputs, truth, prediction, prediction - truth


def _draw_lines(sheet: _Sheet, place: _Place, row: Row, channel: int) -> None:
    inputs, truth, prediction, error = _fields(row, channel)
    x = np.arange(len(truth)) * place.stride
    panels: Sequence[tuple[str, list[tuple[Field, str, dict[str, Any]]]]] = (
        ("input", [(inputs, "input", {"color": "tab:green"})]),
        (
            "truth and prediction",
            [
                (truth, "truth", {"color": "black", "linewidth": 2.2, "alpha": 0.45}),
                (prediction, "prediction", {"color": "tab:red"}),
            ],
        ),
        ("error (prediction - truth)", [(error, "error", {"color": "tab:blue"})]),
    )
    width, height = place.size
    for number, (name, lines) in enumerate(panels):
        left = place.left + number * (_TICKS + width) + _TICKS
        axes = sheet.axes(left, place.top, width, height)
        for values, label, style in lines:
            points = x if len(values) == len(x) else np.linspace(x[0], x[-1], len(values))
            axes.plot(points, values, label=label, **{"linewidth": 1.1, **style})
        axes.set_xlim(x[0], x[-1])
        axes.grid(visible=True, linewidth=0.3)
        if name.startswith("error"):
            axes.axhline(0.0, color="black", linewidth=0.5)
            reach = _reach(error)
            axes.set_ylim(-1.1 * reach, 1.1 * reach)
        if place.first:
            axes.set_title(name, fontsize=8, pad=3)
            if len(lines) > 1:
                axes.legend(fontsize=6, framealpha=0.6, borderpad=0.3, handlelength=1.5)
        _ticks(axes, bottom=place.last, left=True)


def _draw_images(sheet: _Sheet, place: _Place, row: Row, channel: int) -> None:
    inputs, truth, prediction, error = _fields(row, channel)
    scale = _range(truth)
    reach = _reach(error)
    panels = (
        ("input", inputs, _FIELD, _range(inputs), True),
        ("truth", truth, _FIELD, scale, False),
        ("prediction", prediction, _FIELD, scale, True),
        ("error", error, _ERROR, (-reach, reach), True),
    )
    width, height = place.size
    left = place.left
    for (name, values, colours, (low, high), bar), step in zip(
        panels, _image_columns(width), strict=True
    ):
        first = name == "input"
        start = left + (_TICKS if first else 0.0)
        axes = sheet.axes(start, place.top, width, height)
        grid = np.array(values.shape) * place.stride
        image = axes.imshow(
            values.T,
            origin="lower",
            extent=(0, grid[0], 0, grid[1]),
            cmap=colours,
            vmin=low,
            vmax=high,
            interpolation="nearest",
            aspect="auto",
        )
        if place.first:
            axes.set_title(name, fontsize=8, pad=3)
        _ticks(axes, bottom=place.last, left=first)
        if first:
            axes.set_ylabel("y", fontsize=7, labelpad=1)
        if bar:
            cax = sheet.axes(start + width + _BAR_GAP, place.top, _BAR, height)
            _colour_bar(sheet.figure, image, cax, values)
        left += step


def _colour_bar(figure: Figure, image: AxesImage, axes: Axes, values: Field) -> None:
    """Draw a colour bar; its ends are pointed where values lie beyond it."""
    low, high = image.get_clim()
    slack = 1e-6 * (high - low)
    below, above = values.min() < low - slack, values.max() > high + slack
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    bar = figure.colorbar(image, cax=axes, extend=extend, extendfrac=0.06)
    bar.locator = MaxNLocator(4)
    bar.formatter = _NUMBERS
    bar.update_ticks()
    bar.ax.tick_params(labelsize=6, length=2, pad=2.5)


def _ticks(axes: Axes, *, bottom: bool, left: bool) -> None:
    axes.tick_params(labelsize=6, length=2, pad=1, labelbottom=bottom, labelleft=left)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(_NUMBERS)
    if bottom:
        axes.set_xlabel("x", fontsize=7, labelpad=1)


def _range(values: Field) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-6 * max(abs(low), abs(high)):
        return low, high
    room = max(abs(low), 1e-6) * 0.1
    return low - room, high + room


def _reach(error: Field) -> float:
    """Return the largest size of an error, never zero."""
    largest = float(np.abs(error).max())
    return largest if largest > 0 else 1e-30


def _image_size(grid: Sequence[int]) -> tuple[float, float]:
    """Return width and height of an image of `grid` (x, y) points."""
    return _IMAGE, _IMAGE * float(np.clip(grid[1] / grid[0], 0.4, 2.5))


def _fitted(size: tuple[float, float], width: float, *, flat: bool) -> tuple[float, float]:
    """Return the size of a panel with which a row of panels is `width` inches wide."""
    others = 3 * _TICKS if flat else sum(_image_columns(0.0))
    own = (width - others) / (3 if flat else 4)
    return own, size[1] * own / size[0]


def _image_columns(width: float) -> list[float]:
    bar = _BAR_GAP + _BAR + _TICKS
    return [_TICKS + width + bar, width + _NARROW, width + bar, width + bar]
