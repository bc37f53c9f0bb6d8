import math

import pytest

from runner.report.terminal import to_terminal
from runner.schema import SCHEMA
from tests.runner.boards import ADVECTION, DARCY, THREE, build, cell, grid, labels, ledger, text_of
from xmft.errors import RequestError


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
    assert "Leaderboard: pdebench, official data" in shown
    assert "Leaderboard: pdebench, generated data" in shown


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
