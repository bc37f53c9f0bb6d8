"""What is marked beside the best, why a place is empty, and what sums a line up."""

import pytest

from runner.report.terminal import to_terminal
from runner.schema import attempt_table
from runner.usage import Usage
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.boards import THREE, build, cell, grid, ledger, text_of


def runs(method, values, **options):
    return [cell(method, "s/a", seed, value, **options) for seed, value in enumerate(values)]


def line_of(board, label):
    return next(line for line in board.lines if line.label == label)


def close(board, task="s/a"):
    return {line.label for line in board.lines if line.scores[task].close}


@pytest.mark.parametrize(("direction", "sign"), [("min", 1), ("max", -1)])
def test_the_best_and_those_not_significantly_worse_are_marked(direction, sign):
    options = {"direction": direction, "metrics": ("score",)}
    scores = {
        "orca": [0.10, 0.12, 0.11, 0.13, 0.09],
        "pare": [0.11, 0.13, 0.12, 0.12, 0.10],  # a hair worse, within the spread
        "nft": [0.50, 0.52, 0.51, 0.53, 0.49],
    }
    cells = [
        c for m, values in scores.items() for c in runs(m, [sign * v for v in values], **options)
    ]
    (board,) = build(ledger(*cells))
    assert close(board) == {"orca", "pare"}


def test_one_seed_says_nothing_and_no_spread_says_all():
    (board,) = build(ledger(*runs("orca", [0.1]), *runs("pare", [0.1000001])))
    assert close(board) == {"orca"}
    same = ledger(*runs("orca", [0.1] * 3), *runs("pare", [0.1001] * 3))
    assert close(build(same)[0]) == {"orca"}
    tied = ledger(*runs("orca", [0.1] * 3), *runs("pare", [0.1] * 3))
    assert close(build(tied)[0]) == {"orca", "pare"}


def test_entries_that_are_not_ranked_are_not_marked():
    cells = [*grid(THREE), cell("mona", "s/a", 0, 0.001)]
    (board,) = build(ledger(*cells))
    assert "mona" not in close(board)
    assert line_of(board, "mona").rank_interval is None


def test_what_sums_a_line_up_by_hand():
    (board,) = build(ledger(*grid(THREE)))
    #        a            b              c
    # orca   beats two    beats one, ties  none     (2 + 1.5 + 0) / 6
    # pare   beats one    likewise         two      (1 + 1.5 + 2) / 6
    # nft    none         none             one      1 / 6
    rates = {line.label: line.win_rate for line in board.lines}
    assert rates == pytest.approx({"orca": 3.5 / 6, "pare": 4.5 / 6, "nft": 1 / 6})
    # 1 for the best, 0 for the median (0.2, 0.5, 0.8) and below; on b the median is the best.
    scores = {line.label: line.normalised for line in board.lines}
    assert scores["pare"] == pytest.approx(2 / 3) and scores["orca"] == pytest.approx(2 / 3)
    for line in board.lines:
        low, high = line.rank_interval
        ranks = [score.rank for score in line.scores.values()]
        assert min(ranks) <= low <= line.average_rank <= high <= max(ranks)


def test_failures_stand_where_the_results_would():
    cells = [
        *grid(THREE),
        *[cell("mona", task, 0, 0.9) for task in ("s/a", "s/b")],
        cell("mona", "s/a", 1, None, failure="oom"),
        cell("mona", "s/c", 0, None, failure="diverged"),
        cell("mona", "s/c", 1, None, failure="oom"),
    ]
    (board,) = build(ledger(*cells))
    mona = line_of(board, "mona")
    assert mona.failures == {"s/a": "oom", "s/c": "1 diverged, 1 oom"}
    assert mona.missing == ("s/a seeds 1 (oom)", "s/b seeds 1", "s/c (1 diverged, 1 oom)")


def test_a_seed_that_failed_everywhere_is_told():
    cells = [
        cell(method, "s/a", seed, 0.1 if seed == 0 else None, failure="oom" if seed else None)
        for method in ("orca", "nft")
        for seed in (0, 1)
    ]
    (board,) = build(ledger(*cells))
    assert [line.label for line in board.ranked] == ["nft", "orca"]
    assert board.notes == ("seed 1 of s/a has no result of any entry (2 oom): it counts for none",)


def test_an_entry_that_failed_on_a_seed_of_its_own_says_so():
    cells = [*runs("orca", [0.1]), cell("nft", "s/a", 7, None, failure="diverged")]
    (board,) = build(ledger(*cells))
    nft = line_of(board, "nft")
    assert nft.failures == {"s/a": "diverged"} and nft.missing == ("s/a (diverged)",)


def test_gpu_time_is_that_of_all_attempts_and_nothing_on_cpus():
    attempts = [
        attempt_of(cell_of(), score_of(0.1), usage=Usage(gpu_s=1800.0)),
        attempt_of(cell_of(), failure="infra", usage=Usage(gpu_s=3600.0)),
        attempt_of(cell_of(method="nft"), score_of(0.2)),
    ]
    tables = [attempt_table(one, number) for number, one in enumerate(attempts, start=1)]
    (board,) = build(ledger(*tables))
    assert {line.label: line.gpu_s for line in board.lines} == {"orca": 5400.0, "nft": 0.0}
    shown = text_of(to_terminal([board]))
    assert "GPU-h" in shown and " 1.50 " in shown
    assert "GPU-h" not in text_of(to_terminal(build(ledger(*grid(THREE)))))
