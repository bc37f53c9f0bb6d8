"""Attempts of several ledgers as those of one: none twice, numbered so that one of them counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from runner.submissions.digests import row_texts

# The column that says whose a row is: the place of the ledger among those that were named.
PLACE = "place"
# What tells whether two attempts at a cell are the same one.
CONTENT = ("status", "split", "selection", "metric", "metric_version", "value")


def one_numbering(table: pa.Table) -> pa.Table:
    """Return the rows with each attempt once, those of cells of several ledgers numbered anew."""
    pairs = table.select(["cell_id", PLACE]).group_by(["cell_id", PLACE]).aggregate([])
    counted = pairs.group_by("cell_id").aggregate([(PLACE, "count")])
    several = counted.filter(pc.field(f"{PLACE}_count") > 1)["cell_id"]
    if not len(several):
        return table
    shared = pc.is_in(table["cell_id"], value_set=several.combine_chunks())
    alone, mixed = table.filter(pc.invert(shared)), table.filter(shared).combine_chunks()
    keys = _keys(mixed)
    times = mixed.select(["cell_id", PLACE, "attempt", "started_at", "finished_at"])
    single = (
        times.append_column("key", keys)
        .group_by("key")
        .aggregate([(name, "min") for name in times.column_names])
    )
    attempts = [
        _Found(*values)
        for values in zip(
            single["key"].to_pylist(),
            *(single[f"{name}_min"].to_pylist() for name in ("cell_id", PLACE, "attempt")),
            *(
                pc.fill_null(single[f"{name}_min"].cast(pa.int64()), 0).to_pylist()
                for name in ("started_at", "finished_at")
            ),
            strict=True,
        )
    ]
    twins = Counter(one.when for one in attempts)
    content = _contents(mixed, keys, [one.key for one in attempts if twins[one.when] > 1])
    # Of the same attempts that of the ledger that is named first stays; of others that ended at
    # once it comes last, where it counts.
    kept: dict[tuple[Any, ...], _Found] = {}
    alike: Counter[tuple[Any, ...]] = Counter()
    for one in sorted(attempts, key=lambda one: (one.place, one.number)):
        said = one.when, content.get(one.key)
        alike[one.place, said] += 1  # one ledger may well have two: a copy has two as well
        kept.setdefault((said, alike[one.place, said]), one)
    numbers: dict[str, int] = {}
    last: Counter[str] = Counter()
    for one in sorted(kept.values(), key=lambda one: (one.finished, -one.place, one.number)):
        last[one.cell_id] += 1
        numbers[one.key] = last[one.cell_id]
    places = pc.index_in(keys, value_set=single["key"].combine_chunks())
    field = table.schema.field("attempt")
    column = pa.array([numbers.get(one.key) for one in attempts], field.type).take(places)
    mixed = mixed.set_column(table.schema.get_field_index("attempt"), field, column)
    return pa.concat_tables([alone, mixed.filter(pc.is_valid(mixed["attempt"]))])


class _Found(NamedTuple):
    """An attempt of one of several ledgers; times in microseconds."""

    key: str
    cell_id: str
    place: int
    number: int
    started: int
    finished: int

    @property
    def when(self) -> tuple[str, int, int]:
        """What copies of it have in common."""
        return self.cell_id, self.started, self.finished


def _keys(table: pa.Table) -> pa.Array:
    """Return of each row what tells its attempt from those of all ledgers."""
    texts = [table[name].cast(pa.string()) for name in ("cell_id", PLACE, "attempt")]
    return pc.binary_join_element_wise(*texts, "|").combine_chunks()


def _contents(table: pa.Table, keys: pa.Array, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what some attempts say of how they went, by their keys."""
    among = pc.is_in(keys, value_set=pa.array(wanted, pa.string()))
    found: dict[str, list[str]] = {}
    texts = row_texts(table.select(list(CONTENT)).filter(among)).to_pylist()
    for key, text in zip(keys.filter(among).to_pylist(), texts, strict=True):
        found.setdefault(key, []).append(text)
    return {key: tuple(sorted(texts)) for key, texts in found.items()}


def holders(table: pa.Table) -> dict[str, list[int]]:
    """Return the places that have attempts at each cell, that of the one that counts first."""
    by = ["cell_id", PLACE, "status"]
    latest = table.select([*by, "attempt"]).group_by(by).aggregate([("attempt", "max")])
    found: dict[str, list[tuple[bool, int, int]]] = {}
    columns = (latest[name].to_pylist() for name in ("cell_id", PLACE, "status", "attempt_max"))
    for cell_id, place, status, number in zip(*columns, strict=True):
        found.setdefault(cell_id, []).append((status == "ok", number, place))
    return {
        cell_id: list(dict.fromkeys(place for *_, place in sorted(attempts, reverse=True)))
        for cell_id, attempts in found.items()
    }
