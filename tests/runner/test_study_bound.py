from __future__ import annotations

import pyarrow as pa

from runner.schema import attempt_table
from tests.runner.studies import attempt, ledger, measured, rows_of, tables


def test_terms_are_means_over_seeds_before_and_after() -> None:
    cells = [
        attempt("recraft", "s/a", seed, 0.5, terms=measured(9.0 + seed, 4.0 + seed))
        for seed in (0, 1)
    ]
    cells.append(attempt("nft", "s/a", 0, 0.5, terms={"last/target_fit/12": 3.0}))
    assert rows_of(tables(ledger(*cells))["bound"]) == [
        {
            "task": "s/a",
            "entry": "recraft",
            "W2": "9.5 → 4.5",
            "violations, source": "0.125",
            "training loss": "9",
        }
    ]


def test_of_two_stages_the_first_is_before_and_the_second_after() -> None:
    terms = {
        "before_alignment/alignment_distortion/0": 2.0,
        "after_alignment/alignment_distortion/6": 1.75,
        "before_distortion/distortion_distortion/6": 1.75,
        "after_distortion/distortion_distortion/10": 1.5,
    }
    (row,) = rows_of(tables(ledger(attempt("recraft", "s/a", 0, 0.5, terms=terms)))["bound"])
    assert row["H(Z'|Z)"] == "2 → 1.5"


def test_terms_are_those_of_the_attempt_that_counts() -> None:
    old, new = (
        attempt("recraft", "s/a", 0, 0.5, terms=measured(9.0, after)) for after in (5.0, 4.0)
    )
    both = pa.concat_tables([attempt_table(old, 1), attempt_table(new, 2)])
    assert rows_of(tables(both)["bound"])[0]["W2"] == "9 → 4"


def test_correlations_with_the_error_by_hand() -> None:
    # On a the error grows with W2 after stage 1; on b ranks 1, 2, 3 meet 2, 1, 3:
    # 1 - 6 * 2 / (3 * 8) = 0.5. The change is -1, -3, -2 on a (-0.5) and -1, -1, -1 on b.
    table = [
        ("s/a", 0, 0.1, measured(2.0, 1.0)),
        ("s/a", 1, 0.2, measured(5.0, 2.0)),
        ("s/a", 2, 0.3, measured(5.0, 3.0)),
        ("s/b", 0, 0.2, measured(2.0, 1.0)),
        ("s/b", 1, 0.1, measured(3.0, 2.0)),
        ("s/b", 2, 0.3, measured(4.0, 3.0)),
        ("s/c", 0, 0.2, measured(2.0, 1.0)),  # too few
    ]
    cells = [attempt("recraft", task, seed, e, terms=terms) for task, seed, e, terms in table]
    cells += [attempt("nft", "s/a", 0, 0.9, terms={"last/target_fit/12": 3.0})]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    assert rows["W2"]["value after stage 1"] == "+0.75 (2 tasks, 6 cells)"
    assert rows["W2"]["change by stage 1"] == "-0.50 (1 task, 3 cells)"
    assert rows["training loss"]["value after stage 1"] == "+0.75 (2 tasks, 6 cells)"
    assert rows["violations, source"]["value after stage 1"] == "-"  # never differs
    assert rows["W1"]["value after stage 1"] == "-"


def test_what_means_something_else_in_another_cell_is_not_correlated() -> None:
    def terms(number: float) -> dict[str, float]:
        return {
            f"after_alignment/alignment_{term}/6": number
            for term in ("w2", "distortion", "target_fit")
        }

    usual, own = {"plain_steps": 10}, {"plain_steps": 20}
    # In recraft all terms grow with the error. In the others they fall.
    cells = [
        attempt("recraft", "s/a", n, 0.1 + 0.1 * n, terms=terms(n), predictor=usual)
        for n in range(4)
    ]
    cells += [
        attempt(method, "s/a", n, 0.1 + 0.1 * n, terms=terms(-n), predictor=predictor)
        for method, predictor in (("recraft:released", own), ("mona", usual))
        for n in range(3)
    ]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    counted = {name: row["value after stage 1"] for name, row in rows.items()}
    assert counted["W2"].endswith("10 cells)")
    assert counted["H(Z'|Z)"].endswith("7 cells)") and counted["target fit"].endswith("7 cells)")
    only = [cell for cell in cells if cell.method != "mona"]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*only))["bound-error"])}
    assert rows["H(Z'|Z)"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"
    only = [cell for cell in cells if cell.method != "recraft:released"]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*only))["bound-error"])}
    assert rows["target fit"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"
    # A head that learns with the task's loss is none as it was drawn, whatever the method.
    learned = attempt("recraft", "s/a", 9, 0.01, terms=terms(9), predictor=usual, task_weight=1.0)
    rows = {row["term"]: row for row in rows_of(tables(ledger(*only, learned))["bound-error"])}
    assert rows["target fit"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"
    assert rows["W2"]["value after stage 1"].endswith("8 cells)")
    # A predictor on an encoder of random weights is another, however it was trained.
    twins = [
        attempt("recraft-scratch", "s/a", n, 0.5 - 0.1 * n, terms=terms(n), predictor=usual)
        for n in range(3)
    ]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells[:4], *twins))["bound-error"])}
    assert rows["H(Z'|Z)"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"
    assert rows["W2"]["value after stage 1"].endswith("7 cells)")


def test_what_is_no_term_is_not_among_them() -> None:
    chosen = {"after_fitting/fitting_neighbours/1": 3.0}
    cells = [
        attempt("recraft", "s/a", 0, 0.1, terms=measured(9.0, 4.0)),
        attempt("knn", "s/a", 0, 0.2, terms=chosen),
    ]
    found = tables(ledger(*cells))
    assert [row["entry"] for row in rows_of(found["bound"])] == ["recraft"]
    assert "No cell" in tables(ledger(cells[1]))["bound"]


def test_where_higher_is_better_the_error_is_the_other_way_round() -> None:
    cells = [
        attempt("recraft", "s/a", n, 0.1 * (n + 1), terms=measured(9.0, n), direction="max")
        for n in range(3)
    ]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    assert rows["W2"]["value after stage 1"] == "-1.00 (1 task, 3 cells)"
