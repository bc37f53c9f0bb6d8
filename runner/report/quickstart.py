"""The table and the picture of the README's quick start.

The ledger of that run is not in the repository; the rows that its leaderboard is made of are, in a
small Parquet file, so that the table can be made again whenever leaderboards look different.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from runner.attempt_files import conformed
from runner.report.compare import Query, build
from runner.report.markdown import to_markdown
from runner.report.plots.plot import Plot
from runner.schema import REFERENCE, SCHEMA
from xmft.errors import RequestError

# What tells where somebody ran it, and no leaderboard asks for.
_PRIVATE = ("host", "invocation", "error")


def kept(table: pa.Table) -> pa.Table:
    """Return the rows of a ledger that its leaderboard is made of, for the repository.

    Args:
        table: All rows; those of the epoch that validation chose, and of the error floor, on the
            test split and under the metric that ranks, are kept.
    """
    query = Query()
    ranking = [column.metric for board in build(table, query) for column in board.tasks]
    chosen = (pc.field("selection") == query.selection) & pc.field("metric").isin(ranking)
    rows = table.filter(
        (pc.field("split") == query.split) & (chosen | (pc.field("selection") == REFERENCE))
    )
    for name in _PRIVATE:
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        rows = rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows


def write_kept(rows: pa.Table, path: Path) -> None:
    """Write the rows to a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(rows, path, compression="zstd")


def read_kept(path: Path) -> pa.Table:
    """Return the rows of a Parquet file.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        return conformed(parquet.read_table(path), SCHEMA.names)
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(
            f"The rows of the quick start cannot be read from {path} ({type(error).__name__}). "
            "--results DIR makes the file of a ledger of `xmft run quick`."
        ) from None


def quickstart(rows: pa.Table, picture: Plot | None, source: str = "") -> str:
    """Return the table of the quick start as Markdown, what it means, and its picture.

    Args:
        rows: What `kept` returned.
        picture: The plot; None for none.
        source: Address of the picture's file, as the document names it.
    """
    text = to_markdown(build(rows), ledger="", published=False)
    blocks = text.split("\n\n")
    place = next(i for i, block in enumerate(blocks) if block.startswith("|"))
    # In front of the table a document says how it was made, and what its columns mean.
    parts = [blocks[place].strip(), blocks[place - 1].strip()]
    if picture is not None:
        alt = " ".join(picture.alt.replace("[", "(").replace("]", ")").split())
        parts += [f"![{alt}]({source})", picture.caption]
    return "\n\n".join(parts)
