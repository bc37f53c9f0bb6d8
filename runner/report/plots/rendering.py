"""From a drawing to a plot: PNG and SVG that are the same bytes for the same ledger."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure

from runner.report.plots.plot import Plot
from runner.report.plots.styles import one_line

# Inches: one column of a paper, or both.
COLUMN, PAGE = 3.3, 6.9
HIGHEST = 9.0
# Points. Smaller ones cannot be read in print.
SMALL, NORMAL, LARGE = 6.5, 7.0, 8.0
_DPI = 200
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": NORMAL,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": NORMAL,
    "figure.labelsize": NORMAL,
    "figure.titlesize": LARGE,
    "font.size": NORMAL,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "svg.fonttype": "none",  # text stays text, to be searched and read aloud
    "svg.hashsalt": "xmft",
    "text.parse_math": False,  # names of others may hold dollar signs
    "xtick.labelsize": SMALL,
    "xtick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "ytick.labelsize": SMALL,
    "ytick.major.width": 0.5,
    "ytick.minor.width": 0.4,
}
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A plot before it is written as PNG and SVG; all but the figure as in `Plot`."""

    figure: Figure
    name: str
    kind: str
    title: str
    caption: str
    alt: str
    board: str
    task: str | None = None


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in one style, whatever the settings of the person; they come back afterwards."""
    with _ONE_AT_A_TIME, matplotlib.rc_context(), warnings.catch_warnings():
        # A script that the font lacks is a box in the PNG; in the SVG it is text all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.style.use("default")
        matplotlib.rcParams.update(_STYLE)
        yield


def rendered(drawing: Drawing) -> Plot:
    """Return the drawing in both formats; title and description are in the files, no date is."""
    title, text = one_line(drawing.title), f"{drawing.caption} {drawing.alt}"
    svg, png = io.BytesIO(), io.BytesIO()
    with house_style():
        drawing.figure.savefig(
            svg,
            format="svg",
            metadata={"Title": title, "Description": text, "Date": None, "Creator": "xmft"},
        )
        drawing.figure.set_layout_engine("none")  # the places are found
        drawing.figure.savefig(
            png,
            format="png",
            dpi=_DPI,
            metadata={"Title": title, "Description": text, "Software": "xmft"},
        )
    return Plot(
        name=drawing.name,
        kind=drawing.kind,
        title=title,
        caption=drawing.caption,
        alt=drawing.alt,
        board=drawing.board,
        task=drawing.task,
        svg=svg.getvalue(),
        png=png.getvalue(),
    )
