import pytest

from runner.report.status import failures_table, show_cell, status_table, summary
from runner.results import results
from runner.schema import CURVE_SCHEMA, SCHEMA
from runner.schema import curve_table as table_of_curves
from tests.runner.boards import ADVECTION, DARCY, cell, grid, ledger, text_of
from xmft.errors import RequestError
from xmft.task import CurvePoint


def test_status_counts_cells_not_attempts():
    tables = [
        cell("orca", "s/a", 0, None, failure="oom", attempt=1),
        cell("orca", "s/a", 0, 0.5, attempt=2),
        cell("nft", "s/a", 0, None, failure="infra", attempt=1),
        cell("nft", "s/a", 0, None, failure="oom", attempt=2),
        cell("pare", "s/b", 0, None, failure="data"),
    ]
    first, second = summary(results(ledger(*tables)))
    assert (first.task, first.ok, first.failed, first.wall_s) == ("s/a", 1, {"oom": 1}, 40.0)
    assert (second.task, second.ok, second.failed) == ("s/b", 0, {"data": 1})
    shown = text_of(status_table(results(ledger(*tables))))
    assert "oom" in shown
    assert "infra" not in shown
    assert "s/a" in text_of(status_table(results(ledger(*tables))), 60)
    assert summary(results(SCHEMA.empty_table())) == []
    assert "all" in text_of(status_table(results(SCHEMA.empty_table())))


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
    failed = failures_table(results(table))
    assert failed is not None
    text = text_of(failed)
    assert "infra" in text and "code" not in text
    assert DARCY not in text


def test_nothing_failed():
    assert failures_table(results(ledger(*grid({"nft": {ADVECTION: 0.1}})))) is None


def test_of_very_many_failed_cells_the_first_are_named():
    seeds = range(103)
    table = ledger(*(cell("nft", ADVECTION, seed, None, failure="code") for seed in seeds))
    failed = failures_table(results(table))
    assert failed is not None and failed.row_count == 100
    assert "and 3 more: `xmft export --to cells.csv` lists them" in text_of(failed)
