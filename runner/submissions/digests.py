"""Digests of the ledger's rows: what tells whether a table says the same, however it is stored.

A digest is of values, not of a file: compression, row groups, the order of the rows and whether
texts are dictionaries do not change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

# Between the values of a row, and for a value that is not there: no text of a ledger has them.
_BETWEEN, _NOTHING = "\x1f", "\x00"
# Longer texts stand for themselves by their hash, each computed once.
_LONG = 200
# So many rows are in memory as text at once.
_ROWS = 1 << 16


def row_texts(table: pa.Table) -> pa.Array:
    """Return each row as one text that is the same for the same values, bit by bit.

    Args:
        table: Columns of texts, whole numbers, booleans, times and floating-point numbers.
    """
    if not table.num_rows:
        return pa.array([], pa.string())
    columns = [_texts(table[name].combine_chunks()) for name in table.column_names]
    return pc.binary_join_element_wise(*columns, _BETWEEN)


def table_digest(table: pa.Table) -> str:
    """Return the sha256 of the rows of a table, in any order."""
    return _digest(row_texts(table).to_pylist())


def cell_digests(table: pa.Table, columns: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of the rows of each cell, in any order.

    Args:
        table: Rows of a ledger, `cell_id` among its columns.
        columns: What to look at.
    """
    rows = table.sort_by("cell_id")
    texts: dict[str, list[str]] = {}
    for start in range(0, rows.num_rows, _ROWS):
        part = rows.slice(start, _ROWS)
        cells = part["cell_id"].to_pylist()
        for cell_id, text in zip(cells, row_texts(part.select(columns)).to_pylist(), strict=True):
            texts.setdefault(cell_id, []).append(text)
    return {cell_id: _digest(found) for cell_id, found in texts.items()}


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):  # of the same bits: NaN and -0.0 as well
        column = column.cast(pa.float64()).view(pa.int64())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    if pa.types.is_string(column.type):
        column = _short(column)
    return pc.fill_null(column.cast(pa.string()), _NOTHING)


def _short(column: pa.Array) -> pa.Array:
    encoded = column.dictionary_encode()
    texts = [
        # A text with what parts values in it would be several.
        text
        if len(text) <= _LONG and text.isprintable()
        else hashlib.sha256(text.encode()).hexdigest()
        for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(texts, pa.string()).take(encoded.indices)
