from dataclasses import replace

from runner.compaction import compact
from runner.conflicts import CONFLICT_COLUMNS, conflicts, told
from runner.report.compare import build
from runner.report.status import overview
from runner.results import RESULT_COLUMNS
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.boards import text_of


def attempt(value, *more):
    return attempt_of(cell_of(), score_of(value), score_of(9.0, selection="last"), *more)


def test_an_ok_attempt_with_other_values_is_told(ledger):
    for value in (0.5, 0.25, 0.5):
        ledger.write_attempt(attempt(value))
    ledger.write_attempt(attempt_of(cell_of(), failure="oom"))
    (one,) = conflicts(ledger.read())
    assert one.cell_id == cell_of().id
    assert one.text == (
        f"pdebench/advection orca seed 0 (cell {cell_of().id}): attempt 2 is ok with other values "
        "than attempt 3, which counts: test best_val nrmse 0.25 instead of 0.5"
    )
    compact(ledger)
    rows = ledger.rows(RESULT_COLUMNS)
    assert conflicts(rows) == [one]
    assert " ".join(text_of(overview(rows)[-1], 400).split()) == f"note: {one.text}"
    (board,) = build(rows)
    assert one.text in board.notes


def test_the_same_values_are_no_conflict(ledger):
    nan = score_of(float("nan"), metric="largest")
    measured = score_of(1.0, selection="reference", metric="error_floor")
    ledger.write_attempt(attempt(0.5, nan, measured))
    # What was measured on the way, such as a floor, is no score.
    ledger.write_attempt(attempt(0.5, nan, replace(measured, value=2.0)))
    ledger.write_attempt(attempt_of(cell_of(), failure="data"))
    ledger.write_attempt(attempt_of(cell_of(seed=1), score_of(0.1)))
    assert conflicts(ledger.rows(CONFLICT_COLUMNS)) == []
    assert len(overview(ledger.rows(RESULT_COLUMNS))) == 1


def test_several_differences_are_counted(ledger):
    ledger.write_attempt(attempt(0.5, score_of(1.0, metric="mae"), score_of(1.0, metric="rmse")))
    ledger.write_attempt(attempt(0.4, score_of(2.0, metric="mae")))
    (one,) = conflicts(ledger.read())
    assert one.text.endswith("nrmse 0.5 instead of 0.4 and 1 more")


def test_many_are_counted_on_boards_and_in_the_status(ledger):
    cells = [cell_of(seed=seed) for seed in range(13)]
    for value in (0.5, 0.25):
        for cell in cells:
            ledger.write_attempt(attempt_of(cell, score_of(value)))
    found = conflicts(ledger.read())
    assert {one.cell_id for one in found} == {cell.id for cell in cells}
    *first, last = told(found)
    assert first == [one.text for one in found[:10]]
    assert last.startswith("3 more ok attempts have other values")
    assert told(found[:11])[-1].startswith("1 more ok attempt has other values")
    assert told(found[:10]) == first
    rows = ledger.rows(RESULT_COLUMNS)
    (board,) = build(rows)
    assert [note for note in board.notes if "other values" in note] == [*first, last]
    shown = [text_of(part, 400) for part in overview(rows)]
    assert sum("other values" in part for part in shown) == 11
