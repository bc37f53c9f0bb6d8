"""`xmft verify-results`: each kind of edit of a submitted file is told."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.console import console
from runner.ledger import Ledger, LedgerError
from runner.schema import SCHEMA_VERSION, VERSION_KEY
from runner.storage import Storage
from runner.submissions.checks import verified
from runner.submissions.making import to_parquet
from runner.submissions.reading import Submission
from runner.submissions.row_checks import value_range
from runner.submissions.statement import SIGNATURE_KEY, STATEMENT_KEY
from runner.supervise import LostError
from runner.terminations import Terminated
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, refused, xmft
from tests.runner.submissions import (
    Edit,
    column,
    facts,
    failed,
    first,
    last,
    rewritten,
    stated,
    whole,
)
from xmft.errors import RequestError
from xmft.metrics import METRICS
from xmft.task import CurvePoint


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 400)


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


def test_a_ledger_that_is_another_one_is_told(handed: Path, ledger: Ledger, tmp_path: Path) -> None:
    cell_id = cell_of(seed=1).id
    ledger.write_curves(cell_id, [CurvePoint(epoch=1, split="val", name="nrmse", value=0.1)])
    result = xmft("verify-results", handed, "--against", ledger.uri)
    assert result.exit_code == 1
    assert f"the curves of cell {cell_id} are others there" in result.stdout
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.1)))
    result = xmft("verify-results", handed, "--against", ledger.uri)
    assert f"the rows of cell {cell_of().id} are others there" in result.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    result = xmft("verify-results", handed, "--against", empty)
    assert (result.exit_code, f"cell {cell_id} is not in {empty}" in result.stdout) == (1, True)


def test_what_is_asked_is_checked_before_anything_is_told(handed: Path, tmp_path: Path) -> None:
    other = tmp_path / "x.txt"
    other.write_text("")
    for words, told in (
        (["--against", handed], "is a submitted file, which --against does not take"),
        (["--against", other], "is a file"),
        (["--against", tmp_path / "nowhere"], "There are no results at"),
        (["--data", tmp_path / "nowhere"], "is not a folder"),
        (["--cell", "zzz"], "No cell of"),
        (["--rerun", "99"], "asks for more cells"),
    ):
        assert told in refused(tmp_path, "verify-results", handed, *words)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (LostError("Ray was lost."), 1, "was not made again to its end: Ray was lost."),
        (LedgerError("The disk is full."), 1, "was not made again to its end: The disk is full."),
        (Terminated("SIGTERM"), 143, "Ended by SIGTERM: cell"),
        (KeyboardInterrupt(), 130, "Interrupted: cell"),
    ],
)
def test_a_run_that_ends_early_is_told(
    handed: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def made_again(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("runner.submissions.rerun.made_again", made_again)
    result = xmft("verify-results", handed, "--cell", cell_of().id)
    assert (result.exit_code, told in result.stderr) == (code, True)
    assert "checks are passed" not in result.output


def test_files_of_the_ledger_that_cannot_be_read_are_told(handed: Path, ledger: Ledger) -> None:
    path = Path(ledger.uri) / f"cells/{cell_of().id}/attempt-1.arrow"
    read = type(ledger.storage).read

    def broken(storage: Storage, name: str) -> pa.Buffer | None:
        if path.name in name and cell_of().id in name and "digest" in inspect.stack()[2].function:
            raise PermissionError(13, "Permission denied", str(path))
        return read(storage, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Storage, "read", broken)
        result = xmft("verify-results", handed, "--against", ledger.uri)
    assert result.exit_code == 1
    assert f"files of cell {cell_of().id} cannot be read there" in result.stdout


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
