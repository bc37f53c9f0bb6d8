"""One row of attempts for each cell, whatever files they came from: none twice, none lost.

An attempt may be in its own file and in compact ones at once, and two attempts may have been given
one number by writers that did not know of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import FILE, UNNUMBERED

# What tells one attempt from all others; two of one file's name differ in their times.
IDENTITY = ("cell_id", FILE, "started_at", "finished_at")
# What has to be read of an attempt to put it in its place.
ORDER = ("cell_id", "attempt", "started_at", "finished_at")


def merged(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables, each attempt once, numbered apart and sorted.

    Attempts with the same number are ordered by when they finished, those without a number come
    after those that have one; the later one gets the next number that is free.

    Args:
        tables: Rows with the columns `ORDER` and `FILE`; an attempt that is in several of them is
            the same in each.
    """
    kept: list[pa.Table] = []
    seen: list[pa.Array] = []
    for table in tables:
        if not table.num_rows:
            continue
        own = keys(table) if len(tables) > 1 else None
        if own is not None and seen:
            new = pc.invert(pc.is_in(own, value_set=pa.concat_arrays(seen)))
            table, own = table.filter(new), own.filter(new)
        kept.append(table)
        if own is not None:
            seen.append(own)
    if not kept:
        return tables[0]
    whole = pa.concat_tables(kept).unify_dictionaries().combine_chunks()
    return _sorted(_numbered(whole))


def keys(table: pa.Table) -> pa.Array:
    """Return of each row what tells its attempt from all others (`IDENTITY`), as a text."""
    texts = [
        table[name] if name in ("cell_id", FILE) else table[name].cast(pa.int64()).cast(pa.string())
        for name in IDENTITY
    ]
    joined = pc.binary_join_element_wise(*texts, "|")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _numbered(table: pa.Table) -> pa.Table:
    """Return the table with numbers that no two attempts of a cell share."""
    attempts = table.select(list(dict.fromkeys((*ORDER, FILE)))).group_by(list(IDENTITY))
    single = attempts.aggregate([("attempt", "min")])
    pairs = single.group_by(["cell_id", "attempt_min"]).aggregate([])
    unnumbered = pc.any(pc.equal(single["attempt_min"], UNNUMBERED)).as_py()
    if pairs.num_rows == single.num_rows and not unnumbered:
        return table
    listed = [pc.fill_null(single[name], 0) for name in ("started_at", "finished_at")]
    records = zip(
        single["cell_id"].to_pylist(),
        single["attempt_min"].to_pylist(),
        *(column.cast(pa.int64()).to_pylist() for column in reversed(listed)),
        single[FILE].to_pylist(),
        range(single.num_rows),
        strict=True,
    )
    numbers = [0] * single.num_rows
    last: tuple[str, int] = ("", 0)
    for cell_id, number, *_, place in sorted(
        records, key=lambda record: (record[0], record[1] == UNNUMBERED, *record[1:])
    ):
        free = last[1] + 1 if last[0] == cell_id else 1
        numbers[place] = max(number, free)
        last = (cell_id, numbers[place])
    places = pc.index_in(keys(table), value_set=keys(single))
    column = pa.array(numbers, table.schema.field("attempt").type).take(places)
    place = table.schema.get_field_index("attempt")
    return table.set_column(place, table.schema.field("attempt"), column)


def _sorted(table: pa.Table) -> pa.Table:
    """Return the rows by cell and attempt, those of an attempt in their order."""
    order = pc.sort_indices(table, sort_keys=[("cell_id", "ascending"), ("attempt", "ascending")])
    in_place = pc.all(pc.equal(order, pa.array(range(table.num_rows), pa.uint64()))).as_py()
    return table if in_place else table.take(order)
