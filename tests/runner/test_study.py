from __future__ import annotations

import pytest

from tests.runner.boards import cell
from tests.runner.boards import ledger as ledger_of
from tests.runner.studies import attempt, ledger, rows_of, tables, two_tasks


def test_scores_have_the_mean_and_the_deviation_and_mark_the_best() -> None:
    first, second = rows_of(tables(ledger(*two_tasks()))["scores"])
    assert first == {
        "task": "s/a",
        "metric": "nrmse ↓",
        "floor": "-",
        "recraft": "**0.2000 ± 0.1414**",  # 0.2 / sqrt(2)
        "nft": "0.4000 ± 0.0000",
        "recraft:released": "0.5000 ± 0.0000",
    }
    assert (second["recraft"], second["nft"]) == ("0.4000 ± 0.0000", "**0.3000 ± 0.1414**")


def test_ranks_by_hand() -> None:
    rows = {row["entry"]: row for row in rows_of(tables(ledger(*two_tasks()))["ranks"])}
    assert [(row["average rank"], row["tasks won"]) for row in rows.values()] == [
        ("1.50", "1 of 2"),
        ("1.50", "1 of 2"),
        ("3.00", "0 of 2"),
    ]
    assert (rows["nft"]["stage 1, s"], rows["nft"]["fitting, s"]) == ("2.0", "5.0")


def test_wins_by_hand() -> None:
    rows = {x["recraft against"]: x for x in rows_of(tables(ledger(*two_tasks()))["wins"])}
    assert set(rows) == {"nft", "recraft:released"}
    # Two wins, one loss and one tie; the ratios are 1/2 and 4/3.
    assert [*rows["nft"].values()][1:] == ["1 of 2", "62% of 4", "0.917", "1"]
    # Better on both: of the four ways to sign two differences, the extreme two.
    assert [*rows["recraft:released"].values()][1:] == ["2 of 2", "100% of 4", "0.533", "0.5"]


@pytest.mark.parametrize(("direction", "ours", "theirs"), [("min", 0.2, 0.4), ("max", 0.4, 0.2)])
def test_better_on_every_task_in_either_direction(
    direction: str, ours: float, theirs: float
) -> None:
    cells = [
        attempt(method, f"s/{task}", 0, value, direction=direction)
        for task in range(6)
        for method, value in (("recraft", ours), ("nft", theirs))
    ]
    # Differences of six sizes and one sign.
    cells += [
        attempt("orca", f"s/{task}", 0, theirs * (1 + 0.01 * task), direction=direction)
        for task in range(6)
    ]
    rows = {row["recraft against"]: row for row in rows_of(tables(ledger(*cells))["wins"])}
    assert rows["nft"]["median ratio of errors"] == "0.500"
    assert rows["orca"]["better on"] == "6 of 6"
    assert float(rows["orca"]["p"]) == pytest.approx(2 / 2**6, abs=5e-4)


def test_equal_results_are_half_a_win_and_no_evidence() -> None:
    cells = [attempt(method, "s/a", 0, 0.5) for method in ("recraft", "nft")]
    (row,) = rows_of(tables(ledger(*cells))["wins"])
    assert [*row.values()] == ["nft", "0 of 1", "50% of 1", "1.000", "-"]


def test_what_is_incomplete_is_compared_on_what_both_have_but_not_ranked() -> None:
    cells = [
        cell
        for cell in two_tasks()
        if (cell.method, cell.task, cell.seed) != ("recraft:released", "s/b", 1)
    ]
    made = tables(ledger(*cells, attempt("recraft:released", "s/b", 1, None)))
    rows = {row["entry"]: row for row in rows_of(made["ranks"])}
    assert rows["recraft:released"]["average rank"] == "-"
    assert rows["recraft:released"]["missing"] == "s/b seeds 1 (oom)"
    assert rows["recraft"]["average rank"] == "1.50"
    assert rows_of(made["scores"])[1]["recraft:released"] == "0.6000 [1 of 2 seeds]"
    wins = {row["recraft against"]: row for row in rows_of(made["wins"])}
    assert wins["recraft:released"]["win rate over tasks and seeds"] == "100% of 3"


def test_without_our_method_there_is_nothing_to_win() -> None:
    cells = [attempt(method, "s/a", 0, 0.5) for method in ("orca", "nft")]
    assert rows_of(tables(ledger(*cells))["wins"]) == []


def test_the_last_epoch_on_request() -> None:
    cells = [attempt("recraft", "s/a", 0, 0.5, last=0.25)]
    (row,) = rows_of(tables(ledger(*cells), selection="last")["scores"])
    assert "0.2500" in row["recraft"]


def test_the_setting_says_what_was_run_and_where_nothing() -> None:
    text = tables(ledger(*two_tasks()))["setting"]
    assert "cells: 12, of which 12 have a result; seeds 0, 1" in text
    assert "recipe: epochs 20, samples 100" in text
    assert "code: 0123456789ab" in text and "torch 2" in text
    assert "from 2025-03-04 to 2025-03-04" in text
    assert "secret-host" not in text
    for method in ("nft", "recraft", "recraft:released"):
        assert f'* options of {method}: `{{"preset": "{method}"}}`' in text


def test_what_differs_between_tasks_is_a_table() -> None:
    cells = [
        attempt("recraft", "s/a", 0, 0.5, recipe={"resolution": 32}),
        attempt("recraft", "s/b", 0, 0.5, recipe={"resolution": None}),
    ]
    assert rows_of(tables(ledger(*cells))["setting"]) == [
        {"task": "s/a", "resolution": "32"},
        {"task": "s/b", "resolution": "null"},
    ]


def test_what_is_said_of_a_method_alone_stands_apart() -> None:
    """A search may choose another value on each task."""
    shared = {"epochs": 20, "samples": 100}
    searched = {"trials": 2, "fields": ["rate"]}
    cells = [
        *(cell("nft", task, 0, 0.4, recipe=shared) for task in ("s/a", "s/b")),
        *(
            cell(
                "nft:longer",
                task,
                0,
                0.3,
                recipe=shared | own,
                own_recipe=list(own),
                tuned=searched,
            )
            for task, own in (
                ("s/a", {"epochs": 80, "rate": 1.0}),
                ("s/b", {"epochs": 80, "rate": 2.0}),
            )
        ),
    ]
    text = tables(ledger_of(*cells), ours="")["setting"]
    assert "* recipe: epochs 20, samples 100\n" in text
    assert "* recipe of nft:longer (tuned, 2 trials) alone: epochs 80, rate 1.0 or 2.0\n" in text


def test_data_of_two_origins_do_not_share_a_table() -> None:
    cells = [
        attempt("recraft", "s/a", 0, 0.5),
        attempt("recraft", "s/b", 0, 0.5, origin="official"),
    ]
    for text in tables(ledger(*cells)).values():
        assert text.startswith("**Official data, 1 task**")
        assert text.count("**Generated data, 1 task**") == 1
    scores = tables(ledger(*cells))["scores"].split("**Generated data, 1 task**")
    assert [[row["task"] for row in rows_of(part)] for part in scores] == [["s/b"], ["s/a"]]


def test_any_method_can_be_set_against_the_others() -> None:
    rows = rows_of(tables(ledger(*two_tasks()), ours="nft")["wins"])
    assert [row["nft against"] for row in rows] == ["recraft", "recraft:released"]
    assert "No method" in tables(ledger(*two_tasks()), ours="")["wins"]
