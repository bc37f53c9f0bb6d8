"""What the tests of plots draw, and how they look at it."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from runner.example_table import NamedExamples
from runner.report.compare import Leaderboard
from runner.report.plots.rendering import house_style
from runner.schema import CURVE_SCHEMA, SCHEMA
from tests.runner.boards import build, grid
from tests.runner.boards import ledger as rows_of


class Nothing:
    """A ledger that keeps neither curves nor examples."""

    def curves(self, cell_id: str) -> pa.Table:
        return CURVE_SCHEMA.empty_table()

    def examples(self, cell_id: str) -> NamedExamples | None:
        return None


def table_of(values: dict[str, dict[str, float]], **options: Any) -> pa.Table:
    """Rows of {method: {task: mean error}}."""
    table: pa.Table = rows_of(*grid(values, **options))
    return table.cast(SCHEMA)


def board_of(values: dict[str, dict[str, float]], **options: Any) -> Leaderboard:
    """The one board of {method: {task: mean error}}."""
    (board,) = build(table_of(values, **options))
    return board


def many(entries: int, tasks: int) -> dict[str, dict[str, float]]:
    """Errors without ties; no entry is best everywhere."""
    return {
        f"m{entry:03}": {f"s/t{t}": 0.5 + (entry * (7 + 4 * t)) % 997 / 100 for t in range(tasks)}
        for entry in range(entries)
    }


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox, float]]:
    """Each text that is really drawn, where (in inches), and its size in points."""
    found: list[tuple[str, Bbox, float]] = []
    draw = Text.draw

    def note(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            box = self.get_window_extent(renderer)
            found.append((self.get_text(), box, float(self.get_fontsize())))
        draw(self, renderer, *args, **kwargs)

    with house_style():
        canvas = FigureCanvasAgg(figure)
        with patch.object(Text, "draw", note):
            canvas.draw()
    inch = 1 / figure.dpi
    return [
        (text, Bbox.from_extents(*(edge * inch for edge in box.extents)), size)
        for text, box, size in found
    ]


def faults(figure: Figure, slack: float = 0.015) -> list[str]:
    """Say what a printer would see: text beyond the sheet, on other text, or too small to read."""
    texts = drawn_texts(figure)
    width, height = figure.get_size_inches()
    told = []
    for text, box, size in texts:
        if box.x0 < -slack or box.y0 < -slack or box.x1 > width + slack or box.y1 > height + slack:
            told.append(f"beyond the sheet: {text!r} {box.extents}")
        if size < 6:
            told.append(f"too small: {text!r} {size}")
    for (one, first, _), (other, second, _) in itertools.combinations(texts, 2):
        if (
            min(first.x1, second.x1) - max(first.x0, second.x0) > slack
            and min(first.y1, second.y1) - max(first.y0, second.y0) > slack
        ):
            told.append(f"on one another: {one!r} {other!r}")
    return told
