"""Errors relative to the best, and against time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runner.report.compare import Leaderboard
from runner.report.plots.error_taken import error_taken, pareto
from runner.report.plots.errors import errors, quickstart_plot
from runner.report.plots.panels import plain_number
from runner.report.plots.rendering import Drawing, house_style
from tests.runner.boards import build, cell, ledger
from tests.runner.plots.drawings import board_of, drawn_texts, faults, many


def drawn(make: Any, board: Leaderboard) -> Drawing:
    with house_style():
        drawing = make(board)
    assert isinstance(drawing, Drawing)
    return drawing


def marks(figure: Figure, panel: int) -> list[tuple[float, float]]:
    """The marks of entries in a panel, in drawing order."""
    found = []
    for line in figure.axes[panel].lines:
        x, y = line.get_xdata(), line.get_ydata()
        shown = line.get_marker() not in ("None", "", None) and line.get_markerfacecolor() != "none"
        if shown and len(x) == 1:  # type: ignore[arg-type]
            found.append((float(x[0]), float(y[0])))  # type: ignore[index]
    return found


def bars(figure: Figure, panel: int) -> list[tuple[float, float]]:
    return [
        tuple(line.get_xdata())  # type: ignore[misc,arg-type]
        for line in figure.axes[panel].lines
        if line.get_linewidth() == 1.8
    ]


def test_factors_and_the_range_of_seeds_by_hand() -> None:
    # Seeds lie 0.01 on both sides of the mean.
    drawing = drawn(errors, board_of({"a": {"s/a": 0.1}, "b": {"s/a": 0.3}, "c": {"s/a": 0.2}}))
    assert marks(drawing.figure, 0) == [
        (pytest.approx(factor), row) for row, factor in enumerate((1.0, 2.0, 3.0))
    ]
    assert bars(drawing.figure, 0) == [
        (pytest.approx(low), pytest.approx(high))
        for low, high in ((0.9, 1.1), (1.9, 2.1), (2.9, 3.1))
    ]
    labels = [tick.get_text() for tick in drawing.figure.axes[0].get_yticklabels()]
    assert labels == ["a", "c", "b"]
    assert "s/a (1 is nrmse 0.1): a 1, c 2, b 3." in drawing.alt
    assert faults(drawing.figure) == []


def test_where_more_is_better_the_factor_is_best_over_score() -> None:
    board = board_of({"a": {"s/a": 0.4}, "b": {"s/a": 0.8}}, direction="max")
    drawing = drawn(errors, board)
    assert [x for x, _ in marks(drawing.figure, 0)] == pytest.approx([1.0, 2.0])
    assert "best divided by score" in drawing.caption


@pytest.mark.parametrize("values", [(0.0, 0.5), (-1.0, 2.0)])
def test_scores_without_a_ratio_are_shown_themselves(values: tuple[float, float]) -> None:
    cells = [cell(m, "s/a", 0, v) for m, v in zip(("a", "b"), values, strict=True)]
    (board,) = build(ledger(*cells))
    drawing = drawn(errors, board)
    assert [x for x, _ in marks(drawing.figure, 0)] == pytest.approx(list(values))
    assert any("nrmse itself" in text for text, *_ in drawn_texts(drawing.figure))
    assert "The scores themselves where the best is zero or signs differ: s/a." in drawing.caption


def test_an_incomplete_entry_is_no_yardstick() -> None:
    values = {"a": {"s/a": 0.2, "s/b": 0.2}, "b": {"s/a": 0.4, "s/b": 0.4}, "c": {"s/a": 0.1}}
    drawing = drawn(errors, board_of(values))
    assert [x for x, _ in marks(drawing.figure, 0)] == pytest.approx([1.0, 2.0, 0.5])
    assert len(marks(drawing.figure, 1)) == 2
    assert "Entries that lack a task or a seed come last." in drawing.caption


def test_the_floor_of_the_data_is_drawn() -> None:
    from tests.runner.boards import floored

    (board,) = build(ledger(*floored()))
    drawing = drawn(errors, board)
    assert "Dotted: the error of the data themselves" in drawing.caption
    assert drawn(quickstart_plot, [board]).alt == drawing.alt  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "entries", "tasks"),
    [(errors, 1, 1), (error_taken, 1, 1), (errors, 2, 19), (error_taken, 3, 10), (errors, 40, 3),
     (error_taken, 200, 2), (errors, 200, 1)],
)  # fmt: skip
def test_any_number_of_entries_and_tasks_can_be_read(make: Any, entries: int, tasks: int) -> None:
    board = board_of(many(entries, tasks), seeds=(0,))
    drawing = drawn(make, board)
    assert faults(drawing.figure) == []
    width, height = drawing.figure.get_size_inches()
    assert width == 6.9 and height <= 11
    assert ("more are not" in drawing.caption) == (entries > 30)


@pytest.mark.parametrize("maximise", [False, True])
def test_the_front_is_what_a_comparison_of_all_pairs_leaves(maximise: bool) -> None:
    rng = np.random.default_rng(0)
    sign = -1 if maximise else 1
    for _ in range(50):
        # Few different numbers, so that there are ties.
        points = {
            f"m{n}": (float(t), float(e)) for n, (t, e) in enumerate(rng.integers(1, 6, (9, 2)))
        }
        beaten = {
            one
            for one, other in itertools.permutations(points, 2)
            if points[other] != points[one]
            and points[other][0] <= points[one][0]
            and sign * points[other][1] <= sign * points[one][1]
        }
        assert set(pareto(points, maximise=maximise)) == points.keys() - beaten


def test_time_is_that_of_the_attempt_that_counts_and_over_tasks_a_geometric_mean() -> None:
    cells = [
        cell("a", "s/a", 0, 0.1, wall_s=10), cell("a", "s/a", 1, 0.1, wall_s=30),
        cell("a", "s/b", 0, 0.8, wall_s=5), cell("a", "s/b", 1, 0.8, wall_s=5),
        cell("b", "s/a", 0, 0.2, wall_s=1), cell("b", "s/a", 1, 0.2, wall_s=3),
        cell("b", "s/b", 0, 0.1, wall_s=1), cell("b", "s/b", 1, 0.1, wall_s=1),
        # Another attempt that failed took its time, too; it is no time of training.
        cell("b", "s/b", 1, None, attempt=2, failure="oom", wall_s=1000),
    ]  # fmt: skip
    (board,) = build(ledger(*cells))
    drawing = drawn(error_taken, board)
    # b: factors 2 and 1; a: 1 and 8. Ranks tie, so the order is that of names.
    assert marks(drawing.figure, 0) == [
        (pytest.approx(25.0), pytest.approx(math.sqrt(8))),
        (pytest.approx(3.0), pytest.approx(math.sqrt(2))),
    ]
    assert marks(drawing.figure, 1) == [(20.0, pytest.approx(0.1)), (2.0, pytest.approx(0.2))]
    assert "all tasks: unbeaten in both are b (3.0s, relative error 1.41)." in drawing.alt
    assert "s/a" not in drawing.alt and "a: unbeaten in both are b (2.0s, nrmse 0.2)" in drawing.alt


def test_entries_look_the_same_in_all_plots_of_a_board() -> None:
    board = board_of(many(8, 3), seeds=(0,))

    def colours(figure: Figure) -> dict[str, tuple[Any, Any]]:
        lines = figure.findobj(Line2D)
        return {
            str(line.get_label()): (line.get_color(), line.get_marker())
            for line in lines
            if str(line.get_label()).startswith("m")
        }

    from runner.report.plots.profiles import profiles

    one = colours(drawn(error_taken, board).figure)
    assert len(one) == 8 and one == colours(drawn(profiles, board).figure)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (1e-7, "1e-7"), (2.5e-5, "2.5e-5"), (20000, "20000"),
     (1e6, "1e6"), (-0.25, "-0.25"), (1234, "1234"), (1.5e-300, "1.5e-300")],
)  # fmt: skip
def test_numbers_on_axes_are_short(value: float, text: str) -> None:
    assert plain_number(value) == text
    assert float(text) == pytest.approx(value)
