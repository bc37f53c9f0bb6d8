"""Which cell of one ledger is which of another, and in what the two differ.

A cell that failed before its data were opened does not know where they came from: it goes with a
cell of any origin, if there is one alone that it can be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from runner.report.entries import contenders_of
from runner.results import Result

# Parts of a cell's configuration whose values say nothing to people.
_HASHES = ("data", "weights", "plugins")


def paired(
    first: Sequence[Result], second: Sequence[Result]
) -> Iterator[tuple[Result | None, Result | None]]:
    """Yield each cell once, with what it is in the other ledger."""
    left, right = _with_origins(first, second), _with_origins(second, first)
    for key in (lambda cell: cell.cell_id, _exactly, _roughly, _method):
        for known in (True, False):
            both = list(_matched(left, right, key, known))
            yield from both
            done = {id(cell) for pair in both for cell in pair}
            left = [cell for cell in left if id(cell) not in done]
            right = [cell for cell in right if id(cell) not in done]
    yield from ((cell, None) for cell in left)
    yield from ((None, cell) for cell in right)


def lost_entries(pairs: Iterable[tuple[Result | None, Result | None]]) -> set[int]:
    """Return `id()` of the cells with values in A whose entry has none of them in B on their task.

    The entries are those of A: in B some of their cells may be of another version.
    """
    valued = [(a, b) for a, b in pairs if a is not None and a.value is not None]
    entries = contenders_of([a for a, _ in valued])
    labels = {id(cell): entry.label for entry in entries for cell in entry.cells}
    there = {(a.task, a.origin, labels[id(a)]) for a, b in valued if b is not None}
    return {id(a) for a, _ in valued if (a.task, a.origin, labels[id(a)]) not in there}


def _with_origins(cells: Sequence[Result], others: Sequence[Result]) -> list[Result]:
    """Return cells with the origin that cells of either ledger on the same data have."""
    origins = {
        cell.config.get("data"): cell.origin
        for cell in (*others, *cells)
        if cell.origin is not None
    }
    return [
        replace(cell, origin=origins.get(cell.config.get("data"))) if cell.origin is None else cell
        for cell in cells
    ]


def _matched(
    left: Sequence[Result], right: Sequence[Result], key: Callable[[Result], str], known: bool
) -> Iterator[tuple[Result, Result]]:
    """Yield the pairs that no other cell could be part of.

    Args:
        left: Cells of A.
        right: Cells of B.
        key: What both say.
        known: Whether both say the same origin as well; otherwise one of them says none.
    """
    ones, others = (_unique(cells, key, known) for cells in (left, right))
    for one in sorted(ones.keys() & others.keys()):
        origins = {ones[one].origin, others[one].origin}
        if len(origins) == 1 or None in origins:
            yield ones[one], others[one]


def _unique(
    cells: Sequence[Result], key: Callable[[Result], str], known: bool
) -> dict[tuple[str, str | None], Result]:
    """Return the cells that no other one shares its key with."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for cell in cells:
        groups.setdefault((key(cell), cell.origin if known else None), []).append(cell)
    return {said: group[0] for said, group in groups.items() if len(group) == 1}


def _method(cell: Result) -> str:
    said = (cell.task, cell.method, cell.config.get("backbone"), cell.seed, cell.protocol)
    return json.dumps([*said, bool(cell.config.get("tuned"))])


def _roughly(cell: Result) -> str:
    return _method(cell) + json.dumps(cell.config.get("method_config"), sort_keys=True)


def _exactly(cell: Result) -> str:
    said = [cell.config.get(name) for name in ("recipe", "own_recipe", "source", "tuned")]
    return _roughly(cell) + json.dumps(said, sort_keys=True)


def why_not(first: Result, second: Result) -> str:
    """Return why the values of two cells mean different things; empty if they do not."""
    reasons = []
    if first.metric != second.metric:
        reasons.append(f"ranked by {first.metric} in A, {second.metric} in B")
    elif first.metric_version != second.metric_version:
        reasons.append(
            f"{first.metric} v{first.metric_version} in A, v{second.metric_version} in B"
        )
    elif first.direction != second.direction and None not in (first.direction, second.direction):
        reasons.append(f"{first.metric} is {first.direction} in A, {second.direction} in B")
    versions = [cell.config.get("task_version") for cell in (first, second)]
    if versions[0] != versions[1]:
        reasons.append(f"task v{versions[0]} in A, v{versions[1]} in B")
    return "; ".join(reasons)


def changed_parts(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """Yield in what two configurations differ, such as `method_version 1 -> 2` or `data`."""
    for name in sorted(first.keys() | second.keys()):
        one, other = first.get(name), second.get(name)
        if one == other:
            continue
        if name in _HASHES:
            yield name
        elif isinstance(one, dict) and isinstance(other, dict):
            for key in sorted(one.keys() | other.keys()):
                if one.get(key) != other.get(key):
                    yield f"{name}.{key} {_said(one.get(key))} -> {_said(other.get(key))}"
        else:
            yield f"{name} {_said(one)} -> {_said(other)}"


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
