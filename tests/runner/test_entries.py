import pytest

from runner.report.terminal import to_terminal
from tests.runner.boards import DARCY, build, cell, floored, grid, labels, ledger, text_of
from xmft.errors import RequestError


def test_one_setting_per_task_the_one_with_most_cells():
    few = grid({"orca": {DARCY: 0.1}}, recipe={"epochs": 5}, data="other", day=9)
    many = grid({"orca": {DARCY: 0.4}, "nft": {DARCY: 0.5}})
    (board,) = build(ledger(*few, *many))
    assert board.ranked[0].scores[DARCY].mean == pytest.approx(0.4)
    assert board.notes == (f"2 cells of {DARCY} under other settings (data, recipe) are left out",)


def test_settings_of_equal_size_the_newest_wins():
    old = grid({"orca": {DARCY: 0.1}}, recipe={"epochs": 5}, day=1)
    new = grid({"orca": {DARCY: 0.4}}, day=2)
    for tables in (old + new, new + old):
        (board,) = build(ledger(*tables))
        assert board.ranked[0].scores[DARCY].mean == pytest.approx(0.4)


def test_methods_that_leave_out_fields_of_the_recipe_are_compared():
    full = {"epochs": 20, "layers": 2, "samples": 100}
    tables = [
        *grid({"orca": {DARCY: 0.3}, "nft": {DARCY: 0.4}}, recipe=full),
        *grid({"fno": {DARCY: 0.2}}, recipe={"epochs": 20, "samples": 100}, backbone="none"),
        *grid({"mean": {DARCY: 0.5}}, recipe={"samples": 100}, backbone="none"),
        # Fewer cells: not the board's setting, though `mean` would go with it.
        *grid({"fno": {DARCY: 0.1}}, recipe={"epochs": 5, "samples": 100}, backbone="none"),
    ]
    for given in (tables, tables[::-1]):
        (board,) = build(ledger(*given))
        assert labels(board.ranked) == ["fno", "orca", "nft", "mean"]
        assert board.ranked[0].scores[DARCY].mean == pytest.approx(0.2)
        assert board.notes == (f"2 cells of {DARCY} under other settings (recipe) are left out",)
    assert [line.backbones for line in board.ranked] == [(), ("minilm",), ("minilm",), ()]
    assert "backbone: minilm" in text_of(to_terminal([board]))


def test_entries_differ_by_config_version_and_source():
    tables = [
        cell("recraft", "s/a", 0, 0.1, method_config={"fld_weight": 0.3, "clusters": 10}),
        cell("recraft", "s/a", 0, 0.2, method_config={"fld_weight": 1.0, "clusters": 10}),
        cell("orca", "s/a", 0, 0.3, source="stdlib-docs"),
        cell("orca", "s/a", 0, 0.4, source="conll2003"),
        cell("pare", "s/a", 0, 0.5),
        cell("pare", "s/a", 0, 0.6, method_version=2),
        cell("nft", "s/a", 0, 0.7),
    ]
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == [
        "recraft (fld_weight=0.3)",
        "recraft (fld_weight=1.0)",
        "orca (source=stdlib-docs)",
        "orca (source=conll2003)",
        "pare (version=1)",
        "pare (version=2)",
        "nft",
    ]


def test_backbones_on_the_same_task_make_two_entries():
    tables = grid({"orca": {"s/a": 0.1, "s/b": 0.1}}) + grid(
        {"orca": {"s/a": 0.2, "s/b": 0.2}}, backbone="roberta-base", weights="w1"
    )
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == ["orca / minilm", "orca / roberta-base"]


def test_one_backbone_per_task_is_one_entry():
    text = {"backbone": "roberta-base", "weights": "w1"}
    vision = {"backbone": "swin-base", "weights": "w2"}
    tables = (
        grid({"orca": {"s/a": 0.1}}, **text, source="conll2003")
        + grid({"orca": {"s/b": 0.1}}, **vision, source="cifar10")
        + grid({"nft": {"s/a": 0.2}}, **text)
        + grid({"nft": {"s/b": 0.2}}, **vision)
    )
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == ["orca", "nft"]
    assert board.ranked[0].sources == ("cifar10", "conll2003")
    assert "backbone: roberta-base, swin-base" in text_of(to_terminal([board]))


def test_metric_versions_may_be_pairs():
    pairs = [["zeta", 1], ["alpha", 1]]
    options = {"metrics": ("zeta", "alpha"), "metric_versions": pairs}
    (board,) = build(ledger(cell("nft", "s/a", 0, 0.5, **options)))
    assert (board.tasks[0].metric, board.ranked[0].scores["s/a"].mean) == ("zeta", 0.5)


def test_of_different_floors_the_largest_is_shown_with_a_note():
    tables = [cell("orca", DARCY, 0, 0.2, floor=2e-3), cell("nft", DARCY, 0, 0.3, floor=1e-3)]
    (board,) = build(ledger(*tables, cell("pare", DARCY, 0, 0.4)))
    assert board.tasks[0].floor == 2e-3
    (note,) = board.notes
    assert DARCY in note and "1.0e-03, 2.0e-03" in note


def test_a_score_below_the_floor_is_a_note():
    tables = [cell("orca", DARCY, 0, 0.05, floor=0.15), cell("nft", DARCY, 0, 0.3, floor=0.15)]
    (board,) = build(ledger(*tables))
    (note,) = board.notes
    assert "orca (5.00e-02)" in note and "1.5e-01" in note and "nft" not in note


def test_a_floor_of_another_metric_is_not_shown():
    (board,) = build(ledger(cell("orca", DARCY, 0, 0.2, floor=0.1, metrics=("rmse",))))
    assert board.tasks[0].floor is None


def test_the_reference_is_no_board():
    with pytest.raises(RequestError, match=r"selection reference.*selection best_val, last;"):
        build(ledger(*floored()), selection="reference")
