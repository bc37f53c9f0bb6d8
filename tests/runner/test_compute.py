"""Device time and floating-point operations: in tables, and as a budget."""

import shlex

import pyarrow as pa
import pytest

from runner.record import _with_flops
from runner.report.layout import summary_fields
from runner.report.long_table import long_table
from runner.report.markdown import to_markdown
from runner.report.plots.error_taken import COMPUTE, error_taken
from runner.report.plots.plot import NotDrawn
from runner.report.query import Query
from runner.report.status import status_table
from runner.report.terminal import to_terminal
from runner.results import results
from runner.usage import Usage, device_seconds
from tests.runner.boards import build, cell, labels, ledger, text_of
from tests.runner.plots.test_errors_and_times import drawn, marks
from tests.runner.studies import rows_of, tables
from xmft.errors import RequestError


def spent():
    """Three entries on one task: the dearer, the better."""
    return ledger(
        *(
            cell(method, "s/a", seed, error + seed / 1000, cpu_s=10.0 * cost, flops=cost * 1e12)
            for method, error, cost in (("cheap", 0.3, 1), ("fair", 0.2, 10), ("dear", 0.1, 1000))
            for seed in (0, 1)
        )
    )


def test_device_seconds_are_those_of_gpus_or_else_of_cores():
    assert device_seconds(3.0, 50.0) == 3.0
    assert device_seconds(None, 50.0) == 50.0
    assert device_seconds(None, None) is None


def test_accounts_become_columns_and_unknown_stays_unknown():
    counted = {"prepare": 1, "align": 2, "fit": 10, "measure": 100, "eval": 1000}
    usage = _with_flops(Usage(), counted, "align")
    assert (usage.align_flops, usage.fit_flops, usage.eval_flops) == (3.0, 10.0, 1100.0)
    assert usage.flops == 1113.0
    huge = _with_flops(Usage(), {"fit": 10**19}, "fit")
    assert pa.array([huge.flops], pa.float64())[0].as_py() == 1e19
    unknown = _with_flops(Usage(), {**counted, "fit": None}, "align")
    assert unknown.flops is unknown.fit_flops is None and unknown.eval_flops == 1100.0


def test_tables_tell_both_as_sums_over_the_cells():
    (board,) = build(spent())
    text = text_of(to_terminal([board], published=False))
    assert "FLOPs" in text and "2.0e12" in text and "2.0e15" in text and "3m20s" in text
    table = long_table([board]).to_pylist()
    assert {row["entry"]: (row["device_s"], row["flops"]) for row in table} == {
        "cheap": (20.0, 2e12), "fair": (200.0, 2e13), "dear": (20000.0, 2e15),
    }  # fmt: skip
    assert "2.0e15" in text_of(status_table(results(spent())))


def test_a_narrow_terminal_leaves_them_out_first():
    (board,) = build(spent())
    wide = text_of(to_terminal([board], published=False), width=300)
    rule = max(len(line) for line in wide.splitlines() if line.startswith("┃"))
    text = text_of(to_terminal([board], published=False), width=rule - 1)
    assert f"device time and FLOPs from {rule} columns on" in " ".join(text.split())
    assert "2.0e15" not in text and "±" in text


def heads_of(board):
    return {" ".join(field.head) for field in summary_fields(board)} & {"device time", "FLOPs"}


def test_ledgers_that_did_not_count_have_a_dash_or_no_columns():
    old = cell("old", "s/a", 0, 0.5)
    (board,) = build(old)
    assert heads_of(board) == set()
    (board,) = build(ledger(old, cell("new", "s/a", 0, 0.6, flops=1e9, cpu_s=1.0)))
    (field,) = (field for field in summary_fields(board) if field.head == ("FLOPs",))
    assert {line.label: field.cell(line).text for line in board.lines} == {
        "old": "-", "new": "1.0e9",
    }  # fmt: skip


def test_device_time_is_told_where_it_decides_who_is_ranked():
    old = ledger(
        *(cell(name, "s/a", 0, 0.5, cpu_s=s) for name, s in (("dear", 40.0), ("fair", 20)))
    )
    (board,) = build(old)
    assert heads_of(board) == set() and "device time" not in text_of(to_terminal([board]))
    assert not {"device time", "FLOPs"} & set(shown_in(status_table(results(old))))
    (board,) = build(old, most_seconds=30.0)
    assert heads_of(board) == {"device time"}
    assert [line.label for line in board.unranked] == ["dear"]
    text = text_of(to_terminal([board], published=False))
    assert "device time: seconds of GPUs or, on CPUs, of cores" in text and "FLOPs" not in text
    wide = max(len(line) for line in text.splitlines() if line.startswith("┃"))
    narrow = " ".join(text_of(to_terminal([board], published=False), width=wide - 1).split())
    assert f"narrow terminal: device time from {wide} columns on" in narrow
    # No time was measured at all: there is nothing to show.
    (board,) = build(cell("old", "s/a", 0, 0.5), most_seconds=30.0)
    assert heads_of(board) == set()


def test_operations_are_told_without_device_time():
    (board,) = build(cell("new", "s/a", 0, 0.5, flops=1e9), most_seconds=30.0)
    assert heads_of(board) == {"FLOPs"}
    assert "device time:" not in text_of(to_terminal([board], published=False))
    rows = results(cell("new", "s/a", 0, 0.5, flops=1e9))
    assert {"FLOPs"} == {"device time", "FLOPs"} & set(shown_in(status_table(rows)))


def shown_in(table):
    return [str(column.header) for column in table.columns]


@pytest.mark.parametrize("budget", [{"most_flops": 1e13}, {"most_seconds": 100.0}])
def test_entries_over_the_budget_are_not_ranked(budget):
    (board,) = build(spent(), **budget)
    # What took exactly as much is within it.
    assert labels(board.ranked) == ["fair", "cheap"]
    assert labels(board.unranked) == ["dear"]
    assert [line.average_rank for line in board.lines] == [1.0, 2.0, None]
    text = to_markdown([board], ledger="x", published=False)
    assert "Not ranked, because over the budget" in text
    assert "is over the budget" in text and "on s/a" in text and "budget: " in text
    assert "a cell; entries that took more, or of which it is not known, have no rank" in text
    assert "among the 2 complete entries within the budget; 1 is best" in text
    (option,) = budget
    assert f"--{option.replace('_', '-')}" in board.query.command()


def test_what_is_not_known_is_not_known_to_be_within_the_budget():
    table = ledger(spent(), cell("old", "s/a", 0, 0.5), cell("old", "s/a", 1, 0.5))
    (board,) = build(table, most_flops=1e20)
    assert labels(board.unranked) == ["old"]
    (line,) = board.unranked
    why = "is not known to be within the budget (FLOPs of s/a unknown)"
    assert line.why_unranked == why
    text = to_markdown([board], ledger="x", published=False)
    assert "Not ranked, because not known to be within the budget" in text
    assert why in text and "over the budget" not in text
    assert f"not ranked: old {why}" in text_of(to_terminal([board], published=False))
    over = {row["entry"]: row["over_budget"] for row in long_table([board]).to_pylist()}
    assert over == {"cheap": "", "fair": "", "dear": "", "old": "FLOPs of s/a unknown"}


def test_one_cell_that_took_too_much_is_enough_to_be_over():
    cells = (cell("half", "s/a", 0, 0.5, flops=1e12), cell("half", "s/a", 1, 0.5))
    (board,) = build(ledger(*cells), most_flops=1e10)
    assert board.unranked[0].why_unranked == "is over the budget (FLOPs 1.0e12 on s/a)"
    (board,) = build(ledger(*cells), most_flops=1e10, most_seconds=5.0)
    assert board.unranked[0].why_unranked == (
        "is over the budget (FLOPs 1.0e12 on s/a, device time of s/a unknown)"
    )


@pytest.mark.parametrize("most", [1e15, 123456789.5, 0.1, 0.0, 1 / 3, 9007199254740993.0])
def test_the_command_has_all_digits_of_the_budget(most):
    for name in ("most_flops", "most_seconds"):
        words = shlex.split(Query(**{name: most}).command())
        assert float(words[words.index(f"--{name.replace('_', '-')}") + 1]) == most


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"most_flops": 1e15}, "1.0e15 FLOPs"),
        ({"most_flops": 1.234e15}, "1.234e+15 FLOPs"),
        ({"most_seconds": 30.0}, "30 s of device time"),
        ({"most_seconds": 0.01, "most_flops": 0.0}, "0 FLOPs and 0.01 s of device time"),
    ],
)
def test_a_board_says_the_budget_with_all_digits(budget, said):
    (board,) = build(spent(), **budget)
    assert f"budget: {said} a cell;" in to_markdown([board], ledger="x", published=False)


@pytest.mark.parametrize("most", [float("inf"), float("nan"), -1.0])
def test_a_budget_that_is_none_is_refused(most):
    with pytest.raises(RequestError, match=r"^--most-seconds is .*, which is no budget: "):
        Query(most_seconds=most)


def test_a_budget_that_nothing_is_within_leaves_all_unranked():
    (board,) = build(spent(), most_flops=1.0)
    assert not board.ranked and len(board.unranked) == 3
    assert board.statistics == ("No entry is ranked, so there is nothing to compare.",)
    text = text_of(to_terminal([board], published=False))
    assert "No entry has all tasks" not in text
    assert "not ranked: cheap is over the budget (FLOPs 1.0e12 on s/a)" in text


def test_error_is_drawn_against_operations():
    (board,) = build(spent())
    drawing = drawn(lambda board: error_taken(board, COMPUTE), board)
    assert sorted(x for x, _ in marks(drawing.figure, 0)) == [1e12, 1e13, 1e15]
    assert "1.0e12 FLOPs" in drawing.alt and drawing.kind == "compute"
    (board,) = build(cell("old", "s/a", 0, 0.5))
    assert isinstance(error_taken(board, COMPUTE), NotDrawn)


def test_a_study_tells_the_operations_of_a_cell():
    rows = {row["entry"]: row for row in rows_of(tables(spent(), ours="")["ranks"])}
    assert {name: row["FLOPs"] for name, row in rows.items()} == {
        "cheap": "1.0e12",
        "fair": "1.0e13",
        "dear": "1.0e15",
    }
    untold = ledger(cell("nft", "s/a", 0, 0.3), cell("orca", "s/a", 0, 0.2))
    assert "FLOPs" not in tables(untold, ours="")["ranks"]
