"""Terms of the bound that RECRAFT measures, against the test error of the same cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.lines import Line2D

from runner.report.compare import Leaderboard
from runner.report.plots.panels import cells_of, legend_of, panels, scale, short_tasks
from runner.report.plots.plot import NotDrawn
from runner.report.plots.ratios import ratios_of
from runner.report.plots.rendering import Drawing
from runner.report.plots.styles import count, enumerated, look, names_of, one_line
from runner.report.study.bound import FITTED, TERMS, Terms, comparable, correlation
from runner.results import Result

KIND = "bound"
_MOST_NAMED = 20
# Value of the term, error relative to the best, and task of a cell.
_Point = tuple[float, float, str]


def bound(board: Leaderboard, terms: Mapping[str, Terms]) -> Drawing | NotDrawn:
    """Draw a panel per term and in it a mark per cell.

    Args:
        board: The board.
        terms: Measured terms by cell id.
    """
    errors, left = _errors(board)
    cells = [cell for cell, *_ in errors if cell.cell_id in terms]
    if not cells:
        reason = "no cell has measured terms of the bound; RECRAFT's cells measure them"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    shown: list[tuple[str, list[_Point], str]] = []
    for title, value_of, own in _measured(cells):
        kept = {cell.cell_id for cell in own}
        points = [
            (value, error, key)
            for cell, error, key in errors
            if cell.cell_id in kept
            and (value := value_of(terms[cell.cell_id])) is not None
            and math.isfinite(value)
        ]
        if points:
            found = correlation(board, own, terms, value_of)
            shown.append((title, points, "no rho" if found is None else f"rho {found}"))
    looks = {column.key: look(number) for number, column in enumerate(board.tasks)}
    with_points = {key for _, points, _ in shown for *_, key in points}
    tasks = names_of([short_tasks(board.tasks)[column.key] for column in board.tasks])
    handles = [
        Line2D([], [], label=tasks[short_tasks(board.tasks)[c.key]], **looks[c.key].dots)
        for c in board.tasks
        if c.key in with_points
    ]
    if len(handles) > _MOST_NAMED:
        more = f"({len(handles) - _MOST_NAMED} more tasks not named)"
        handles = [*handles[:_MOST_NAMED], Line2D([], [], linestyle="none", label=more)]
    figure, axes = panels(
        len(shown), most_columns=3, row_height=1.6, extra=0.3 + 0.1 * len(handles)
    )
    for panel, (title, points, told) in zip(axes, shown, strict=True):
        for value, error, key in points:
            panel.plot([value], [error], **looks[key].dots)
        scale(panel, "x", [value for value, *_ in points])
        scale(panel, "y", [error for _, error, _ in points])
        panel.set_title(told, fontsize=6.5)
        panel.set_xlabel(title, labelpad=1)
    figure.supylabel("test error relative to the best", fontsize=7)
    legend_of(figure, handles)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Terms of the bound against test error, {board.name} data",
        caption=_caption(board, len(cells), left),
        alt=_alt(shown),
        board=board.name,
    )


def _measured(
    cells: Sequence[Result],
) -> list[tuple[str, Callable[[Terms], float | None], list[Result]]]:
    """Return title, value and the cells that compare, of each term."""

    def after(term: str) -> Callable[[Terms], float | None]:
        return lambda found: found.after.get(term)

    measured: list[tuple[str, Callable[[Terms], float | None], list[Result]]] = [
        (title, after(term), comparable(cells, term, ())) for title, term in TERMS.items()
    ]
    return [*measured, (FITTED, lambda found: found.fitted, list(cells))]


def _errors(board: Leaderboard) -> tuple[list[tuple[Result, float, str]], list[str]]:
    """Return each cell with its error relative to the best and its task, and tasks without."""
    found, left = [], []
    for column in board.tasks:
        ratios = ratios_of(board, column, board.lines)
        if ratios is None or ratios.best == 0:
            left.append(column.key)
            continue
        for line in board.lines:
            for cell in cells_of(line, column):
                if cell.value is not None and math.isfinite(ratios.of(cell.value)):
                    found.append((cell, ratios.of(cell.value), column.key))
    return found, left


def _caption(board: Leaderboard, cells: int, left: Sequence[str]) -> str:
    text = (
        f"Each mark is one of {count(cells, 'cell')} that measure the terms: the term after stage "
        "1, or the training loss of the last epoch, against the test error relative to the "
        "board's best entry on the task. rho is Spearman's rank correlation within tasks, averaged "
        "over tasks with three cells or more; terms of a source predictor compare cells with the "
        "most frequent predictor alone."
    )
    if left:
        text += f" Left aside, for their scores have no ratio: {enumerated(left)}."
    return text


def _alt(shown: Sequence[tuple[str, Sequence[_Point], str]]) -> str:
    parts = [
        f"{one_line(title)}: {told}, {count(len(points), 'cell')}, from "
        f"{min(value for value, *_ in points):.3g} to {max(value for value, *_ in points):.3g}"
        for title, points, told in shown
    ]
    return "Terms of the bound against test error. " + "; ".join(parts) + "."
