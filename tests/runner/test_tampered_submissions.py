"""Submitted files that somebody changed so that their digests fit: told, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import RenderableType

from runner.console import console
from runner.report.compare import build
from runner.report.status import show_cell
from runner.report.terminal import to_terminal
from runner.results import RESULT_COLUMNS, results
from runner.schema import SCHEMA
from runner.submissions.checks import verified
from runner.submissions.reading import Submission
from runner.submissions.rerun import _compared
from runner.submissions.statement import STATEMENT_KEY
from tests.runner import boards
from tests.runner.commands import refused, xmft
from tests.runner.submissions import Edit, column, failed, first, forged, last, rewritten, stated
from xmft.errors import RequestError


def said(table: pa.Table) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(table.schema.metadata[STATEMENT_KEY])
    return found


def first_cell(value: Any) -> Edit:
    """Something else in the place of what was signed off of a cell."""
    return lambda t: stated(t, cells={**said(t)["cells"], next(iter(said(t)["cells"])): value})


def with_files(files: Any) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        cells = said(table)["cells"]
        return stated(table, cells={one: own | {"files": files} for one, own in cells.items()})

    return edit


def of_type(name: str, kind: pa.DataType) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        return table.set_column(place, name, table[name].cast(kind))

    return lambda table: forged(edit(table)) if name != "value" else edit(table)


def extra(table: pa.Table) -> pa.Table:
    lists = pa.array([[1]] * len(table))
    names = [*said(table)["columns"], "x"]
    return stated(table.add_column(len(names) - 1, "x", lists), columns=names)


def without(name: str) -> Edit:
    return lambda t: stated(
        t.drop_columns([name]), columns=[one for one in said(t)["columns"] if one != name]
    )


def every(name: str, value: Any) -> Edit:
    return lambda t: column(t, name, lambda values: [value] * len(values))


STATEMENTS: dict[str, tuple[Edit, str]] = {
    "counts of no method": (lambda t: stated(t, counts={"nft": 3}), "'counts.nft'"),
    "counts that are texts": (lambda t: stated(t, counts="x"), "'counts'"),
    "counts below nought": (
        lambda t: stated(t, counts={"a": {"tasks": -1, "seeds": 1, "cells": 1, "ok": 1}}),
        "'counts.a.tasks'",
    ),
    "a cell of nothing": (first_cell(None), "'cells."),
    "a cell that is a number": (first_cell(3), "'cells."),
    "a digest that is none": (
        first_cell({"rows": "x", "curves": None, "examples": None, "files": {}}),
        "rows'",
    ),
    "a column of lists": (extra, "not those of version"),
    "no column of attempts": (without("attempt"), "not those of version"),
    "a column twice": (lambda t: stated(t, columns=[*said(t)["columns"], "seed"]), "signed off"),
    "values that are texts": (of_type("value", pa.string()), "value holds string, not double"),
    "seeds that are numbers": (of_type("seed", pa.float64()), "seed holds double, not int64"),
    "version 0": (lambda t: stated(t, version=0), "'version'"),
    "version true": (lambda t: stated(t, version=True), "'version'"),
    "version 1.0": (lambda t: stated(t, version=1.0), "'version'"),
    "a schema of texts": (lambda t: stated(t, schema_version="2"), "'schema_version'"),
    "no time": (lambda t: stated(t, created_at=None), "'created_at'"),
    "a time that is none": (lambda t: stated(t, created_at="yesterday"), "'created_at'"),
    "nobody": (lambda t: stated(t, by={"a": 1}), "'by'"),
    "rows that are a text": (lambda t: stated(t, rows="4"), "'rows'"),
    "a file out of the ledger": (with_files({"../../etc/passwd": "0" * 64}), "files"),
    "an absolute file": (with_files({"/etc/passwd": "0" * 64}), "files"),
    "a file in a folder above": (with_files({"cells/../x": "0" * 64}), "files"),
    "files that are a list": (with_files(["cells/x"]), "files"),
}
ROWS: dict[str, tuple[Edit, str]] = {
    "versions that are a text": (every("versions", "x"), "versions is no JSON object"),
    "versions that are a list": (every("versions", "[]"), "versions is no JSON object"),
    "versions of numbers": (every("versions", '{"a": 1}'), "versions is no JSON object"),
    "an invocation that is a list": (every("invocation", "[1]"), "invocation is no JSON object"),
    "an invocation that is cut off": (every("invocation", "{"), "invocation is no JSON object"),
    "a configuration that is a text": (every("config_json", "x"), "config_json is no JSON object"),
    "a point without a value": (
        lambda t: column(t, "curves", lambda v: [[p | {"value": None} for p in v[0]], *v[1:]]),
        "a point of a curve",
    ),
    "a point that is none": (
        lambda t: column(t, "curves", lambda v: [[*v[0], None], *v[1:]]),
        "a point of a curve",
    ),
    "another status": (every("status", "maybe"), "status is 'maybe' in a row, not ok or failed"),
    "another direction": (every("direction", "up"), "direction is 'up' in a row, not min or max"),
    "more than there can be": (every("value", -1e308), "value is -1e+308 in a row"),
    "time that is no number": (every("wall_s", float("nan")), "wall_s is nan in a row"),
    "time below nought": (every("fit_s", -1.0), "fit_s is -1 in a row"),
    "a task that leads out": (every("task", "../../x"), "the task '../../x'"),
    **{
        f"no {name}": (every(name, None), f"rows say nothing in {name}")
        for name in ("task", "attempt", "cell_id", "status", "versions", "config_json", "wall_s")
    },
}


def signed(table: pa.Table) -> pa.Table:
    """With digests of what is there, where there are cells to have some."""
    if None in table["cell_id"].to_pylist():
        return table
    try:
        return forged(table)
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError):
        return table  # told before any digest is looked at


@pytest.mark.parametrize("kind", STATEMENTS)
def test_statements_and_columns_are_checked_once_and_whole(
    handed: Path, kind: str, tmp_path: Path
) -> None:
    edit, told = STATEMENTS[kind]
    rewritten(handed, edit)
    is_told(handed, tmp_path, told)


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_checked_before_anything_is_computed(
    handed: Path, kind: str, tmp_path: Path
) -> None:
    edit, told = ROWS[kind]
    rewritten(handed, lambda table: signed(edit(table)))
    is_told(handed, tmp_path, told)


def is_told(path: Path, folder: Path, told: str) -> None:
    (check,) = failed(path)
    assert (check.name, told in check.detail) == ("file", True), check
    result = xmft("verify-results", path, "--rerun", "1")
    assert result.exit_code == 1
    assert "1 of 1 checks failed" in result.stderr
    text = refused(folder, "leaderboard", "--results", path)
    assert "no submission that can be used" in text


CONFIGURATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "metrics of no name": lambda one: one | {"metric_versions": {}},
    "metrics that are a number": lambda one: one | {"metric_versions": 3},
    "a version that is a text": lambda one: one | {"task_version": "1"},
    "a recipe that is a list": lambda one: one | {"recipe": []},
    "a seed that is none": lambda one: one | {"seed": None},
    "another key": lambda one: one | {"x": 1},
    "a trial without an end": lambda one: one | {"trial": {"study": "x"}},
    "tuned by nothing": lambda one: one | {"tuned": {"fields": ["a"]}},
    "another seed": lambda one: one | {"seed": 9},
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_configurations_are_those_of_cells(handed: Path, kind: str, tmp_path: Path) -> None:
    change = CONFIGURATIONS[kind]

    def edit(table: pa.Table) -> pa.Table:
        texts = [json.dumps(change(json.loads(one))) for one in table["config_json"].to_pylist()]
        return signed(column(table, "config_json", lambda _: texts))

    rewritten(handed, edit)
    assert {check.name for check in failed(handed)} & {"ids", "file"}
    for command in ("leaderboard", "status"):
        text = refused(tmp_path, command, "--results", handed)
        assert "no submission that can be used" in text


ODD = {
    pa.string(): ["", "\x1b[31m", "null"],
    pa.int32(): [-1, 2**31 - 1],
    pa.int64(): [-(2**63)],
    pa.float64(): [float("nan"), -1e308],
    pa.bool_(): [True],
    pa.timestamp("us", tz="UTC"): [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
}


@pytest.mark.parametrize("name", SCHEMA.names)
def test_no_value_of_any_column_ends_in_a_traceback(handed: Path, name: str) -> None:
    original = handed.read_bytes()
    for value in (None, *ODD[SCHEMA.field(name).type]):
        handed.write_bytes(original)
        rewritten(handed, lambda table, value=value: signed(every(name, value)(table)))
        checks = verified(Submission(handed))
        try:
            table = Submission(handed).rows()
        except RequestError:
            assert any(check.state == "failed" for check in checks)
            continue
        text = ""
        with suppress(RequestError):  # nothing is left that a board could be made of
            text = render(to_terminal(build(table.select(list(RESULT_COLUMNS)))))
        for cell_id in Submission(handed).cell_ids():
            curves = Submission(handed).curves(cell_id)
            text += render(show_cell(Submission(handed).read(cell_id=cell_id), curves, cell_id))
        assert text


def render(view: RenderableType) -> str:
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_examples_that_are_none_are_told(handed: Path, tmp_path: Path) -> None:
    rewritten(handed, lambda table: forged(column(table, "examples", first(b"x"))))
    (check,) = failed(handed)
    assert (check.name, "cannot be read" in check.detail) == ("examples", True)
    result = xmft("figures", "--results", handed, "--out", tmp_path / "pics")
    assert result.exit_code == 2
    assert "The examples of cell" in result.stderr


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (every("data_origin", "x"), "'x', not official, generated, miniature"),
        (every("data_origin", None), "None, not official"),
        (
            lambda t: column(t, "data_origin", last("official")),
            "the data",
        ),
    ],
)
def test_origins_are_checked(handed: Path, edit: Edit, told: str) -> None:
    rewritten(handed, lambda table: forged(edit(table)))
    found = {check.name: check.detail for check in failed(handed)}
    assert told in found["origins"]


def test_a_cell_that_is_made_again_is_on_the_same_data() -> None:
    then, now = (
        results(boards.cell("orca", "s/a", 0, 0.5, origin=origin))[0]
        for origin in ("official", "generated")
    )
    check = _compared("again", then, now, 0.05)
    assert check.state == "failed"
    assert "signed off on official data, which are generated here" in check.detail
    assert _compared("again", then, then, 0.05).state == "ok"
