"""Boards per suite, over the suites, and over tasks of different origin."""

import pytest

from runner.report.terminal import to_terminal
from tests.runner.boards import ADVECTION, DARCY, build, cell, grid, labels, ledger, text_of

ECG = "nasbench360/ecg"


def names(boards):
    return [board.name for board in boards]


def columns(board):
    return [(column.task, column.origin) for column in board.tasks]


def test_one_suite_has_one_board():
    (board,) = build(ledger(*grid({"orca": {DARCY: 0.1, ADVECTION: 0.2}})))
    assert (board.name, board.suite) == ("pdebench-generated", "pdebench")


def test_suites_have_boards_of_their_own_and_one_over_all():
    values = {"orca": {DARCY: 0.1, ADVECTION: 0.2, ECG: 0.9}, "nft": {DARCY: 0.2, ECG: 0.8}}
    boards = build(ledger(*grid(values)))
    assert names(boards) == ["nasbench360-generated", "pdebench-generated", "all-generated"]
    first, second, both = boards
    assert labels(first.ranked) == ["nft", "orca"]
    assert (labels(second.ranked), labels(second.unranked)) == (["orca"], ["nft"])
    assert columns(both) == [(t, "generated") for t in (ECG, ADVECTION, DARCY)]
    assert (labels(both.ranked), labels(both.unranked)) == (["orca"], ["nft"])
    assert both.suite is None and not both.overall
    assert "Leaderboard: all suites, generated data" in text_of(to_terminal(boards))


def test_a_task_of_another_suite_that_failed_everywhere_is_still_told():
    tables = [*grid({"orca": {DARCY: 0.1}}), cell("orca", ECG, 0, None, failure="oom")]
    (board,) = build(ledger(*tables))
    assert board.notes == (f"{ECG} is not on the board, it has no result (1 oom)",)
    (*_, both) = build(ledger(*tables, *grid({"orca": {"s/a": 0.1}})))
    assert both.notes == (f"{ECG} is not on the board, it has no result (1 oom)",)


def over_origins():
    return [
        *grid({"orca": {DARCY: 0.1}, "nft": {DARCY: 0.2}}, origin="official"),
        *grid({"orca": {ADVECTION: 9.0}, "nft": {ADVECTION: 8.0}}),
        *grid({"orca": {ECG: 0.3}, "nft": {ECG: 0.4}}, origin="miniature"),
    ]


def test_overall_ranks_each_task_within_its_own_origin():
    assert "overall" not in names(build(ledger(*over_origins())))
    *_, board = build(ledger(*over_origins()), overall=True)
    assert (board.name, board.overall) == ("overall", True)
    assert columns(board) == [(ECG, "miniature"), (ADVECTION, "generated"), (DARCY, "official")]
    # orca is first on two of three tasks.
    assert [(line.label, line.average_rank) for line in board.ranked] == [
        ("orca", pytest.approx(4 / 3)),
        ("nft", pytest.approx(5 / 3)),
    ]
    shown = text_of(to_terminal([board]))
    assert "Leaderboard: overall, official, generated, miniature data" in shown
    assert "overall: each task is ranked on data of one origin" in shown
    assert all(f"{origin} data" in shown for origin in ("official", "generated", "miniature"))
    assert any("fixtures" in note for note in board.notes)


def test_a_task_with_two_origins_is_on_the_overall_board_once():
    both = [
        *over_origins(),
        *grid({"orca": {DARCY: 0.7}}),
        *grid({name: {ADVECTION: 0.5} for name in ("orca", "nft")}, origin="official"),
    ]
    *_, board = build(ledger(*both), overall=True)
    # Of darcy more is official; of advection there is as much of both, and official goes first.
    assert columns(board) == [(ECG, "miniature"), (ADVECTION, "official"), (DARCY, "official")]
    told = [note for note in board.notes if "left out" in note]
    assert told == [
        f"{task} is compared on official data, its results on generated data are left out"
        for task in (ADVECTION, DARCY)
    ]


def test_overall_of_a_single_origin_is_no_further_board():
    tables = ledger(*grid({"orca": {DARCY: 0.1, ECG: 0.1}}))
    assert names(build(tables, overall=True)) == names(build(tables))


@pytest.mark.parametrize("overall", [False, True])
def test_a_query_is_a_command_that_asks_it_again(overall):
    *_, board = build(
        ledger(*over_origins()), overall=overall, tasks=["pdebench/*", ECG], seeds=[0, 1]
    )
    assert board.query.command() == (
        f"xmft leaderboard --results results --tasks 'pdebench/*' {ECG} --seeds 0 1"
        + (" --overall" if overall else "")
    )
