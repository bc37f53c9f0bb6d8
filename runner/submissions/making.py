"""Makes a submission of a ledger: what was measured is signed off, what is private stays at home.

What is private, `runner.submissions.privacy` knows.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import FILE, FOLDER, to_bytes
from runner.example_table import example_table
from runner.ledger import Ledger
from runner.results import Result, results
from runner.schema import SCHEMA, SCHEMA_VERSION, VERSION_KEY
from runner.storage import Storage
from runner.submissions.content import CURVES, EXAMPLES, EXTRA, wrong_cells, wrong_columns
from runner.submissions.privacy import without_private
from runner.submissions.reading import digests_of
from runner.submissions.statement import (
    SIGNATURE_KEY,
    STATEMENT_KEY,
    SUBMISSION_VERSION,
    statement_bytes,
)
from runner.uri import split
from xmft.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who signs off, and with which code.

    Attributes:
        by: Name and lab; empty if nobody says.
        note: What a reader should know.
        versions: Of Python and of the libraries.
    """

    by: str
    note: str
    git_revision: str | None
    git_dirty: bool | None
    versions: Mapping[str, str]


def submission(
    ledger: Ledger,
    cells: Collection[str],
    provenance: Provenance,
    *,
    examples: bool = False,
    asked: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Return the table of a submission, with its statement in the metadata.

    Args:
        ledger: Where the results are.
        cells: Ids of the cells to hand in; all of them have rows there.
        provenance: Who and with what.
        examples: Whether the predictions that the cells keep go with them.
        asked: The filters that chose the cells, to be written down.

    Raises:
        RequestError: the rows lack what every reader of the file would ask for.
    """
    whole = ledger.attempts.rows([*SCHEMA.names, FILE])
    chosen = whole.filter(pc.is_in(whole["cell_id"], value_set=pa.array(sorted(cells))))
    table = without_private(chosen.select(SCHEMA.names).cast(SCHEMA))
    table = _with_extras(ledger, table, examples)
    found = results(table)
    statement = {
        "version": SUBMISSION_VERSION,
        "schema_version": SCHEMA_VERSION,
        "columns": SCHEMA.names,
        "by": provenance.by,
        "note": provenance.note,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "xmft": provenance.versions.get("xmft"),
        "versions": dict(provenance.versions),
        "git_revision": provenance.git_revision,
        "git_dirty": provenance.git_dirty,
        "platform": platform.platform(),
        "filters": dict(asked or {}),
        "rows": table.num_rows,
        "counts": counts(found),
        "cells": _cells(ledger, chosen, table),
    }
    for name in ("protocol", "selection", "data_origin"):
        statement[f"{name}s"] = sorted(pc.unique(table[name]).drop_null().to_pylist())
    problem = next(chain(wrong_columns(table, statement), wrong_cells(table)), None)
    if problem is not None:
        raise RequestError(
            f"These results of {ledger.shown} cannot be handed in: {problem}. Leave such cells out "
            "with --tasks, --methods and --seeds, or run them again."
        )
    text = statement_bytes(statement)
    signature = hashlib.sha256(text).hexdigest().encode()
    return table.replace_schema_metadata(
        {
            VERSION_KEY: str(SCHEMA_VERSION).encode(),
            STATEMENT_KEY: text,
            SIGNATURE_KEY: signature,
        }
    )


def to_parquet(table: pa.Table) -> pa.Buffer:
    """Return a submission as a file; its pages have checksums."""
    from pyarrow import parquet

    facts = dict(table.schema.metadata)
    version = {VERSION_KEY: facts.pop(VERSION_KEY)}
    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(version)
    with parquet.ParquetWriter(
        sink, plain.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(plain)
        # Not with the schema, of which Arrow keeps a second copy.
        writer.add_key_value_metadata(facts)
    return sink.getvalue()


def counts(found: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Return of each method how many tasks, seeds and cells there are, and how many cells are ok.

    Args:
        found: The cells; no trials of searches.
    """
    methods: dict[str, list[Result]] = {}
    for cell in found:
        methods.setdefault(cell.method, []).append(cell)
    return {
        method: {
            "tasks": len({cell.task for cell in own}),
            "seeds": len({cell.seed for cell in own}),
            "cells": len(own),
            "ok": sum(cell.state == "ok" for cell in own),
        }
        for method, own in sorted(methods.items())
    }


def _with_extras(ledger: Ledger, table: pa.Table, examples: bool) -> pa.Table:
    curves: list[list[dict[str, Any]] | None] = [None] * table.num_rows
    shown: list[bytes | None] = [None] * table.num_rows
    before = None
    for row, cell_id in enumerate(table["cell_id"].to_pylist()):
        if cell_id == before:
            continue
        before = cell_id
        curves[row] = ledger.curves(cell_id).to_pylist() or None
        kept = ledger.examples(cell_id) if examples else None
        if kept is not None:
            shown[row] = to_bytes(example_table(kept, kept.channels)).to_pybytes()
    for field, values in zip(EXTRA, (curves, shown), strict=True):
        table = table.append_column(field, pa.array(values, field.type))
    return table


def _cells(ledger: Ledger, rows: pa.Table, table: pa.Table) -> dict[str, dict[str, Any]]:
    """Return what is signed off of each cell: digests, and the files that it was in the ledger."""
    files: dict[str, set[str]] = {}
    pairs = rows.select(["cell_id", FILE]).group_by(["cell_id", FILE]).aggregate([])
    for cell_id, path in zip(pairs["cell_id"].to_pylist(), pairs[FILE].to_pylist(), strict=True):
        files.setdefault(cell_id, set()).add(f"{FOLDER}/{path}")
    return {
        cell_id: {**own, "files": file_digests(ledger, cell_id, sorted(files[cell_id]))}
        for cell_id, own in digests_of(table, SCHEMA.names).items()
    }


def file_digests(ledger: Ledger, cell_id: str, attempts: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of the files of a cell; attempts that were compacted have none.

    Args:
        ledger: Where they are.
        cell_id: The cell.
        attempts: Files of its attempts, relative to the ledger.
    """
    places = [place for kind in (CURVES, EXAMPLES) for place in ledger.places(kind, cell_id)]
    found = {path: ledger.storage.read(path) for path in (*attempts, *places)}
    return {
        path: hashlib.sha256(payload).hexdigest()
        for path, payload in found.items()
        if payload is not None
    }


def write(payload: pa.Buffer, place: str) -> str:
    """Write a submission whole, and return the sha256 of the file.

    Raises:
        RequestError: it cannot be written.
    """
    folder, name = split(place)
    storage = Storage(folder)
    try:
        storage.write(name, payload)
    except OSError as error:
        raise RequestError(
            f"The submission cannot be written to {storage.shown_of(name)} "
            f"({storage.told(error)}). Name a writable file with --to."
        ) from None
    return hashlib.sha256(payload).hexdigest()
