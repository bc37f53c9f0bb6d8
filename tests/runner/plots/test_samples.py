"""Error against training samples: what makes a line, and what is drawn of it."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.container import ErrorbarContainer

from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import Drawing, house_style
from runner.report.plots.samples import samples, series_of
from tests.runner.boards import build, cell, ledger
from tests.runner.plots.drawings import drawn_texts, faults, many

COMMON = {"batch_size": 32, "samples": 2500}


def entry(method: str, size: int | None, values: dict[str, float], **own: Any) -> list[Any]:
    """Three seeds of an entry, 0.01 apart, with a recipe of its own."""
    own = own if size is None else own | {"train_samples": size}
    return [
        cell(
            method,
            task,
            seed,
            value + 0.01 * (seed - 1),
            recipe={"epochs": 5, **COMMON, **own},
            own_recipe=sorted(own),
        )
        for task, value in values.items()
        for seed in range(3)
    ]


def board_of(*entries: list[Any]) -> Any:
    (board,) = build(ledger(*(rows for one in entries for rows in one)))
    return board


def drawn(board: Any) -> Drawing:
    with house_style():
        found = samples(board)
    assert isinstance(found, Drawing)
    return found


def lines(drawing: Drawing, panel: int) -> list[dict[int, float]]:
    """Score by place of each line."""
    bars = [c for c in drawing.figure.axes[panel].containers if isinstance(c, ErrorbarContainer)]
    return [dict(zip(bar[0].get_xdata(), bar[0].get_ydata(), strict=True)) for bar in bars]


TWO = (
    entry("orca", None, {"s/a": 0.2, "s/b": 0.3}),
    entry("orca:512", 512, {"s/a": 0.4, "s/b": 0.5}, epochs=20),
    entry("orca:128", 128, {"s/a": 0.8, "s/b": 0.6}, epochs=80),
    entry("fno", None, {"s/a": 0.1, "s/b": 0.4}, learning_rate=5e-3),
    entry("fno:512", 512, {"s/a": 0.5, "s/b": 0.45}, learning_rate=5e-3, epochs=20),
    entry("mean", None, {"s/a": 0.9, "s/b": 0.9}),
)


def test_a_line_per_method_over_the_sizes_it_learned_from() -> None:
    drawing = drawn(board_of(*TWO))
    assert sorted(lines(drawing, 0), key=len) == [
        pytest.approx({1: 0.5, 2: 0.1}),
        pytest.approx({0: 0.8, 1: 0.4, 2: 0.2}),
    ]
    ticks = [tick.get_text() for tick in drawing.figure.axes[0].get_xticklabels()]
    assert ticks == ["128", "512", "all"]
    texts = {text for text, *_ in drawn_texts(drawing.figure)}
    assert {"orca", "fno", "a", "b"} <= {text.removeprefix("s/") for text in texts}
    # One number of samples is no line.
    assert "mean" not in texts and "2 methods, 2 tasks." in drawing.caption
    assert "a, best first: 128: orca 0.8; 512: orca 0.4 and fno 0.5; all: fno 0.1" in drawing.alt
    assert faults(drawing.figure) == []


def test_the_spread_of_the_seeds_is_shown() -> None:
    (bar,) = [c for c in drawn(board_of(*TWO[:2])).figure.axes[0].containers][:1]
    assert isinstance(bar, ErrorbarContainer)
    (low, high), *_ = bar[2][0].get_segments()
    assert (low[1], high[1]) == (pytest.approx(0.39), pytest.approx(0.41))


def test_other_recipes_and_options_are_other_lines() -> None:
    based = entry("orca:based", None, {"s/a": 0.15}, base="kernel")
    few = entry("orca:few", 128, {"s/a": 0.3}, base="kernel")
    plain = [entry("orca", None, {"s/a": 0.2}), entry("orca:128", 128, {"s/a": 0.8})]
    board = board_of(*plain, based, few)
    assert {one.label for one in series_of(board)} == {
        "orca",
        "orca:based (base kernel)",
    }
    assert len(lines(drawn(board), 0)) == 2
    # With another base there is one number of samples of each.
    assert series_of(board_of(plain[0], few)) == []


def test_of_several_entries_of_one_number_the_best() -> None:
    longer = entry("orca:7", None, {"s/a": 0.1}, epochs=7)
    drawing = drawn(board_of(*(one[:3] for one in TWO[:2]), longer))
    assert lines(drawing, 0) == [pytest.approx({0: 0.4, 1: 0.1})]


def test_a_line_is_not_called_what_another_entry_is() -> None:
    plain = entry("orca", None, {"s/a": 0.2})
    based = entry("orca:kernel", None, {"s/a": 0.15}, base="kernel")
    few = entry("orca:few", 128, {"s/a": 0.3}, base="kernel")
    assert [one.label for one in series_of(board_of(plain, based, few))] == [
        "orca:kernel (base kernel)"
    ]


def test_tuned_entries_make_a_line_whatever_was_chosen() -> None:
    tuned = {"tuned": {"study": "1", "trials": 3, "fields": ["learning_rate"]}}
    rows = [
        cell(
            name,
            task,
            seed,
            value,
            recipe={"epochs": 5, **COMMON, **own, "learning_rate": rate},
            own_recipe=sorted([*own, "learning_rate"]),
            **tuned,
        )
        for name, value, own in (("orca", 0.1, {}), ("orca:few", 0.2, {"train_samples": 128}))
        for task, rate in (("s/a", 1e-3), ("s/b", 2e-3 if own else 5e-3))
        for seed in range(2)
    ]
    (one,) = series_of(board_of(rows))
    assert one.label == "orca" and len(one.lines) == 2


def test_sizes_are_those_of_each_task() -> None:
    rows = [
        cell(name, task, 0, value, recipe={"epochs": 5, **own}, own_recipe=sorted(own))
        for name, task, value, own in (
            ("orca", "s/a", 0.1, {}),
            ("orca", "s/b", 0.2, {"train_samples": 64}),
            ("orca:few", "s/a", 0.3, {"train_samples": 128}),
            ("orca:few", "s/b", 0.4, {"train_samples": 32}),
        )
    ]
    drawing = drawn(board_of(rows))
    assert lines(drawing, 0) == [pytest.approx({2: 0.3, 3: 0.1})]
    assert lines(drawing, 1) == [pytest.approx({0: 0.4, 1: 0.2})]


def test_a_backbone_for_each_task_is_one_line_and_two_on_one_task_are_two() -> None:
    text, images = {"backbone": "t", "weights": "1"}, {"backbone": "i", "weights": "2"}

    def one(name: str, task: str, value: float, own: dict[str, Any], carrier: Any) -> Any:
        return cell(name, task, 0, value, recipe=own, own_recipe=sorted(own), **carrier)

    few = {"train_samples": 9}
    each = [one("orca", "s/a", 0.1, {}, text), one("orca", "s/b", 0.1, {}, images)]
    (series,) = series_of(board_of([*each, one("orca:9", "s/a", 0.2, few, text)]))
    assert len(series.lines) == 2
    both = [one("orca", "s/a", 0.3, {}, images), one("orca:9", "s/a", 0.4, few, images)]
    board = board_of([each[0], one("orca:9", "s/a", 0.2, few, text), *both])
    found = sorted(lines(drawn(board), 0), key=lambda points: points[0])
    assert found == [pytest.approx({0: 0.2, 1: 0.1}), pytest.approx({0: 0.4, 1: 0.3})]


def test_without_a_second_number_there_is_nothing_to_draw() -> None:
    found = samples(board_of(TWO[0], TWO[3]))
    assert isinstance(found, NotDrawn) and "train_samples" in found.reason


def test_more_methods_than_can_be_followed() -> None:
    entries = []
    for name, values in many(15, 9).items():
        entries += [entry(name, None, values), entry(f"{name}:9", 9, values)]
    drawing = drawn(board_of(*entries))
    assert len(lines(drawing, 0)) == 12 and "3 more are not shown." in drawing.caption
    assert faults(drawing.figure) == []
