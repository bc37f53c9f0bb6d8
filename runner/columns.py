"""What a column of the ledger is, and how the fields of records become a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pyarrow as pa

from runner.cell import Cell

SCHEMA_VERSION = 3
VERSION_KEY = b"xmft_schema_version"


@dataclass(frozen=True)
class Column:
    """A column of the ledger.

    Attributes:
        type: On disk.
        description: For the metadata of its field.
        of: What gives its value where it follows from the cell; None where an attempt is told.
        since: The first version of the schema that has it; it is null in older files.
    """

    type: pa.DataType
    description: str
    of: Callable[[Cell], Any] | None = None
    since: int = 1


def columns_of(record: type) -> Iterator[tuple[str, Column]]:
    """Yield name and column of each field of a record.

    Those of a record that stands in a field marked `Part` come in its place.
    """
    hints = get_type_hints(record, include_extras=True)
    for one in fields(record):
        for mark in getattr(hints[one.name], "__metadata__", ()):
            if isinstance(mark, Part):
                yield from columns_of(mark.record)
            else:
                yield one.name, mark


@dataclass(frozen=True)
class Part:
    """Marks a field whose columns are those of another record."""

    record: type


def schema_of(columns: Iterable[tuple[str, Column]]) -> pa.Schema:
    """Return a schema with descriptions and the version in its metadata."""
    described = [
        pa.field(name, column.type, metadata={"description": column.description})
        for name, column in columns
    ]
    return pa.schema(described, metadata={VERSION_KEY: str(SCHEMA_VERSION)})
