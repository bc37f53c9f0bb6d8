"""Cells that went well twice, with other values: told, where only one attempt counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.schema import SELECTIONS

_SCORE = ("split", "selection", "metric", "metric_version")
# The column that says which ledger a row is of, where several are read as one.
LEDGER = "ledger"
# More of them are told in number.
_MOST = 10
# What `conflicts` reads of the ledger's rows.
CONFLICT_COLUMNS = ("cell_id", "attempt", "task", "method", "seed", "status", *_SCORE, "value")


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Two ok attempts at one cell with other values.

    Attributes:
        cell_id: The cell.
        text: What differs, for people.
    """

    cell_id: str
    text: str


def conflicts(table: pa.Table) -> list[Conflict]:
    """Return what ok attempts say otherwise than the one that counts, sorted by cell and attempt.

    Two runs of one cell, on two machines or again with `--force`, may well end with other values;
    then one of them is in no table.

    Args:
        table: Rows of the ledger.
    """
    named = [LEDGER] if LEDGER in table.column_names else []
    ok = table.select([*CONFLICT_COLUMNS, *named]).filter(pc.field("status") == "ok")
    attempts = ok.group_by(["cell_id", "attempt"]).aggregate([])
    counted = attempts.group_by("cell_id").aggregate([("attempt", "count")])
    several = counted.filter(pc.field("attempt_count") > 1)["cell_id"]
    if not len(several):
        return []
    wanted = pc.field("cell_id").isin(several) & pc.field("selection").isin(SELECTIONS)
    cells: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for row in ok.filter(wanted).to_pylist():
        cells.setdefault(row["cell_id"], {}).setdefault(row["attempt"], []).append(row)
    return [one for _, found in sorted(cells.items()) for one in _of_cell(found)]


def told(found: Sequence[Conflict]) -> list[str]:
    """Return what people are told of conflicts: a sentence each for the first, then how many."""
    sentences = [one.text for one in found[:_MOST]]
    more = len(found) - len(sentences)
    if more:
        attempts = "more ok attempts have" if more > 1 else "more ok attempt has"
        sentences.append(
            f"{more} {attempts} other values than the attempt that counts: `xmft diff` compares "
            "two ledgers cell by cell, `xmft show CELL` has the attempts of one"
        )
    return sentences


def _of_cell(attempts: dict[int, list[dict[str, Any]]]) -> Iterator[Conflict]:
    counts = max(attempts)
    values = {_place(row): row["value"] for row in attempts[counts]}
    for number, rows in sorted(attempts.items()):
        others = [
            f"{row['split']} {row['selection']} {row['metric']} {_text(row['value'])} instead of "
            f"{_text(values[_place(row)])}"
            for row in rows
            if _place(row) in values and differ(row["value"], values[_place(row)])
        ]
        if number != counts and others:
            first = rows[0]
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            yield Conflict(
                cell_id=first["cell_id"],
                text=(
                    f"{first['task']} {first['method']} seed {first['seed']} (cell "
                    f"{first['cell_id']}): {_name(number, rows)} is ok with other values than "
                    f"{_name(counts, attempts[counts])}, which counts: {others[0]}{more}"
                ),
            )


def _name(number: int, rows: Sequence[dict[str, Any]]) -> str:
    ledger = rows[0].get(LEDGER)
    return f"attempt {number}" + (f" ({ledger})" if ledger else "")


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SCORE)


def differ(one: float | None, other: float | None) -> bool:
    """Tell whether two values of a metric are not the same; NaN is the same as NaN."""
    if one is None or other is None:
        return one is not other
    return one != other and not (one != one and other != other)


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"
