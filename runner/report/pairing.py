"""Which cell of one ledger is which of another, and in what the two differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from runner.results import Result

# Parts of a cell's configuration whose values say nothing to people.
_HASHES = ("data", "weights", "plugins")


def paired(
    first: Sequence[Result], second: Sequence[Result]
) -> Iterator[tuple[Result | None, Result | None]]:
    """Yield each cell once, with what it is in the other ledger."""
    left, right = list(first), list(second)
    for key in (lambda cell: cell.cell_id, _exactly, _roughly, _method):
        ones, others = _unique(left, key), _unique(right, key)
        both = sorted(ones.keys() & others.keys())
        yield from ((ones[one], others[one]) for one in both)
        done = {id(found[one]) for one in both for found in (ones, others)}
        left = [cell for cell in left if id(cell) not in done]
        right = [cell for cell in right if id(cell) not in done]
    yield from ((cell, None) for cell in left)
    yield from ((None, cell) for cell in right)


def _unique(cells: Sequence[Result], key: Callable[[Result], str]) -> dict[str, Result]:
    """Return the cells that no other one shares its key with."""
    groups: dict[str, list[Result]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return {key: group[0] for key, group in groups.items() if len(group) == 1}


def _method(cell: Result) -> str:
    said = (cell.task, cell.method, cell.config.get("backbone"), cell.seed, cell.protocol)
    return json.dumps([*said, cell.origin, bool(cell.config.get("tuned"))])


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
