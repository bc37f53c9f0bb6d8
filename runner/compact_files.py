"""Compact files of a ledger: `compact-<12 hex digits>.parquet`, many attempts in one file.

They hold the columns of the ledger, the file that each attempt was written to first (`FILE`) and
whether a row is the first of its attempt (`FIRST`), sorted by cell and attempt. They never change:
a compaction writes a new one, of a name that nobody else chooses.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import (
    FILE,
    LONG_TEXTS,
    FileReader,
    conformed,
    encoded,
    stored_schema,
)
from runner.schema import SCHEMA
from xmft.errors import RequestError

FIRST = "first"

_NAME = re.compile(r"compact-[0-9a-f]{12}\.parquet")
# A cell is read without the others: these many rows at a time.
_GROUP_ROWS = 1 << 15
_COMPARED_ROWS = 1 << 16


def listed(reader: FileReader) -> list[str]:
    """Return the names of all compact files.

    A folder is not listed at one instant: a file that replaces another meanwhile may be missed,
    and the other one too. So it is listed until two lists are the same; an object store answers
    as of one instant.
    """
    names: list[str] | None = None
    while True:
        found = sorted(name for name in reader.storage.names("") if _NAME.fullmatch(name))
        if found == names or reader.storage.is_object_store:
            return found
        names = found


def read(
    reader: FileReader,
    name: str,
    columns: Sequence[str],
    *,
    cell_id: str | None = None,
    first: bool = False,
) -> pa.Table | None:
    """Return rows of a compact file with `FILE`, long texts once each; None if it is gone.

    Args:
        reader: Of the ledger.
        name: Of the file.
        columns: Of the schema.
        cell_id: The only cell whose rows to read; None for all.
        first: Whether to read the first row of each attempt alone.

    Raises:
        RequestError: it cannot be read; what it holds is nowhere else. A lenient reader skips it.
    """
    # One request instead of one for each column; it is small next to what it stands for.
    try:
        payload = reader.storage.read(name)
        if payload is None:
            return None
        return _rows(reader, name, payload, columns, cell_id, first)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        if reader.lenient:
            reader.skip(name, f"it cannot be read ({reader.storage.told(error)})")
            return encoded(stored_schema(columns).empty_table())
        raise RequestError(
            f"{name} in {reader.storage.shown} cannot be read ({reader.storage.told(error)}), and "
            "its results are in no other file: put a copy of it back, or delete it, and the same "
            "command runs its cells again."
        ) from None


def _rows(
    reader: FileReader,
    name: str,
    payload: pa.Buffer,
    columns: Sequence[str],
    cell_id: str | None,
    first: bool,
) -> pa.Table:
    from pyarrow import parquet

    options: dict[str, Any] = {"read_dictionary": [c for c in LONG_TEXTS if c in columns]}
    file = parquet.ParquetFile(pa.BufferReader(payload), page_checksum_verification=True, **options)
    reader.check_version(name, file.schema_arrow)
    known = [column for column in columns if column in file.schema_arrow.names]
    wanted = [*known, FILE, *([FIRST] if first else [])]
    if cell_id is not None and "cell_id" not in wanted:
        wanted.append("cell_id")
    groups = [g for g in range(file.num_row_groups) if _may_hold(file.metadata, g, cell_id)]
    table = file.read_row_groups(groups, columns=wanted)
    if cell_id is not None:
        table = table.filter(pc.equal(table["cell_id"], cell_id))
    if first:
        table = table.filter(table[FIRST])
    metadata = file.schema_arrow.metadata
    rows = conformed(table.replace_schema_metadata(metadata), columns, as_stored=LONG_TEXTS)
    return encoded(rows.append_column(FILE, table[FILE]))


def _may_hold(metadata: Any, group: int, cell_id: str | None) -> bool:
    if cell_id is None:
        return True
    bounds = metadata.row_group(group).column(metadata.schema.names.index("cell_id")).statistics
    return bounds is None or not bounds.has_min_max or bounds.min <= cell_id <= bounds.max


def write(reader: FileReader, table: pa.Table) -> str:
    """Write rows to a new compact file, read it back, compare, and return its name.

    Args:
        reader: Of the ledger.
        table: All columns of the schema and `FILE`, sorted by cell and attempt.

    Raises:
        OSError: it cannot be written, or does not come back as it was; it is deleted then.
    """
    from pyarrow import parquet

    name = f"compact-{uuid.uuid4().hex[:12]}.parquet"
    sink = pa.BufferOutputStream()
    described = table.append_column(FIRST, _firsts(table)).replace_schema_metadata(SCHEMA.metadata)
    schema = pa.schema([_plain(field) for field in described.schema], described.schema.metadata)
    with parquet.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        write_statistics=["cell_id"],
        write_page_checksum=True,
        # Texts of many cells, each once per group.
        dictionary_pagesize_limit=1 << 28,
    ) as writer:
        # Dictionaries are decoded for each group: the whole one would be written in all of them.
        for start in range(0, described.num_rows, _GROUP_ROWS):
            writer.write_table(described.slice(start, _GROUP_ROWS).cast(schema))
    reader.storage.write(name, sink.getvalue())
    found = read(reader, name, SCHEMA.names)
    if found is None or not _same(found, table):
        reader.storage.delete(name)
        raise OSError(f"{name} was read back with other rows than were written")
    return name


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if field.name in LONG_TEXTS else field


def _firsts(table: pa.Table) -> pa.Array:
    """Tell of each row whether it is the first of its attempt."""
    if not table.num_rows:
        return pa.array([], pa.bool_())
    firsts = pa.array([True])
    changes = [
        pc.not_equal(table[name].slice(1), table[name].slice(0, table.num_rows - 1))
        for name in ("cell_id", "attempt")
    ]
    return pa.concat_arrays([firsts, pc.or_(*changes).combine_chunks()])


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Compare two tables value by value, NaN included, whether or not texts are dictionaries."""
    if one.num_rows != other.num_rows:
        return False
    for start in range(0, one.num_rows, _COMPARED_ROWS):
        for name in (*SCHEMA.names, FILE):
            left, right = (t[name].slice(start, _COMPARED_ROWS) for t in (one, other))
            if name in LONG_TEXTS:
                left, right = left.cast(pa.string()), right.cast(pa.string())
            if pa.types.is_floating(left.type):  # NaN is not equal to itself
                left, right = (_bits(column) for column in (left, right))
            if not left.equals(right):
                return False
    return True


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floating-point numbers as integers of the same bits."""
    whole = column.combine_chunks()
    return pa.chunked_array([whole.view(pa.int64()) if len(whole) else pa.array([], pa.int64())])
