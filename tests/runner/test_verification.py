"""`xmft verify-results`: each kind of edit of a submitted file is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.console import console
from runner.ledger import Ledger
from runner.results import results
from runner.schema import SCHEMA_VERSION, VERSION_KEY
from runner.submissions.checks import Check, verified
from runner.submissions.making import counts, to_parquet
from runner.submissions.reading import (
    SIGNATURE_KEY,
    STATEMENT_KEY,
    Submission,
    digests_of,
    statement_bytes,
)
from runner.submissions.row_checks import value_range
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, refused, xmft
from xmft.errors import RequestError
from xmft.metrics import METRICS
from xmft.task import CurvePoint

Edit = Callable[[pa.Table], pa.Table]


@pytest.fixture
def handed(ledger: Ledger, tmp_path: Path) -> Path:
    """A submission of two cells, of which one failed once."""
    for seed in (0, 1):
        cell = cell_of(seed=seed)
        scores = (score_of(0.5 + seed), score_of(0.25, selection="last"))
        if seed:
            ledger.write_attempt(attempt_of(cell, failure="oom"))
        ledger.write_attempt(attempt_of(cell, *scores, wall_s=0.0))
        point = CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)
        ledger.write_curves(cell.id, [point])
    path = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", ledger.uri, "--to", path)
    return path


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 400)


def whole(path: Any) -> pa.Table:
    """A file with all of its metadata."""
    return parquet.ParquetFile(path).read()


def column(table: pa.Table, name: str, change: Callable[[list[Any]], list[Any]]) -> pa.Table:
    place = table.column_names.index(name)
    values = pa.array(change(table[name].to_pylist()), table.schema.field(name).type)
    return table.set_column(place, table.schema.field(name), values)


def first(value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value, *values[1:]]


def last(value: Any) -> Callable[[list[Any]], list[Any]]:
    """The row of an ok attempt; the first one is of a failed attempt."""
    return lambda values: [*values[:-1], value]


def facts(table: pa.Table, **changes: bytes | None) -> pa.Table:
    known = {**table.schema.metadata, **{key.encode(): value for key, value in changes.items()}}
    kept = {key: value for key, value in known.items() if value is not None}
    return table.replace_schema_metadata(kept)


def stated(table: pa.Table, **changes: Any) -> pa.Table:
    """A table with another statement, and the digest of that one."""
    said = json.loads(table.schema.metadata[STATEMENT_KEY]) | changes
    text = statement_bytes(said)
    signature = hashlib.sha256(text).hexdigest().encode()
    known = {**table.schema.metadata, STATEMENT_KEY: text, SIGNATURE_KEY: signature}
    return table.replace_schema_metadata(known)


def known(table: pa.Table) -> bool:
    return all("metric_versions" in text for text in table["config_json"].to_pylist())


def forged(table: pa.Table) -> pa.Table:
    """A table whose digests and counts were all made anew."""
    said = json.loads(table.schema.metadata[STATEMENT_KEY])
    found = counts(results(table)) if known(table) else {}
    cells = {
        cell_id: {"files": {}, **own} for cell_id, own in digests_of(table, said["columns"]).items()
    }
    return stated(table, cells=cells, counts=found, rows=table.num_rows)


def rewritten(path: Path, edit: Edit) -> None:
    table = edit(whole(path))
    parquet.write_table(table, path)


def failed(path: Path) -> list[Check]:
    return [check for check in verified(Submission(path)) if check.state == "failed"]


def test_a_file_as_it_was_handed_in_passes(handed: Path, ledger: Ledger) -> None:
    text = output_of("verify-results", handed, "--against", ledger.uri)
    assert "failed" not in text.replace("failed ones", "")
    assert "checks are passed" in text
    assert "orca: 1 tasks x 2 seeds, 2 of 2 ok" in text
    rewritten(handed, lambda table: table)  # the same in another file
    output_of("verify-results", handed)
    rewritten(handed, lambda table: table.sort_by([("value", "descending")]))
    output_of("verify-results", handed)


EDITS: dict[str, tuple[Edit, str]] = {
    "a value": (lambda t: column(t, "value", last(0.4)), "rows of cell"),
    "a value in the last bit": (
        lambda t: column(t, "value", lambda v: [*v[:-1], v[-1] + 2**-54]),
        "rows of cell",
    ),
    "a seed": (lambda t: column(t, "seed", first(7)), "rows of cell"),
    "a status": (lambda t: column(t, "status", last("failed")), "rows of cell"),
    "a configuration": (
        lambda t: column(t, "config_json", lambda v: [v[0].replace("20", "21"), *v[1:]]),
        "rows of cell",
    ),
    "a row less": (lambda t: t.slice(1), "of cell"),
    "a row twice": (lambda t: pa.concat_tables([t, t.slice(1, 1)]), "rows of cell"),
    "a cell less": (
        lambda t: t.filter(pa.compute.equal(t["seed"], 1)),
        "are missing",
    ),
    "a cell more": (
        lambda t: pa.concat_tables([t, column(t, "cell_id", lambda v: ["f" * 16] * len(v))]),
        f"cell {'f' * 16} was added",
    ),
    "another id": (
        lambda t: column(t, "cell_id", lambda v: ["f" * 16 if c == v[0] else c for c in v]),
        "was added",
    ),
    "a curve": (
        lambda t: column(t, "curves", lambda v: [[{**p, "value": 0.1} for p in v[0]], *v[1:]]),
        "curves of cell",
    ),
    "a curve less": (lambda t: column(t, "curves", first(None)), "curves of cell"),
    "a curve more": (lambda t: column(t, "curves", lambda v: [v[0], v[0], *v[2:]]), "curves of"),
    "an example": (lambda t: column(t, "examples", first(b"x")), "examples of cell"),
    "a column less": (lambda t: t.drop_columns(["host"]), "['host']"),
    "a column more": (lambda t: t.append_column("x", t["seed"]), "['x']"),
    "the statement": (
        lambda t: facts(t, xmft_submission=t.schema.metadata[STATEMENT_KEY] + b" "),
        "statement was changed",
    ),
    "the digest of the statement": (
        lambda t: facts(t, xmft_submission_sha256=None),
        "digest of it is missing",
    ),
    "no statement": (lambda t: facts(t, xmft_submission=None), "without the statement"),
    "a key more": (lambda t: facts(t, pandas=b"{}"), "keys were added"),
    "the version of the schema": (
        lambda t: facts(t, xmft_schema_version=b"1"),
        "version of the schema",
    ),
    "no version of the schema": (lambda t: facts(t, xmft_schema_version=None), "one is missing"),
    "a statement of nothing": (lambda t: stated(t, cells=[]), "cannot be read"),
    "a statement without columns": (lambda t: stated(t, columns=None), "cannot be read"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_every_edit_is_told(handed: Path, kind: str, tmp_path: Path) -> None:
    edit, told = EDITS[kind]
    rewritten(handed, edit)
    result = xmft("verify-results", handed)
    assert result.exit_code == 1
    assert any(told in check.detail for check in failed(handed)), failed(handed)
    # Nobody merges it.
    text = refused(tmp_path, "leaderboard", "--results", handed)
    assert "no submission that can be used" in text


def test_files_that_are_no_submissions_are_told(handed: Path, tmp_path: Path) -> None:
    content = handed.read_bytes()
    table = whole(handed)
    other = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"x": [1]}), other)
    for payload, told in (
        (content[:-1], "cut off or damaged"),
        (content[: len(content) // 2], "cut off or damaged"),
        (b"", "no Parquet file"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"cell_id,value\n", "no Parquet file"),
        (other.read_bytes(), "without the statement"),
        (b"PAR1", "cut off or damaged"),
    ):
        handed.write_bytes(payload)
        (check,) = failed(handed)
        assert told in check.detail
        result = xmft("verify-results", handed)
        assert (result.exit_code, "1 of 1 checks failed" in result.stderr) == (1, True)
        refused(tmp_path, "status", "--results", handed)
    assert "There is no file" in refused(tmp_path, "verify-results", tmp_path / "none.parquet")
    newer = facts(table, xmft_schema_version=str(SCHEMA_VERSION + 1).encode())
    newer = stated(newer, schema_version=SCHEMA_VERSION + 1)
    parquet.write_table(newer, handed)
    for command in (["verify-results", handed], ["status", "--results", handed]):
        assert f"schema {SCHEMA_VERSION + 1}" in refused(tmp_path, *command)
    parquet.write_table(stated(table, version=2), handed)
    assert "is of version 2 of submissions" in failed(handed)[0].detail


def test_every_bit_of_the_content_counts(handed: Path) -> None:
    content = handed.read_bytes()
    rows_before = whole(handed).to_pylist()
    for place in range(0, len(content), 97):
        changed = bytearray(content)
        changed[place] ^= 4
        handed.write_bytes(bytes(changed))
        try:
            rows = Submission(handed).read().to_pylist()
        except RequestError:
            continue
        kept = [{name: row[name] for name in rows[0]} for row in rows_before]
        assert rows == kept


FORGERIES: dict[str, tuple[Edit, str, str]] = {
    "a value below nought": (lambda t: column(t, "value", last(-0.1)), "values", "outside of 0"),
    "a main value that is not finite": (
        lambda t: column(t, "value", last(float("inf"))),
        "values",
        "is inf",
    ),
    "no value": (lambda t: column(t, "value", last(None)), "values", "is None"),
    "a direction": (lambda t: column(t, "direction", last("max")), "values", "max, not min"),
    "a seed": (lambda t: column(t, "seed", first(7)), "configuration", "seed of cell"),
    "a method": (lambda t: column(t, "method", first("nft")), "configuration", "method of cell"),
    "a version": (
        lambda t: column(t, "metric_version", last(2)),
        "configuration",
        "metric_version of cell",
    ),
    "a configuration": (
        lambda t: column(
            t, "config_json", lambda v: [x.replace('"epochs":20', '"epochs":90') for x in v]
        ),
        "ids",
        "has the configuration of",
    ),
    "a configuration that is none": (
        lambda t: column(t, "config_json", lambda v: ["{}"] * len(v)),
        "ids",
        "cannot be read",
    ),
    "an end before the beginning": (
        lambda t: column(t, "finished_at", lambda v: [x - timedelta(days=1) for x in v]),
        "times",
        "ended before it began",
    ),
    "times to come": (
        lambda t: column(
            column(t, "finished_at", lambda v: [datetime(2090, 1, 1, tzinfo=UTC)] * len(v)),
            "started_at",
            lambda v: [datetime(2090, 1, 1, tzinfo=UTC)] * len(v),
        ),
        "times",
        "2090",
    ),
    "more time than there was": (
        lambda t: column(t, "wall_s", lambda v: [1e6] * len(v)),
        "times",
        "took 1000000 s",
    ),
    "a failure with a value": (
        lambda t: column(t, "value", first(0.1)),
        "attempts",
        "has scores",
    ),
    "a failure that went well": (
        lambda t: column(t, "status", lambda v: ["ok"] * len(v)),
        "attempts",
        "is ok",
    ),
    "a score twice": (
        lambda t: pa.concat_tables([t, column(t.slice(len(t) - 1), "curves", first(None))]),
        "attempts",
        "twice",
    ),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_what_digests_do_not_tell_the_rows_do(handed: Path, kind: str) -> None:
    edit, name, told = FORGERIES[kind]
    rewritten(handed, lambda table: forged(edit(table)))
    found = {check.name: check.detail for check in failed(handed)}
    assert "digests" not in found  # they were made anew
    assert told in found[name]


def test_a_forged_file_without_configurations_is_not_merged(handed: Path, tmp_path: Path) -> None:
    edit, _, _ = FORGERIES["a configuration that is none"]
    rewritten(handed, lambda table: forged(edit(table)))
    for command in ("leaderboard", "status"):
        assert "not that of a cell" in refused(tmp_path, command, "--results", handed)


def test_counts_are_compared_with_those_signed_off(handed: Path) -> None:
    more = {"orca": {"tasks": 1, "seeds": 5, "cells": 5, "ok": 5}}
    rewritten(handed, lambda table: stated(table, counts=more))
    (check,) = failed(handed)
    assert check.name == "counts" and '"seeds": 2' in check.detail


def test_what_this_version_does_not_have_is_a_note(ledger: Ledger, tmp_path: Path) -> None:
    theirs = {
        "task": "lab/secret",
        "method": "ours",
        "method_version": 3,
        "metric_versions": {"nrmse": 9, "lab_metric": 1},
    }
    cell = cell_of(**theirs)
    score = score_of(-5.0, metric="lab_metric", direction="max")
    ledger.write_attempt(attempt_of(cell, score_of(0.5, metric_version=9), score))
    ledger.write_attempt(attempt_of(replace(cell, seed=1), failure="oom"))
    path = tmp_path / "theirs.parquet"
    output_of("submit-results", "--results", ledger.uri, "--to", path)
    found = {check.name: check for check in verified(Submission(path))}
    assert [check for check in found.values() if check.state == "failed"] == []
    assert found["known tasks"].detail.endswith("lab/secret v1 (here none)")
    assert found["known methods"].detail.endswith("ours v3 (here none)")
    assert "nrmse v9 (here v1)" in found["known metrics"].detail
    assert found["coverage"].detail == "ours lacks lab/secret seed 1"
    assert {check.state for name, check in found.items() if "known" in name} == {"note"}
    output_of("verify-results", path)


def test_a_ledger_that_is_another_one_is_told(handed: Path, ledger: Ledger) -> None:
    cell_id = cell_of(seed=1).id
    ledger.write_curves(cell_id, [CurvePoint(epoch=1, split="val", name="nrmse", value=0.1)])
    result = xmft("verify-results", handed, "--against", ledger.uri)
    assert result.exit_code == 1
    assert f"the curves of cell {cell_id} are others there" in result.stdout
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.1)))
    result = xmft("verify-results", handed, "--against", ledger.uri)
    assert f"the rows of cell {cell_of().id} are others there" in result.stdout
    assert xmft("verify-results", handed, "--against", ledger.uri + "/none").exit_code == 1


def test_all_metrics_of_this_project_have_a_range() -> None:
    for name, metric in METRICS.items():
        low, high = value_range(name)
        assert low == 0.0
        assert metric.direction == "min" or high == 1.0, name


def test_a_submission_is_written_with_all_it_says(handed: Path) -> None:
    table = whole(handed)
    assert set(table.schema.metadata) == {VERSION_KEY, STATEMENT_KEY, SIGNATURE_KEY}
    again = whole(pa.BufferReader(to_parquet(table)))
    assert again.equals(table, check_metadata=True)
