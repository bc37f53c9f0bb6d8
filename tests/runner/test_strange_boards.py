"""Boards of odd ledgers: every format shows them, and says no more than can be said."""

import functools

import pytest

from runner.report.export import BOARD_FORMATS
from tests.runner.boards import THREE, build, cell, grid, labels, ledger

STRANGE = "a & b_c %<x> $y$ | \\z"
ONE_TASK = {name: {"s/a": tasks["s/a"]} for name, tasks in THREE.items()}
TIES = {name: {f"s/{n}": 0.5 for n in range(4)} for name in ("orca", "nft", "pare")}
MANY = {f"method-{n:03}": {f"s/t{t}": 1 + (n * t) % 97 for t in range(3)} for n in range(200)}
BOARDS = {
    "one method": grid({"orca": THREE["orca"]}),
    "one task": grid(ONE_TASK),
    "one method, one task, one seed": grid({"orca": {"s/a": 0.1}}, seeds=(0,)),
    "one seed": grid(THREE, seeds=(0,)),
    "ties everywhere": [
        cell(method, task, seed, 0.5)
        for method, tasks in TIES.items()
        for task in tasks
        for seed in range(3)
    ],
    "zero and huge": grid({"orca": {"s/a": 0.0, "s/b": 1e30}, "nft": {"s/a": 1e-300, "s/b": 1.0}}),
    "below zero": grid({"orca": {"s/a": -3.0, "s/b": -1.0}, "nft": {"s/a": -1.0, "s/b": 0.0}}),
    "missing seeds": [*grid(THREE), cell("mona", "s/a", 0, 0.1)],
    "nobody complete": [cell("orca", "s/a", 0, 0.1), cell("nft", "s/b", 0, 0.1)],
    "all failed but one": [
        cell("orca", "s/a", 0, 0.1),
        *[cell("nft", "s/a", seed, None, failure="oom") for seed in range(2)],
    ],
    "200 methods": grid(MANY, seeds=(0,)),
    "strange names": [
        cell("orca", "s/a", 0, 0.1, method_config={"loss": STRANGE}),
        cell("orca", "s/a", 0, 0.2, method_config={"loss": "b"}),
    ],
}


@functools.cache
def board_of(name):
    (board,) = build(ledger(*BOARDS[name]))
    return board


@pytest.mark.parametrize("format", BOARD_FORMATS)
@pytest.mark.parametrize("name", BOARDS)
def test_every_format_shows_every_board(name, format):
    board = board_of(name)
    content = BOARD_FORMATS[format].content([board], "results", True)
    if format != "arrow":
        text = content.decode()
        assert "nan" not in text.replace("nanoseconds", "") and "None" not in text
        # Names that no format changes.
        assert all(line.label in text for line in board.lines if line.label.isalpha())


def statistics_of(name):
    return " ".join(board_of(name).statistics)


def test_what_cannot_be_said_is_said():
    assert statistics_of("one method") == "orca is alone, so there is nothing to compare it with."
    assert "no test over tasks was made" in statistics_of("one task")
    assert "All entries tie on all tasks" in statistics_of("ties everywhere")
    assert "With a single seed nothing can be said about chance" in statistics_of("one seed")
    assert "No entry is ranked" in statistics_of("nobody complete")
    assert "from each of the 199 others apart whatever the result" in statistics_of("200 methods")


def test_ties_everywhere_rank_all_in_the_middle():
    board = board_of("ties everywhere")
    assert {line.average_rank for line in board.ranked} == {2.0}
    assert {line.win_rate for line in board.ranked} == {0.5}
    assert {line.rank_interval for line in board.ranked} == {(2.0, 2.0)}
    assert all(score.close for line in board.ranked for score in line.scores.values())


@pytest.mark.parametrize("names", [("nrmse", 1, 2), ("nrmse", 1, 1)])
def test_versions_of_a_metric_are_never_averaged(names):
    metric, one, other = names
    cells = [
        cell("orca", "s/a", 0, 0.1, metric_versions={metric: one}),
        cell("orca", "s/a", 1, 0.2, metric_versions={metric: one}),
        cell("orca", "s/a", 2, 9.0, metric_versions={metric: other}),
    ]
    (board,) = build(ledger(*cells))
    seeds = board.ranked[0].scores["s/a"].seeds
    assert seeds == ((0, 1) if one != other else (0, 1, 2))
    assert bool(board.notes) == (one != other)
    if board.notes:
        assert "1 cell of s/a under other settings (metric_versions) is left out" in board.notes[0]


def test_protocols_never_share_a_board():
    cells = [*grid(THREE), *grid({"mona": {"s/a": 0.01}}, protocol="released")]
    (board,) = build(ledger(*cells))
    assert "mona" not in labels(board.lines)
