"""Terms of the bound that RECRAFT measures, against the test error of the same cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.lines import Line2D

from runner.report.compare import Leaderboard
from runner.report.plots.panels import cells_of, legend_of, panels, scale, short_tasks
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import Drawing
from runner.report.plots.styles import enumerated, look, names_of, one_line
from runner.report.study.bound import FITTED, TERMS, Terms, comparable, correlation
from runner.report.wording import count, scope
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
    errors, left = _errors(board, terms)
    cells = [cell for cell, *_ in errors]
    if not cells:
        reason = "no cell has measured terms of the bound; RECRAFT's cells measure them"
        if left:
            reason = f"the errors of {enumerated(left)} are zero or less, which have no ratio"
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
            shown.append(
                (
                    title,
                    points,
                    f"no rho ({count(len(points), 'cell')})" if found is None else f"rho {found}",
                )
            )
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
        len(shown),
        most_columns=3,
        row_height=1.55,
        extra=0.15 + 0.05 * len(handles),
        share_y=True,
    )
    for panel, (title, points, told) in zip(axes, shown, strict=True):
        for value, error, key in points:
            panel.plot([value], [error], **looks[key].dots)
        scale(panel, "x", [value for value, *_ in points])
        scale(panel, "y", [error for _, error, _ in points])
        panel.set_title(told, fontsize=6.5)
        panel.set_xlabel(title, labelpad=1)
    figure.supylabel("relative test error")
    legend_of(figure, handles)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Terms of the bound against test error, {scope(board)}",
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


def _errors(
    board: Leaderboard, terms: Mapping[str, Terms]
) -> tuple[list[tuple[Result, float, str]], list[str]]:
    """Return each measured cell with its error relative to the least and its task.

    Also the tasks whose scores have no ratio.
    """
    found, left = [], []
    for column in board.tasks:
        every = [cell for line in board.lines for cell in cells_of(line, column)]
        values = {c.cell_id: c.value for c in every if c.value is not None and c.cell_id in terms}
        if not values:
            continue
        if min(values.values()) <= 0:
            left.append(column.key)
            continue
        best = (max if column.direction == "max" else min)(values.values())
        for cell in every:
            if cell.cell_id in values:
                value = values[cell.cell_id]
                ratio = best / value if column.direction == "max" else value / best
                found.append((cell, ratio, column.key))
    return found, left


def _caption(board: Leaderboard, cells: int, left: Sequence[str]) -> str:
    text = (
        f"Each mark is one of {count(cells, 'cell')} that measure the terms: the term after stage "
        "1, or the training loss of the last epoch, against the test error relative to the "
        "least among them on the task. rho is Spearman's rank correlation within tasks, averaged "
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
