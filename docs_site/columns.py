"""What the columns of result files hold: the schemas say it."""

from __future__ import annotations

import pyarrow as pa

from docs_site.markdown import anchor, code, plain, table
from runner.columns import SCHEMA_VERSION
from runner.report.long_table import LONG_SCHEMA
from runner.schema import CURVE_SCHEMA, SINCE
from runner.schema import SCHEMA as ROW_SCHEMA


def rows_schema() -> str:
    """Return the table of the ledger's columns."""
    text = f"Schema version {SCHEMA_VERSION}, in the metadata of every file."
    return f"{text}\n\n{_columns(ROW_SCHEMA, 'row', SINCE)}"


def curves_schema() -> str:
    """Return the table of the columns of training curves."""
    return _columns(CURVE_SCHEMA, "curve")


def leaderboard_schema() -> str:
    """Return the table of the columns of a leaderboard as Arrow or CSV."""
    return _columns(LONG_SCHEMA, "leaderboard")


def _columns(schema: pa.Schema, of: str, since: dict[str, int] | None = None) -> str:
    rows = []
    for field in schema:
        said = (field.metadata or {}).get(b"description", b"").decode()
        first = (since or {}).get(field.name, 1)
        rows.append(
            [
                f'<span id="{anchor(f"{of}-{field.name}")}"></span>{code(field.name)}',
                code(str(field.type)),
                plain(said) + (f" (since version {first})" if first > 1 else ""),
            ]
        )
    return table(["column", "type", "what it holds"], rows)
