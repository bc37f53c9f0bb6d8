"""How each number was made: what the dialog of a cell shows, in files that are loaded on demand.

Cells of one task and method share a file, and in it texts that are the same in many of them, such
as configurations, stand once. A page opened from a disk may load no JSON, but it may load scripts:
each file is one call with its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.report.site.cell_rows import CellRows
from runner.report.site.json_text import plain, script_json
from runner.results import Result
from runner.schema import SCHEMA
from xmft.errors import RequestError

_SCORE = ("split", "selection", "metric", "metric_version", "direction", "value", "epoch")
# What the row of the cell says already, or its configuration does.
_OF_CELL = (
    *("cell_id", "task", "suite", "task_version", "method", "method_version", "seed"),
    *("protocol", "backbone", "precision", "config_json"),
)
_FACTS = tuple(name for name in SCHEMA.names if name not in (*_OF_CELL, *_SCORE))
_JSON = ("versions", "invocation")
_MOST_IN_A_FILE = 100
# Digits of the points of a curve, which is drawn and not computed with.
_DIGITS = 7

Curves = Callable[[Result], Mapping[str, Sequence[Sequence[float | None]]]]
"""From a cell to its curves: by split and name its epochs and values."""
Again = Callable[[Mapping[str, Any]], str]
"""From the row of an attempt to the command that makes its cell again."""


def chunks(
    table: pa.Table, rows: CellRows, curves: Curves, again: Again
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield name and content of each file of details, and the ids of the cells in it.

    The name holds a hash of the content: what changes gets another name.

    Args:
        table: All rows and columns of the ledger.
        rows: The cells of the page.
        curves: What gives the curves of a cell.
        again: What gives the command that makes a cell again; it may raise `RequestError`.
    """
    told = _Told(table, rows, curves, again)
    groups: dict[tuple[str, str], list[Result]] = {}
    for cell in rows.cells:
        groups.setdefault((cell.task, cell.method), []).append(cell)
    for cells in groups.values():
        for start in range(0, len(cells), _MOST_IN_A_FILE):
            part = cells[start : start + _MOST_IN_A_FILE]
            shared = _Shared()
            content = {cell.cell_id: told.details(cell, shared) for cell in part}
            text = script_json({"shared": shared.values, "cells": content})
            name = hashlib.sha256(text.encode()).hexdigest()[:16]
            call = f"xmftDetails({script_json(name)},{text});\n"
            yield f"{name}.js", call, [cell.cell_id for cell in part]


class _Shared:
    """Values that stand once in a file, and are told by their places."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, text: str, value: Callable[[str], Any] = str) -> int:
        """Return the place of what `value` makes of a text; it is asked once for each text."""
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(plain(value(text)))
        return self._places[text]


class _Told:
    """What the ledger says of its cells."""

    def __init__(self, table: pa.Table, rows: CellRows, curves: Curves, again: Again) -> None:
        wanted = pa.array(list(rows.place), pa.string())
        table = table.filter(pc.is_in(table["cell_id"], value_set=wanted))
        self._attempts = _attempts(table)
        counting = {(cell.cell_id, cell.attempt) for cell in rows.cells}
        self._scores = _scores(table, counting)
        self._curves, self._again = curves, again

    def details(self, cell: Result, shared: _Shared) -> dict[str, Any]:
        attempts = self._attempts[cell.cell_id]
        counts = next(one for one in attempts if one["attempt"] == cell.attempt)
        config = json.dumps({name: one for name, one in cell.config.items() if name != "seed"})
        found = {
            "state": cell.state,
            "counts": cell.attempt,
            "config": shared.place(config, json.loads),
            "attempts": [_attempt(one, shared) for one in attempts],
            "scores": plain(self._scores.get(cell.cell_id, [])),
            "curves": plain(self._curves(cell)),
        }
        try:
            found["command"] = plain(self._again(counts))
        except RequestError as error:
            found["refusal"] = plain(str(error))
        return found


def _attempts(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Return the facts of every attempt by cell, in their order."""
    names = ["cell_id", *_FACTS, "config_json"]
    places = table.select(["cell_id", "attempt"])
    places = places.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    first = places.group_by(["cell_id", "attempt"]).aggregate([("row", "min")])
    first = first.sort_by([("cell_id", "ascending"), ("attempt", "ascending")])["row_min"]
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.select(names).take(first).to_pylist():
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _attempt(facts: Mapping[str, Any], shared: _Shared) -> dict[str, Any]:
    """Return what is known of an attempt; versions and surroundings as places of shared values."""
    told = {name: facts[name] for name in _FACTS if facts[name] is not None}
    for name in _JSON:
        if name in told:
            told[name] = shared.place(told[name], _parsed)
    if "error" in told:
        told["error"] = shared.place(told["error"])
    plain_told: dict[str, Any] = plain(told)
    return plain_told


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # of somebody else's making
        return text


def _scores(table: pa.Table, counting: set[tuple[str, int]]) -> dict[str, list[list[Any]]]:
    """Return the scores of the attempts that count, by cell."""
    rows = table.select(["cell_id", "attempt", *_SCORE]).filter(pc.field("metric").is_valid())
    columns = [rows[name].to_pylist() for name in rows.column_names]
    found: dict[str, list[list[Any]]] = {}
    for cell_id, attempt, *score in zip(*columns, strict=True):
        if (cell_id, attempt) in counting:
            found.setdefault(cell_id, []).append(score)
    return found


def curves_in(table: pa.Table) -> dict[str, list[list[float | None]]]:
    """Return curves of the ledger by split and name, each as its epochs and its values."""
    found: dict[str, list[list[float | None]]] = {}
    names = ("epoch", "split", "name", "value")
    columns = [table[name].to_pylist() for name in names]
    for epoch, split, name, value in sorted(zip(*columns, strict=True), key=lambda one: one[0]):
        curve = found.setdefault(f"{split} {name}", [[], []])
        curve[0].append(epoch)
        curve[1].append(value if value is None else float(f"{value:.{_DIGITS}g}"))
    return found
