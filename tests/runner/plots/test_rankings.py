"""The diagram of ranks and the profiles say what the board says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from runner.report.compare import Leaderboard
from runner.report.plots.critical import critical_differences
from runner.report.plots.plot import NotDrawn
from runner.report.plots.profiles import profiles, share_within
from runner.report.plots.rendering import Drawing, house_style
from tests.runner.boards import THREE
from tests.runner.plots.drawings import board_of, drawn_texts, faults, many


def ranked(board: Leaderboard) -> Drawing:
    with house_style():
        drawing = critical_differences(board)
    assert isinstance(drawing, Drawing)
    return drawing


def profiled(board: Leaderboard) -> Drawing:
    with house_style():
        drawing = profiles(board)
    assert isinstance(drawing, Drawing)
    return drawing


def bars(drawing: Drawing) -> list[tuple[float, float, float]]:
    """Start, end and height of each bar that joins entries, in inches."""
    (axes,) = drawing.figure.axes
    return [
        (line.get_xdata()[0], line.get_xdata()[1], line.get_ydata()[0])  # type: ignore[index]
        for line in axes.lines
        if line.get_linewidth() > 2
    ]


def test_ranks_by_hand() -> None:
    # Ranks 1.5, 11/6 and 8/3 of three entries on three tasks. Demsar's table 5a: q is 2.343, so
    # the difference is 2.343 * sqrt(3 * 4 / (6 * 3)) = 1.913 and all are joined.
    drawing = ranked(board_of(THREE))
    texts = [text for text, *_ in drawn_texts(drawing.figure)]
    for name, rank in (("pare", "1.50"), ("orca", "1.83"), ("nft", "2.67")):
        assert any(name in text and rank in text for text in texts)
        assert f"{name} has average rank {rank}" in drawing.alt
    assert "critical difference 1.91" in texts
    assert "Joined: pare, orca and nft." in drawing.alt
    assert "3 complete entries over 3 tasks" in drawing.caption
    assert len(bars(drawing)) == 1


def test_entries_further_apart_than_the_difference_are_not_joined() -> None:
    # On 30 tasks always in the same order: ranks 1 to 4; the difference is 2.569 * sqrt(4 * 5 /
    # (6 * 30)) = 0.856, less than one rank.
    same = {f"m{n}": {f"s/t{t}": 1.0 + n for t in range(30)} for n in range(4)}
    drawing = ranked(board_of(same))
    assert bars(drawing) == []
    assert "Critical difference 0.86. No two entries are joined." in drawing.alt


def test_bars_reach_from_the_first_to_the_last_of_a_group_and_never_meet() -> None:
    drawing = ranked(board_of(many(8, 12)))
    found = bars(drawing)
    assert len(found) > 1
    for (start, end, y), (other_start, other_end, other_y) in itertools.combinations(found, 2):
        assert y != other_y or end < other_start or other_end < start
    assert faults(drawing.figure) == []


def test_ties_everywhere_are_one_group() -> None:
    drawing = ranked(board_of({f"m{n}": {"s/a": 1.0, "s/b": 2.0} for n in range(5)}))
    assert "m0 has average rank 3.00" in drawing.alt
    assert "Joined: m0, m1, m2, m3 and m4." in drawing.alt
    assert faults(drawing.figure) == []


@pytest.mark.parametrize(
    ("entries", "tasks"), [(2, 2), (2, 20), (8, 3), (8, 19), (40, 9), (200, 5)]
)
def test_any_number_of_entries_can_be_read(entries: int, tasks: int) -> None:
    drawing = ranked(board_of(many(entries, tasks), seeds=(0,)))
    assert faults(drawing.figure) == []
    texts = [text for text, *_ in drawn_texts(drawing.figure)]
    assert sum(text.startswith("m") or "  m" in text for text in texts) == min(entries, 30)
    left = f"({entries - 30} more entries as ticks alone)"
    assert any(left in text for text in texts) == (entries > 30)
    assert ("30 entries are shown" in drawing.caption) == (entries > 30)


def test_names_of_any_length_have_room() -> None:
    long = {f"{'x' * 190}{n}": {"s/a": float(n), "s/b": 1.0} for n in range(1, 9)}
    assert faults(ranked(board_of(long)).figure) == []


def test_what_has_no_ranks_is_told() -> None:
    one_entry = critical_differences(board_of({"nft": {"s/a": 1.0, "s/b": 2.0}}))
    assert isinstance(one_entry, NotDrawn) and "there is one" in one_entry.reason
    one_task = critical_differences(board_of({"nft": {"s/a": 1.0}, "orca": {"s/a": 2.0}}))
    assert isinstance(one_task, NotDrawn) and "one task" in one_task.reason
    assert str(one_task).startswith("critical-difference (s-generated): ")
    none = profiles(board_of({"nft": {"s/a": 1.0}, "orca": {"s/b": 2.0}}))
    assert isinstance(none, NotDrawn) and "there are none" in none.reason


def stairs(drawing: Drawing) -> dict[str, tuple[list[float], list[float]]]:
    """Factors and shares by colour, as drawn."""
    return {
        str(line.get_color()): (list(line.get_xdata()), list(line.get_ydata()))  # type: ignore[arg-type]
        for line in drawing.figure.axes[0].lines
    }


def test_profiles_by_hand() -> None:
    # a is best on both tasks but for b's tie on the second; b is 3 times worse on the first.
    drawing = profiled(board_of({"a": {"s/a": 0.1, "s/b": 0.5}, "b": {"s/a": 0.3, "s/b": 0.5}}))
    (a, b) = stairs(drawing).values()
    assert a[0][0] == 1 and a[1] == [1.0, 1.0]
    assert b[0][:2] == pytest.approx([1.0, 3.0]) and b[1] == [0.5, 1.0, 1.0]
    assert "a 100% within 1, 100% within 2; b 50% within 1, 50% within 2." in drawing.alt


def test_shares_are_those_of_a_count() -> None:
    rng = np.random.default_rng(3)
    ratios = [1.0, *np.exp(rng.exponential(size=30)), math.inf]
    for factor in (1.0, 1.5, 2.0, 10.0, 1e9):
        assert share_within(ratios, factor) == np.mean([ratio <= factor for ratio in ratios])


def test_a_best_without_error_is_said_and_others_are_within_no_factor() -> None:
    values = {"a": {"s/a": 0.0, "s/b": 1.0}, "b": {"s/a": 0.5, "s/b": 2.0}}
    drawing = profiled(zeros(values))
    a, b = stairs(drawing).values()
    assert a[1] == [1.0, 1.0]
    assert b[1][-1] == 0.5
    assert "On s/a the best has no error at all" in drawing.caption


def zeros(values: dict[str, dict[str, float]]) -> Leaderboard:
    """A board of one seed whose values are exactly these."""
    shifted = {m: {t: v + 0.01 for t, v in tasks.items()} for m, tasks in values.items()}
    return board_of(shifted, seeds=(0,))


def test_where_more_is_better_the_factor_is_turned_around() -> None:
    values = {"a": {"s/a": 0.8}, "b": {"s/a": 0.4}}
    drawing = profiled(board_of(values, direction="max"))
    _, b = stairs(drawing).values()
    assert b[0][1] == pytest.approx(2.0)
    assert "best divided by score" in drawing.caption


def test_tasks_whose_scores_have_no_ratio_are_left_aside() -> None:
    both = {"a": {"s/a": -1.0, "s/b": 0.5}, "b": {"s/a": 2.0, "s/b": 1.0}}
    drawing = profiled(board_of(both))
    assert "Left aside, for their scores have no ratio: s/a" in drawing.caption
    negative = profiles(board_of({"a": {"s/a": -1.0}, "b": {"s/a": 2.0}}))
    assert isinstance(negative, NotDrawn) and "one sign" in negative.reason


@pytest.mark.parametrize("entries", [2, 12, 200])
def test_profiles_of_many_can_be_read(entries: int) -> None:
    drawing = profiled(board_of(many(entries, 4), seeds=(0,)))
    assert faults(drawing.figure) == []
    assert len(stairs(drawing)) == min(entries, 7)
    shown = len(drawing.figure.axes[0].lines)
    assert shown == min(entries, 12)
