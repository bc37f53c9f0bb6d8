"""Makes a submission of a ledger: what is private stays at home, what was measured is signed off.

Machines become `host-1`, `host-2`; of absolute paths (where data, backbones and plug-ins lay, and
in the tracebacks of failures) the last part is left. Ids recompute: what they are the hash of has
no path in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import FILE, FOLDER, to_bytes
from runner.example_table import example_table
from runner.ledger import Ledger
from runner.results import Result, results
from runner.schema import SCHEMA, SCHEMA_VERSION, VERSION_KEY
from runner.storage import Storage
from runner.submissions.reading import (
    CURVES,
    EXAMPLES,
    EXTRA,
    SIGNATURE_KEY,
    STATEMENT_KEY,
    SUBMISSION_VERSION,
    digests_of,
    statement_bytes,
)
from runner.uri import split
from xmft.errors import RequestError

# Absolute paths in running text; those of quoted names may have blanks in them.
_QUOTED = re.compile(r"(?<=[\"'`])(?:/|[A-Za-z]:[\\/]|~)[^\"'`\n]*[\\/][^\"'`\n]*(?=[\"'`])")
_BARE = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|/|~[\w-]*/)(?:[^\s\"'`,;:()<>|]+[\\/])+")


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


def without_private(table: pa.Table) -> pa.Table:
    """Return rows of a ledger without the names of machines and without absolute paths."""
    hosts = sorted({host for host in pc.unique(table["host"]).to_pylist() if host})
    called = {host: f"host-{number}" for number, host in enumerate(hosts, start=1)}
    told = pc.unique(table["invocation"]).drop_null().to_pylist()
    # The longest first: a folder may lie in another one that is named as well.
    secrets = sorted({path for text in told for path in _paths(text)}, key=len, reverse=True)

    def in_text(text: str) -> str:
        for path in secrets:
            text = text.replace(path, _last(path))
        text = _BARE.sub("", _QUOTED.sub(lambda match: _last(match[0]), text))
        for host, name in called.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", name, text)
        return text

    changes: dict[str, Callable[[str], str]] = {
        "host": called.__getitem__,
        "invocation": _invocation,
        "error": in_text,
    }
    for name, change in changes.items():
        encoded = table[name].combine_chunks().dictionary_encode()
        texts = pa.array(
            [change(text) if text else text for text in encoded.dictionary.to_pylist()]
        )
        column = texts.cast(pa.string()).take(encoded.indices)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), column)
    return table


def _paths(invocation: str) -> list[str]:
    found = json.loads(invocation)
    values = [
        one for value in found.values() for one in (value if isinstance(value, list) else [value])
    ]
    return [value for value in values if isinstance(value, str) and _is_path(value)]


def _invocation(text: str) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return _last(value) if isinstance(value, str) and _is_path(value) else value

    said = json.loads(text)
    said.pop("data", None)  # the data have their fingerprint; another lab has them elsewhere
    return json.dumps({key: plain(value) for key, value in said.items()}, sort_keys=True)


def _is_path(text: str) -> bool:
    return text.startswith(("/", "~", "\\\\")) or re.match(r"[A-Za-z]:[\\/]", text) is not None


def _last(path: str) -> str:
    kind = PureWindowsPath if "\\" in path else PurePosixPath
    return kind(path).name or "path"


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
