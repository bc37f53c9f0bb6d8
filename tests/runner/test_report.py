import csv
import hashlib
import io
import itertools
import json
import math
import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from runner.report import (
    build,
    long_table,
    show_cell,
    status_table,
    summary,
    to_csv,
    to_markdown,
    to_terminal,
    write,
)
from runner.report.published import CAUTION
from runner.report.ranks import standings
from runner.report.status import failures_table
from runner.report.wording import duration, plus_minus
from runner.schema import CURVE_SCHEMA, SCHEMA, Attempt, CurvePoint, MetricValue, attempt_table
from runner.schema import curve_table as table_of_curves
from xmft.errors import RequestError

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
ADVECTION, DARCY = "pdebench/advection", "pdebench/darcy"


def cell(
    method,
    task,
    seed,
    value,
    *,
    attempt=1,
    failure=None,
    metrics=("nrmse", "rmse"),
    direction="min",
    origin="generated",
    protocol="clean",
    day=0,
    wall_s=10.0,
    floor=None,
    **config,
):
    """The rows of one attempt; `config` overrides what the cell id is the hash of."""
    config = {
        "task": task,
        "task_version": 1,
        "method": method,
        "method_version": 1,
        "method_config": {},
        "recipe": {"epochs": 20},
        "backbone": "minilm",
        "weights": "w0",
        "source": None,
        "protocol": protocol,
        "seed": seed,
        "data": f"{origin}-{task}",
        "metric_versions": dict.fromkeys(metrics, 1),
    } | config
    text = json.dumps(config)
    score = MetricValue(
        split="test",
        selection="best_val",
        metric=metrics[0],
        metric_version=1,
        direction=direction,
        value=0.0 if value is None else value,
        epoch=3,
    )
    # What must be left aside: another metric, another split, another selection.
    scores = (
        replace(score, metric=metrics[-1], value=99.0) if len(metrics) > 1 else score,
        replace(score, split="val", value=98.0),
        replace(score, selection="last", value=97.0),
        score,
    )
    if floor is not None:
        reference = {"selection": "reference", "metric": "error_floor", "epoch": 0}
        scores += (replace(score, **reference, value=floor),)
    record = Attempt(
        cell_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        task=task,
        suite=task.split("/")[0],
        task_version=config["task_version"],
        method=method,
        method_version=config["method_version"],
        backbone=config["backbone"],
        seed=seed,
        protocol=protocol,
        data_origin=None if failure else origin,  # a failure may come before the data
        status="failed" if failure else "ok",
        failure=failure,
        error="[red]boom" if failure else None,
        align_s=1.0,
        fit_s=5.0,
        wall_s=wall_s,
        worker_count=1,
        device="cpu",
        precision="float32",
        git_revision="abc",
        git_dirty=False,
        versions={"torch": "2"},
        host="laptop",
        started_at=EPOCH,
        finished_at=EPOCH + timedelta(days=day),
        config_json=text,
        metrics=() if failure else scores,
    )
    return attempt_table(record, attempt)


def ledger(*tables):
    return pa.concat_tables(tables)


def grid(values, seeds=(0, 1), **options):
    """Cells for {method: {task: mean}}, scattered symmetrically around the mean."""
    return [
        cell(method, task, seed, mean + shift, **options)
        for method, tasks in values.items()
        for task, mean in tasks.items()
        for seed, shift in zip(seeds, (-0.01, 0.01), strict=False)
    ]


def labels(lines):
    return [line.label for line in lines]


def text_of(renderable, width=200):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(renderable)
    return console.export_text()


# Three entries on three tasks, worked by hand. On b, orca and pare tie at rank 1.5.
#         a        b         c       average
# orca  0.10 (1)  0.50 (1.5)  0.9 (3)   5.5/3
# pare  0.20 (2)  0.50 (1.5)  0.7 (1)   4.5/3
# nft   0.30 (3)  0.60 (3)    0.8 (2)   8/3
THREE = {
    "orca": {"s/a": 0.10, "s/b": 0.50, "s/c": 0.9},
    "pare": {"s/a": 0.20, "s/b": 0.50, "s/c": 0.7},
    "nft": {"s/a": 0.30, "s/b": 0.60, "s/c": 0.8},
}


def test_hand_worked_example_with_a_tie():
    (board,) = build(ledger(*grid(THREE)))
    assert labels(board.ranked) == ["pare", "orca", "nft"]
    assert [line.average_rank for line in board.ranked] == pytest.approx([1.5, 5.5 / 3, 8 / 3])
    ranks = {
        (line.label, task): score.rank
        for line in board.lines
        for task, score in line.scores.items()
    }
    assert ranks["orca", "s/b"] == ranks["pare", "s/b"] == 1.5
    assert ranks["nft", "s/b"] == 3
    assert [ranks["orca", "s/c"], ranks["pare", "s/c"], ranks["nft", "s/c"]] == [3, 1, 2]
    score = board.ranked[1].scores["s/a"]
    assert score.mean == pytest.approx(0.10)
    assert score.std == pytest.approx(0.02 / math.sqrt(2))
    assert score.seeds == (0, 1)
    assert board.unranked == ()
    assert {(column.metric, column.direction) for column in board.tasks} == {("nrmse", "min")}


def test_standings_against_brute_force():
    random = np.random.default_rng(0)
    entries, tasks, seeds = list("abcde"), ["t0", "t1", "t2", "t3"], range(3)
    # Few distinct values, so that ties happen.
    value = {key: float(random.integers(0, 3)) for key in itertools.product(entries, tasks, seeds)}
    for key in (("b", "t2", 1), ("d", "t0", 0), ("d", "t0", 1), ("d", "t0", 2)):
        del value[key]
    directions = {"t0": "min", "t1": "max", "t2": "min", "t3": "max"}
    scores = pd.DataFrame([(*key, number) for key, number in value.items()]).set_axis(
        ["entry", "task", "seed", "value"], axis=1
    )
    found = standings(scores, directions, entries)
    complete = ["a", "c", "e"]
    mean = {
        (entry, task): statistics.fmean(value[entry, task, seed] for seed in seeds)
        for entry in complete
        for task in tasks
    }
    for entry in complete:
        ranks = []
        for task in tasks:
            sign = -1 if directions[task] == "max" else 1
            better = sum(sign * mean[other, task] < sign * mean[entry, task] for other in complete)
            equal = sum(mean[other, task] == mean[entry, task] for other in complete)
            ranks.append(better + (equal + 1) / 2)
            assert found.rank.at[entry, task] == ranks[-1]
            assert found.mean_of(entry, task) == pytest.approx(mean[entry, task])
            assert found.std.at[entry, task] == pytest.approx(
                statistics.stdev(value[entry, task, seed] for seed in seeds)
            )
        assert found.average_rank[entry] == pytest.approx(statistics.fmean(ranks))
    for entry in ("b", "d"):
        assert found.rank.loc[entry].isna().all()
        assert math.isnan(found.average_rank[entry])
    assert found.present["b", "t2"] == (0, 2)
    assert found.mean_of("b", "t2") == pytest.approx(
        (value["b", "t2", 0] + value["b", "t2", 2]) / 2
    )
    assert found.present["d", "t0"] == ()


def test_two_values_for_one_seed_are_refused():
    scores = pd.DataFrame(
        {"entry": ["a", "a"], "task": ["t", "t"], "seed": [0, 0], "value": [1.0, 2.0]}
    )
    with pytest.raises(ValueError, match="a has two values for seed 0 of t"):
        standings(scores, {"t": "min"}, ["a"])


def test_higher_is_better_where_the_metric_says_so():
    cells = [
        cell("orca", "s/a", 0, 0.9, metrics=("accuracy",), direction="max"),
        cell("nft", "s/a", 0, 0.8, metrics=("accuracy",), direction="max"),
    ]
    (board,) = build(ledger(*cells))
    assert labels(board.ranked) == ["orca", "nft"]
    assert "accuracy ↑ · 1 seed" in text_of(to_terminal([board]))


def test_incomplete_entries_are_listed_unranked_and_take_no_rank():
    values = {
        "orca": {ADVECTION: 0.2, DARCY: 0.2},
        "nft": {ADVECTION: 0.3, DARCY: 0.3},
        "pare": {ADVECTION: 0.1, DARCY: 0.1},
        "mona": {ADVECTION: 0.1},
    }
    tables = [
        table
        for table in grid(values)
        if (table["method"][0].as_py(), table["task"][0].as_py(), table["seed"][0].as_py())
        != ("pare", DARCY, 1)
    ]
    tables.append(cell("pare", DARCY, 1, None, failure="oom"))
    tables.append(cell("fpt", ADVECTION, 0, None, failure="diverged"))
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == ["orca", "nft"]
    assert [line.average_rank for line in board.ranked] == [1, 2]
    assert labels(board.unranked) == ["mona", "pare", "fpt"]
    mona, pare, fpt = board.unranked
    assert pare.missing == (f"{DARCY} seeds 1 (oom)",)
    assert mona.missing == (DARCY,)
    assert fpt.missing == (f"{ADVECTION} (diverged)", DARCY)
    assert (pare.covered, mona.covered, fpt.covered) == (1, 1, 0)
    assert pare.scores[DARCY].rank is None
    assert pare.scores[DARCY].std is None
    shown = text_of(to_terminal([board]))
    assert f"not ranked: pare lacks {DARCY} seeds 1 (oom)" in shown
    assert "[1 of 2 seeds]" in shown
    assert f"not ranked: fpt lacks {ADVECTION} (diverged); {DARCY}" in shown


def test_a_value_that_is_not_finite_is_missing():
    cells = grid({"orca": {"s/a": 0.2}, "nft": {"s/a": 0.3}})
    (board,) = build(ledger(*cells, cell("pare", "s/a", 0, math.nan)))
    assert labels(board.unranked) == ["pare"]


def test_one_setting_per_task_the_one_with_most_cells():
    few = grid({"orca": {DARCY: 0.1}}, recipe={"epochs": 5}, data="other", day=9)
    many = grid({"orca": {DARCY: 0.4}, "nft": {DARCY: 0.5}})
    (board,) = build(ledger(*few, *many))
    assert board.ranked[0].scores[DARCY].mean == pytest.approx(0.4)
    assert board.notes == (f"2 cells of {DARCY} under other settings (recipe, data) are left out",)


def test_settings_of_equal_size_the_newest_wins():
    old = grid({"orca": {DARCY: 0.1}}, recipe={"epochs": 5}, day=1)
    new = grid({"orca": {DARCY: 0.4}}, day=2)
    for tables in (old + new, new + old):
        (board,) = build(ledger(*tables))
        assert board.ranked[0].scores[DARCY].mean == pytest.approx(0.4)


def test_origins_and_protocols_never_share_a_table():
    tables = (
        grid({"orca": {DARCY: 0.3}})
        + grid({"orca": {DARCY: 0.2}}, origin="official")
        + grid({"orca": {DARCY: 0.1}}, protocol="released", origin="official")
        + grid({"orca": {DARCY: 0.4}}, origin="miniature")
    )
    boards = build(ledger(*tables))
    assert [board.origin for board in boards] == ["official", "generated", "miniature"]
    means = [board.ranked[0].scores[DARCY].mean for board in boards]
    assert means == pytest.approx([0.2, 0.3, 0.4])
    assert "fixtures" in boards[2].notes[0]
    (released,) = build(ledger(*tables), protocol="released")
    assert released.ranked[0].scores[DARCY].mean == pytest.approx(0.1)
    shown = text_of(to_terminal(boards))
    assert "Leaderboard: official data" in shown
    assert "Leaderboard: generated data" in shown


def test_selection_is_asked_for():
    (board,) = build(ledger(*grid(THREE)), selection="last")
    assert board.ranked[0].scores["s/a"].mean == 97


def test_tasks_can_be_chosen():
    (board,) = build(ledger(*grid(THREE)), tasks=["s/[ab]"])
    assert [column.task for column in board.tasks] == ["s/a", "s/b"]


def test_methods_and_seeds_can_be_chosen():
    stray = cell("mona", "s/a", 7, 0.1)
    tables = ledger(*grid(THREE), stray)
    (board,) = build(tables)
    assert not board.ranked  # the seed 7 that the others lack
    (board,) = build(tables, seeds=[0, 1])
    assert len(board.ranked) == 3 and not board.unranked
    assert {column.seeds for column in board.tasks} == {(0, 1)}
    (board,) = build(tables, methods=["p*", "orca"])
    assert labels(board.ranked) == ["orca", "pare"]
    assert [line.average_rank for line in board.ranked] == [1.5, 1.5]


def test_filters_that_match_nothing_are_wrong_requests():
    tables = ledger(*grid(THREE))
    with pytest.raises(RequestError, match=r"No task of the ledger matches 's/z'.*Known"):
        build(tables, tasks=["s/a", "s/z"])
    with pytest.raises(RequestError, match=r"No method of the ledger matches 'par'\. Did you mean"):
        build(tables, methods=["par"])
    with pytest.raises(RequestError, match=r"seed 5\. Known: 0, 1"):
        build(tables, seeds=[0, 5])
    mixed = ledger(*grid(THREE), cell("mona", "s/d", 7, 0.1))
    with pytest.raises(RequestError, match=r"no result for .*tasks s/a, methods mona"):
        build(mixed, tasks=["s/a"], methods=["mona"])


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


# --- error floors ------------------------------------------------------------------------------


def floored():
    return [
        *grid({"orca": {ADVECTION: 0.2}, "nft": {ADVECTION: 0.3}}, floor=1.5e-4),
        *grid({"orca": {DARCY: 0.2}, "nft": {DARCY: 0.3}}),
    ]


def test_floors_stand_under_the_names_of_their_tasks_in_every_format():
    boards = build(ledger(*floored()))
    assert [column.floor for column in boards[0].tasks] == [1.5e-4, None]
    assert boards[0].notes == ()
    shown = text_of(to_terminal(boards, published=False))
    # The name, what was measured, the floor: three lines in one column.
    (at,) = {line.index(ADVECTION) for line in shown.splitlines() if ADVECTION in line}
    (line,) = (line for line in shown.splitlines() if "floor 1.5e-04" in line)
    assert at <= line.index("floor 1.5e-04") < at + len(ADVECTION)
    assert shown.count("floor 1.5e-04") == 1
    assert shown.count("floor: what a perfect solver") == 1
    markdown = to_markdown(boards, ledger="results", published=False)
    (header, _), *_ = markdown_tables(markdown)
    assert header[2:4] == [
        f"{ADVECTION}<br>nrmse ↓ · 2 seeds<br>floor 1.5e-04",
        f"{DARCY}<br>nrmse ↓ · 2 seeds",
    ]
    assert markdown.count("floor: what a perfect solver") == 1
    for row in csv.DictReader(io.StringIO(to_csv(boards, published=False))):
        assert row["floor"] == ("0.00015" if row["task"] == ADVECTION else "")
    table = long_table(boards, published=False)
    assert dict(zip(table["task"].to_pylist(), table["floor"].to_pylist(), strict=True)) == {
        ADVECTION: 1.5e-4,
        DARCY: None,
    }


def test_without_floors_nothing_is_said_of_them():
    boards = build(ledger(*grid(THREE)))
    assert "floor" not in text_of(to_terminal(boards))
    assert "floor" not in to_markdown(boards, ledger="results")


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


def test_the_latest_ok_attempt_counts_and_all_attempts_cost_time():
    tables = [
        cell("orca", "s/a", 0, None, failure="infra", attempt=1, wall_s=3.0),
        cell("orca", "s/a", 0, 0.5, attempt=2, wall_s=4.0),
        cell("orca", "s/a", 0, 0.4, attempt=3, wall_s=5.0),
        cell("orca", "s/a", 0, None, failure="infra", attempt=4, wall_s=6.0),
    ]
    (board,) = build(ledger(*tables))
    (line,) = board.ranked
    assert line.scores["s/a"].mean == 0.4
    assert line.scores["s/a"].std is None
    assert (line.wall_s, line.align_s, line.fit_s) == (18.0, 4.0, 20.0)


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


def test_nothing_to_compare_is_a_wrong_request():
    with pytest.raises(RequestError, match=r"holds no results.*xmft run quick"):
        build(SCHEMA.empty_table())
    failed = ledger(cell("orca", "s/a", 0, None, failure="oom"))
    with pytest.raises(RequestError, match=r"1 oom.*--retry-failed"):
        build(failed)
    with pytest.raises(RequestError, match=r"protocol released.*It holds protocol clean"):
        build(ledger(*grid(THREE)), protocol="released")
    with pytest.raises(RequestError, match=r"selection first.*selection best_val, last"):
        build(ledger(*grid(THREE)), selection="first")


def test_a_task_that_failed_everywhere_is_a_note():
    tables = [
        *grid(THREE),
        cell("orca", "s/d", 0, None, failure="data"),
        cell("fpt", "s/a", 0, None, failure="oom", data="elsewhere"),
    ]
    (board,) = build(ledger(*tables))
    assert board.notes == ("s/d is not on the board, it has no result (1 data)",)
    assert len(board.ranked) == 3


def test_terminal_splits_by_tasks_instead_of_squashing():
    boards = build(ledger(*grid(THREE)))
    wide, narrow = text_of(to_terminal(boards), 160), text_of(to_terminal(boards), 60)
    assert wide.count("entry ") < narrow.count("entry ") == 3
    for shown in (wide, narrow):
        assert "0.1000 ± 0.0141 (1)" in shown
        assert "0.5000 ± 0.0141 (1.5)" in shown
    assert all(len(line) <= 60 for line in narrow.splitlines())
    assert "sorted by: average rank over 3 tasks" in wide
    assert "metric: nrmse v1 ↓" in wide


def markdown_tables(text):
    """Header and rows of every table."""
    tables, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([part.strip() for part in line.strip("|").split(" | ")])
        elif rows:
            tables.append((rows[0], rows[2:]))
            rows = []
    return tables


def test_markdown_parses():
    values = {name: dict(tasks) for name, tasks in THREE.items()}
    del values["nft"]["s/c"]
    text = to_markdown(build(ledger(*grid(values))), ledger="/data/results--1")
    first = text.splitlines()[0]
    assert first.startswith("<!-- Generated by")
    assert first.endswith("-->")
    assert first.count("--") == 2
    assert "/data/results- -1" in first
    (header, ranked), (other, unranked) = markdown_tables(text)
    assert header == [
        "average rank",
        "entry",
        "s/a<br>nrmse ↓ · 2 seeds",
        "s/b<br>nrmse ↓ · 2 seeds",
        "s/c<br>nrmse ↓ · 2 seeds",
        "tasks",
        "time",
    ]
    assert all(len(row) == len(header) for row in ranked)
    assert [row[1] for row in ranked] == ["orca", "pare"]  # 1.5 each without nft
    assert ranked[0][2] == "**0.1000 ± 0.0141** (1)"
    assert ranked[1][2] == "0.2000 ± 0.0141 (2)"
    assert [row[3] for row in ranked] == ["**0.5000 ± 0.0141** (1.5)"] * 2
    assert ranked[0][5:] == ["3/3", "1m00s (align 6.0s, fit 30s)"]
    (row,) = unranked
    assert row[0] == "nft"
    assert row[-1] == "s/c"
    assert row[other.index("s/c<br>nrmse ↓ · 2 seeds")] == "-"
    assert text == to_markdown(build(ledger(*grid(values))), ledger="/data/results--1")


def test_markdown_escapes_the_bar():
    table = cell("orca", "s/a", 0, 0.1, method_config={"loss": "a|b"})
    other = cell("orca", "s/a", 0, 0.2, method_config={"loss": "c"})
    text = to_markdown(build(ledger(table, other)), ledger="results")
    assert "orca (loss=a\\|b)" in text


def test_csv_round_trip():
    values = {name: dict(tasks) for name, tasks in THREE.items()}
    del values["nft"]["s/c"]
    boards = build(ledger(*grid(values)))
    rows = list(csv.DictReader(io.StringIO(to_csv(boards))))
    assert len(rows) == 9
    by_key = {(row["entry"], row["task"]): row for row in rows}
    for line in boards[0].lines:
        for task, score in line.scores.items():
            row = by_key[line.label, task]
            assert float(row["mean"]) == score.mean
            assert float(row["std"]) == score.std
            assert (row["rank"] and float(row["rank"])) == (score.rank or "")
            assert row["seeds"] == "0 1"
    lacking = by_key["nft", "s/c"]
    assert (lacking["mean"], lacking["seed_count"], lacking["missing"]) == ("", "0", "s/c")
    assert long_table(boards).num_rows == 9


def test_published_numbers_stand_apart_and_match_exactly():
    variant = f"{DARCY}:beta1.0"
    boards = build(ledger(*grid({"orca": {ADVECTION: 0.1, variant: 0.2}})))
    shown = text_of(to_terminal(boards), 250)
    assert CAUTION in shown
    assert " 0.0098 " in shown
    assert "second-hand" in shown
    assert CAUTION not in text_of(to_terminal(boards, published=False), 250)
    header, rows = markdown_tables(to_markdown(boards, ledger="results"))[1]
    assert header[0] == "task"
    assert {row[0] for row in rows} == {ADVECTION}
    assert [row[2] for row in rows] == ["RECRAFT", "MoNA", "ORCA"]
    table = long_table(boards).to_pandas()
    cited = table[table["kind"] == "published"]
    assert set(cited["task"]) == {ADVECTION}
    assert cited["rank"].isna().all()
    assert cited["protocol"].isna().all()
    assert set(long_table(boards, published=False)["kind"].to_pylist()) == {"measured"}


def test_published_numbers_of_another_metric_do_not_match():
    boards = build(ledger(*grid({"orca": {ADVECTION: 0.1}}, metrics=("nrmse_pdebench",))))
    assert CAUTION not in text_of(to_terminal(boards), 250)


@pytest.mark.parametrize("format", ["table", "md", "csv", "arrow"])
def test_write(tmp_path, format):
    path = tmp_path / "out" / f"board.{format}"
    boards = build(ledger(*grid(THREE)))
    write(boards, path, format=format, ledger="results")
    if format == "arrow":
        assert pa.ipc.open_file(path).read_all().equals(long_table(boards))
    else:
        assert "pare" in path.read_text(encoding="utf-8")


def test_write_refusals(tmp_path):
    boards = build(ledger(*grid(THREE)))
    with pytest.raises(RequestError, match=r"Unknown format 'cvs'. Did you mean 'csv'"):
        write(boards, tmp_path / "x", format="cvs", ledger="results")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="--out"):
        write(boards, tmp_path / "file" / "x", format="md", ledger="results")


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (0.012345, 0.000567, "0.01235 ± 0.00057"),
        (12.3456, 1.5, "12.35 ± 1.50"),
        (97.0, None, "97.00"),
        (0.0, None, "0.0000"),
        (12345.6, None, "12346"),
        (0.0000123, 0.0000045, "1.230e-05 ± 4.5e-06"),
        (-0.5, 0.25, "-0.5000 ± 0.2500"),
    ],
)
def test_plus_minus(value, std, text):
    assert plus_minus(value, std) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4s"), (9.97, "10s"), (59.6, "1m00s"), (200, "3m20s"), (18420, "5h07m")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_status_counts_cells_not_attempts():
    tables = [
        cell("orca", "s/a", 0, None, failure="oom", attempt=1),
        cell("orca", "s/a", 0, 0.5, attempt=2),
        cell("nft", "s/a", 0, None, failure="infra", attempt=1),
        cell("nft", "s/a", 0, None, failure="oom", attempt=2),
        cell("pare", "s/b", 0, None, failure="data"),
    ]
    first, second = summary(ledger(*tables))
    assert (first.task, first.ok, first.failed, first.wall_s) == ("s/a", 1, {"oom": 1}, 40.0)
    assert (second.task, second.ok, second.failed) == ("s/b", 0, {"data": 1})
    shown = text_of(status_table(ledger(*tables)))
    assert "oom" in shown
    assert "infra" not in shown
    assert "s/a" in text_of(status_table(ledger(*tables)), 60)
    assert summary(SCHEMA.empty_table()) == []
    assert "all" in text_of(status_table(SCHEMA.empty_table()))


def test_show_cell():
    tables = ledger(
        cell("orca", "s/a", 0, None, failure="oom", attempt=1),
        cell("orca", "s/a", 0, 0.5, attempt=2),
    )
    cell_id = tables["cell_id"][0].as_py()
    curves = table_of_curves(
        [CurvePoint(epoch=e, split="val", name="nrmse", value=1 / e) for e in (2, 1, 4)]
    )
    shown = text_of(show_cell(tables, curves, cell_id))
    for part in (
        cell_id,
        "oom",
        "best_val",
        "0.5",
        '"epochs": 20',
        "git_revision: abc",
        "torch: 2",
    ):
        assert part in shown
    assert "0.25" in shown
    failed = text_of(show_cell(tables.slice(0, 1), CURVE_SCHEMA.empty_table(), cell_id))
    assert "oom: [red]boom" in failed
    with pytest.raises(RequestError, match="no cell 'xyz'"):
        show_cell(tables, curves, "xyz")


def test_failed_cells_are_named_with_their_latest_error():
    table = ledger(
        cell("nft", ADVECTION, 0, None, failure="code"),
        cell("nft", ADVECTION, 0, None, failure="infra", attempt=2),
        cell("orca", DARCY, 1, None, failure="oom"),
        cell("orca", DARCY, 1, 0.5, attempt=2),
    )
    failed = failures_table(table)
    assert failed is not None
    text = text_of(failed)
    assert "infra" in text and "code" not in text
    assert DARCY not in text


def test_nothing_failed():
    assert failures_table(ledger(*grid({"nft": {ADVECTION: 0.1}}))) is None
