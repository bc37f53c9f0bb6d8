"""The base of a network in plans, in the ledger and beside the network on boards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from runner.ledger import Ledger
from runner.plan import make_plan
from runner.report.bases import gains_of
from runner.report.long_table import long_table
from runner.report.markdown import to_markdown
from runner.report.status import show_cell
from runner.report.terminal import to_terminal
from runner.results import results
from runner.schema import CURVE_SCHEMA
from tests.runner.boards import build, cell, labels, ledger, text_of
from tests.runner.cells import Attempt, JobOf, PlanOne, values_of
from tests.runner.plans import MakeGrid
from xmft.errors import RequestError

ON_KERNEL = {"recipe": {"epochs": 20, "base": "kernel"}, "own_recipe": ["base"]}


def board(*scores: tuple[str, float, float]) -> Any:
    """One entry on a kernel, and one without: task, base alone, with the network, seed by seed."""
    seeds: dict[str, int] = {}
    cells = []
    for task, alone, value in scores:
        seed = seeds[task] = seeds.get(task, -1) + 1
        cells.append(cell("recraft", task, seed, value, alone=alone, **ON_KERNEL))
        cells.append(cell("nft", task, seed, 0.5, recipe={"epochs": 20, "base": "mean"}))
    return ledger(*cells)


def test_a_board_says_what_the_network_adds() -> None:
    rows = board(
        ("s/a", 0.2, 0.10), ("s/a", 0.2, 0.09), ("s/a", 0.2, 0.11),
        ("s/b", 0.4, 0.39), ("s/b", 0.4, 0.45), ("s/b", 0.4, 0.36),
    )  # fmt: skip
    (found,) = build(rows)
    assert labels(found.by_label) == ["nft", "recraft (base kernel)"]
    (note,) = found.notes
    # Half of the error on the one task, all of it on the other: 1 - sqrt(1 / 2).
    assert note == (
        "recraft (base kernel): s/a base alone 0.2, with the network 0.1; s/b base alone 0.4, with "
        "the network 0.4. What the network adds: the network takes 29 % off the error of its base "
        "(geometric mean over 2 tasks); better than its base beyond the seeds on 1 of 2 tasks"
    )
    shown = " ".join(text_of(to_terminal([found])).split())
    assert note in shown and note in to_markdown([found], ledger="here")
    row = {(r["entry"], r["task"]): r for r in long_table([found]).to_pylist()}
    assert row["recraft (base kernel)", "s/a"]["base"] == "kernel"
    assert row["recraft (base kernel)", "s/a"]["base_mean"] == pytest.approx(0.2)
    assert (row["nft", "s/a"]["base"], row["nft", "s/a"]["base_mean"]) == (None, None)


def test_a_network_that_adds_nothing_is_told_apart() -> None:
    (found,) = build(board(("s/a", 0.2, 0.2), ("s/a", 0.2, 0.2)))
    assert "changes nothing in the error of its base" in found.notes[0]
    assert found.notes[0].endswith("on 0 of 1 task: nothing that can be told from chance")
    (found,) = build(board(("s/a", 0.2, 0.21), ("s/a", 0.2, 0.25)))
    assert "adds 15 % to the error of its base; better than" in found.notes[0]
    (found,) = build(board(("s/a", 0.2, 0.1)))
    assert found.notes[0].endswith("one seed does not tell whether that is chance")


@pytest.mark.parametrize("values", [(0.19, 0.17, 0.18), (0.19, 0.21, 0.18), (0.12, 0.19, 0.17)])
def test_beyond_the_seeds_is_a_paired_test(values: tuple[float, ...]) -> None:
    cells = results(board(*(("s/a", 0.2, value) for value in values)))
    (gain,) = gains_of([one for one in cells if one.method == "recraft"], {"s/a": "min"})
    p = stats.ttest_rel(values, [0.2] * 3, alternative="less").pvalue
    assert gain.better == (p < 0.05)


def test_where_more_is_better_the_sign_turns() -> None:
    options = {"metrics": ("accuracy",), "direction": "max", **ON_KERNEL}
    rows = ledger(*(cell("recraft", "s/a", s, 0.8, alone=0.4, **options) for s in (0, 1)))
    (gain,) = gains_of(results(rows), {"s/a": "max"})
    assert gain.better and gain.ratio == pytest.approx(0.5)


def test_a_search_that_chose_the_base_names_what_it_chose() -> None:
    tuned = {
        "trials": 4,
        "scheduler": "none",
        "algorithm": "grid",
        "space": "x",
        "fields": ["base"],
    }
    facts = {"own_recipe": ["base"], "tuned": tuned}
    rows = ledger(
        cell("nft", "s/a", 0, 0.1, alone=0.2, recipe={"base": "kernel"}, **facts),
        cell("nft", "s/b", 0, 0.1, alone=0.2, recipe={"base": "ridge"}, **facts),
    )
    (found,) = build(rows)
    assert labels(found.lines) == ["nft (base kernel or ridge, tuned, 4 trials)"]


def test_a_cell_shows_its_base() -> None:
    rows = ledger(cell("recraft", "s/a", 0, 0.1, alone=0.2, **ON_KERNEL))
    shown = text_of(show_cell(rows, CURVE_SCHEMA.empty_table(), rows["cell_id"][0].as_py()))
    assert (
        "nrmse on test, best_val: base kernel: base alone 0.2, with the network 0.1. What the "
        "network adds" in " ".join(shown.split())
    )


def test_metrics_are_named_where_tasks_have_several() -> None:
    shares = {"metrics": ("accuracy",), "direction": "max", **ON_KERNEL}
    rows = ledger(
        cell("recraft", "s/a", 0, 0.1, alone=0.2, **ON_KERNEL),
        cell("recraft", "s/b", 0, 0.8, alone=0.4, **shares),
    )
    (found,) = build(rows)
    assert (
        "s/a (nrmse) base alone 0.2, with the network 0.1; s/b (accuracy) base alone 0.4, with the "
        "network 0.8. What the network adds: the network takes 50 % off" in found.notes[0]
    )


@pytest.mark.parametrize("alone", [math.inf, -math.inf, math.nan])
def test_a_base_without_a_finite_score_is_left_aside(alone: float) -> None:
    (found,) = build(board(("s/a", 0.2, 0.1), ("s/a", alone, 0.1)))
    (note,) = found.notes
    assert "base alone 0.2, with the network 0.1." in note and note.endswith("chance")
    (found,) = build(rows := board(("s/a", alone, 0.1)))
    assert not found.notes and {one.base_value for one in results(rows)} == {None}
    assert "inf" not in to_markdown([found], ledger="here")
    base = {row["entry"]: row["base_mean"] for row in long_table([found]).to_pylist()}
    assert base["recraft (base kernel)"] is None
    assert "base alone" not in text_of(
        show_cell(rows, CURVE_SCHEMA.empty_table(), rows["cell_id"][0].as_py())
    )


def test_a_cell_stores_the_scores_of_its_base(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    based = plan_one(per_method={"nft": {"base": "ridge"}})
    alone = plan_one(methods=["ridge"])
    for item in (based, alone):
        assert attempt(job_of(item)).error is None
    found, expected = (values_of(ledger, item.cell.id) for item in (based, alone))
    kept = {(s, m): value for (s, selection, m), value in found.items() if selection == "base"}
    wanted = {(s, m): value for (s, selection, m), value in expected.items() if selection == "last"}
    assert kept == wanted and {split for split, _ in kept} == {"val", "test"}
    assert found["test", "last", "nrmse"] != kept["test", "nrmse"]
    (result,) = [one for one in results(ledger.read()) if one.method == "nft"]
    assert result.base_value == kept["test", "nrmse"]
    (shown,) = build(ledger.read())
    assert "nft (base ridge)" in labels(shown.lines)
    assert json.loads(based.cell.config_json)["own_recipe"] == ["base"]


def test_a_base_that_cannot_be_is_refused_before_anything_runs(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    tasks = ["pdebench/advection", "nasbench360/satellite"]
    for where in ({"recipe": {"base": "kernel"}}, {"per_method": {"nft": {"base": "kernel"}}}):
        grid = tiny_grid(tasks=tasks, **where)
        with pytest.raises(RequestError, match=r"satellite: base 'kernel' .* classific"):
            make_plan(grid, ledger, data_root)
    # Nor may a search draw what the run could not train.
    space = {"nft": {"base": {"choice": ["mean", "ridge"]}}}
    grid = tiny_grid(tasks=tasks, search={"trials": 2, "space": space})
    with pytest.raises(RequestError, match=r"satellite: base 'ridge' .* classific"):
        make_plan(grid, ledger, data_root)
    # Methods that have no network, and tasks that are left out or say otherwise, are as they were.
    for grid in (
        tiny_grid(tasks=tasks, methods=["ridge"], recipe={"base": "kernel"}),
        tiny_grid(tasks=tasks, recipe={"base": "kernel"}, leave_out={"nft": ["nasbench360/*"]}),
        tiny_grid(tasks=tasks, recipe={"base": "kernel"}, per_task={tasks[1]: {"base": "mean"}}),
    ):
        assert make_plan(grid, ledger, data_root)


@pytest.mark.parametrize(
    ("task", "why"),
    [("nasbench360/psicov", "decoded batch by batch"), ("nasbench360/cosmic", "its targets are")],
)
def test_stored_or_augmented_images_are_no_fields(
    task: str, why: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    with pytest.raises(RequestError, match=why):
        make_plan(tiny_grid(tasks=[task], recipe={"base": "ridge"}), ledger, data_root)
