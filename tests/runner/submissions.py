"""Submitted files, and ways to change them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from runner.results import results
from runner.submissions.checks import Check, verified
from runner.submissions.making import counts
from runner.submissions.reading import Submission, digests_of
from runner.submissions.statement import SIGNATURE_KEY, STATEMENT_KEY, statement_bytes

Edit = Callable[[pa.Table], pa.Table]


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
