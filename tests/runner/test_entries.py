import pytest

from runner.report.long_table import long_table
from runner.report.terminal import to_terminal
from tests.runner.boards import (
    ADVECTION,
    DARCY,
    build,
    cell,
    floored,
    grid,
    labels,
    ledger,
    text_of,
)
from xmft.errors import RequestError
from xmft.recipe import BEFORE, Recipe


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


def test_what_goes_with_two_settings_does_not_bring_them_together():
    sampled, precise = {"samples": 100}, {"precision": "float32"}
    for one, other in ((1, 2), (2, 1)):
        tables = [
            *grid({"mean": {DARCY: 0.5}}, recipe=sampled | precise, backbone="none", day=3),
            *grid({"ridge": {DARCY: 0.1}}, recipe=sampled | {"canonical": False}, day=one),
            *grid({"ridge": {DARCY: 0.2}}, recipe=sampled | {"canonical": True}, day=other),
        ]
        (board,) = build(ledger(*tables))
        means = {line.label: line.scores[DARCY].mean for line in board.ranked}
        assert means == {"mean": 0.5, "ridge": pytest.approx(0.1 if one > other else 0.2)}
        assert board.notes == (f"2 cells of {DARCY} under other settings (recipe) are left out",)


def test_what_lies_beyond_the_edges_matters_to_those_that_look_there() -> None:
    plain = {"samples": 100, "overlap": 0.0, "stem": "none", "refine": False}
    looking = plain | {"overlap": 0.5}
    own = {"own_recipe": ["overlap"]}
    tables = [
        *grid({"nft": {DARCY: 0.3}, "orca": {DARCY: 0.4}}, recipe=plain),
        *grid({"pare": {DARCY: 0.2}}, recipe=looking | {"padding": "periodic"}, **own, day=1),
    ]
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == ["pare", "nft", "orca"] and not board.notes
    # Before there was the field there were zeros.
    before = grid({"mona": {DARCY: 0.1}}, recipe=looking, **own)
    (board,) = build(ledger(*tables, *before))
    assert labels(board.ranked) == ["pare", "nft", "orca"]
    assert board.notes == (f"2 cells of {DARCY} under other settings (recipe) are left out",)


def test_cells_of_before_a_field_are_what_the_code_did_then():
    old = {"epochs": 20, "samples": 100}
    rules = {"canonical": False, "amplitude": False}
    both = [
        *grid({"orca": {DARCY: 0.3}}, recipe=old),
        *grid({"nft": {DARCY: 0.4}}, recipe=old | rules),
        *grid({"ridge": {DARCY: 0.5}}, recipe={"samples": 100}, backbone="none"),
    ]
    (board,) = build(ledger(*both))
    assert labels(board.ranked) == ["orca", "nft", "ridge"] and not board.notes
    for changed in ({"canonical": True}, {"amplitude": True}):
        new = grid({"pare": {DARCY: 0.1}, "mona": {DARCY: 0.2}}, recipe=old | rules | changed)
        (board,) = build(ledger(*both, *new, *grid({"scratch": {DARCY: 0.4}}, recipe=old)))
        assert {"orca", "nft", "scratch"} <= set(labels(board.ranked))
        assert not {"pare", "mona"} & set(labels(board.ranked))
        assert board.notes == (f"4 cells of {DARCY} under other settings (recipe) are left out",)


def test_fewer_samples_of_variants_stand_beside_all_of_them():
    shared = {"epochs": 5, "samples": 100}

    def entry(name, value, own=(), **recipe):
        return [
            cell(name, DARCY, seed, value, recipe=shared | recipe, own_recipe=list(own))
            for seed in (0, 1)
        ]

    few = entry("orca:few", 0.3, ["train_samples"], train_samples=20)
    (board,) = build(ledger(*entry("orca", 0.1), *entry("nft", 0.2), *few))
    assert labels(board.ranked) == ["orca", "nft", "orca:few"] and board.notes == ()
    # The other way round: fewer for all, and all of them for one.
    every = entry("orca:all", 0.1, ["train_samples"], train_samples=None)
    both = [entry(name, 0.2, train_samples=20) for name in ("orca", "nft")]
    (board,) = build(ledger(*every, *both[0], *both[1]))
    assert set(labels(board.ranked)) == {"orca:all", "orca", "nft"} and board.notes == ()
    # What is not said of one method alone is another setting.
    (board,) = build(ledger(*entry("orca", 0.1), *entry("nft", 0.2), *both[0]))
    assert board.notes == (f"2 cells of {DARCY} under other settings (recipe) are left out",)


def test_every_field_since_the_first_has_what_the_code_did_before():
    first = {"epochs", "batch_size", "learning_rate", "optimizer", "weight_decay", "betas"}
    first |= {"momentum", "warmup", "clip_grad_norm", "layers", "max_tokens", "dense_head"}
    first |= {"samples", "resolution", "precision", "compile"}
    assert Recipe.model_fields.keys() - BEFORE.keys() == first
    assert Recipe(**BEFORE).model_dump().items() >= BEFORE.items()


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


def test_floors_are_of_the_metric_that_ranks_since_their_second_version():
    rows = cell("orca", DARCY, 0, 0.2, floor=0.1, floor_version=2, metrics=("nrmse_pdebench",))
    (board,) = build(ledger(rows))
    assert board.tasks[0].floor == 0.1


SPREAD = {"median": 0.002, "largest": 0.36, "samples": 100.0}


def test_a_floor_with_a_heavy_tail_is_a_note():
    floored = {"floor": 0.03, "floor_version": 2}
    heavy = cell("orca", DARCY, 0, 0.2, **floored, spread=SPREAD)
    even = cell("orca", ADVECTION, 0, 0.2, **floored, spread=SPREAD | {"median": 0.029})
    known = cell("orca", "pdebench/burgers", 0, 0.2, **floored)
    (board,) = build(ledger(heavy, even, known))
    (note,) = board.notes
    assert note.startswith(f"{DARCY}: the error floor of 3.0e-02 is a mean over 100 test samples")
    assert "median 2.0e-03, largest 3.6e-01" in note
    table = long_table([board])
    spreads = {
        row["task"]: [row["floor_median"], row["floor_largest"], row["floor_samples"]]
        for row in table.to_pylist()
        if row["kind"] == "measured"
    }
    assert spreads == {
        DARCY: [0.002, 0.36, 100],
        ADVECTION: [0.029, 0.36, 100],
        "pdebench/burgers": [None, None, None],
    }


def test_the_reference_is_no_board():
    with pytest.raises(RequestError, match=r"selection reference.*selection best_val, last;"):
        build(ledger(*floored()), selection="reference")
