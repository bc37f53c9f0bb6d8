"""Which cells of the ledger may be compared with one another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from runner.report.entries import NO_BACKBONE
from runner.results import Result
from xmft.errors import RequestError
from xmft.recipe import BEFORE, OF_ENCODERS, idle_fields
from xmft.registry import nearest

# A setting, and cells that have it.
_Alike = tuple[dict[str, Any], list[Result]]


def chosen(
    cells: Sequence[Result],
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Result]:
    """Keep the cells that match one of the patterns of each kind; no patterns match everything.

    Args:
        cells: Cells of any tasks.
        tasks: Names or globs.
        methods: Names or globs.
        seeds: Seeds.

    Raises:
        RequestError: a pattern or a seed matches nothing.
    """
    kept = list(cells)
    if not kept:
        return kept
    for kind, patterns in (("task", tasks), ("method", methods)):
        names = sorted({getattr(cell, kind) for cell in cells})
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise RequestError(
                    f"No {kind} of the ledger matches '{pattern}'. {nearest(pattern, names)}"
                )
        if patterns:
            kept = [
                cell
                for cell in kept
                if any(fnmatchcase(getattr(cell, kind), pattern) for pattern in patterns)
            ]
    found = sorted({cell.seed for cell in cells})
    missing = [seed for seed in seeds if seed not in found]
    if missing:
        raise RequestError(
            f"No cell of the ledger has seed {', '.join(map(str, missing))}. "
            f"Known: {', '.join(map(str, found)) or 'none'}."
        )
    return [cell for cell in kept if not seeds or cell.seed in seeds]


def one_origin(cells: Sequence[Result], origins: Sequence[str]) -> tuple[list[Result], str | None]:
    """Keep the cells of one task whose data are of the origin with the most results.

    Args:
        cells: Cells of one task.
        origins: All origins; of several with as many results the first one here is kept.

    Returns:
        The cells, those included that failed and whose origin nobody knows, and a note on those
        that are left out, if any.
    """
    counts = Counter(str(cell.origin) for cell in cells if cell.value is not None)
    if not counts:
        return list(cells), None
    best = max(counts, key=lambda origin: (counts[origin], -origins.index(origin)))
    left = sorted(counts.keys() - {best})
    return [cell for cell in cells if cell.origin in (best, None)], (
        f"{cells[0].task} is compared on {best} data, its results on {', '.join(left)} data are "
        "left out"
        if left
        else None
    )


def one_setting(cells: Sequence[Result]) -> tuple[list[Result], str | None]:
    """Keep the cells of one task that share the setting with the most results.

    Args:
        cells: Cells of one task and one origin, at least one with a value.

    Returns:
        The cells, failed ones included, and a note on those that are left out, if any. Ties go to
        the setting with the newest result.
    """
    # Of one setting, in the order in which they may join others.
    alike = sorted(_alike(cells), key=lambda group: _weight(group[1]), reverse=True)
    groups = [
        _joined([group, *(other for other in alike if other is not group)])
        for group in alike
        if not any(_refines(other, group[0]) for other, _ in alike)
    ]
    setting, best = max(groups, key=lambda group: _weight(group[1]))
    kept = {cell.cell_id for cell in best}
    best = [cell for cell in cells if cell.cell_id in kept]
    counts = [
        (own, sum(cell.value is not None for cell in group))
        for own, group in alike
        if group[0].cell_id not in kept
    ]
    rest = [own for own, scored in counts if scored]
    count = sum(scored for _, scored in counts)
    if not rest:
        return best, None
    differ = {key for own in rest for key in _differences(setting, own)}
    keys = [key for key in setting | rest[0] if key in differ]
    noun = "cell" if count == 1 else "cells"
    return best, (
        f"{count} {noun} of {best[0].task} under other settings ({', '.join(keys)}) "
        f"{'is' if count == 1 else 'are'} left out"
    )


def _weight(cells: Sequence[Result]) -> tuple[int, datetime]:
    scored = [cell for cell in cells if cell.value is not None]
    return len(scored), max(cell.finished_at for cell in scored or cells)


def _joined(alike: Sequence[_Alike]) -> _Alike:
    """Return the first setting with all that others add to it, one after the other, and the cells.

    What leaves a field out goes with any value of it, but those with different values do not go
    with each other.
    """
    setting, cells = alike[0][0], list(alike[0][1])
    for own, group in alike[1:]:
        if not _differences(setting, own):
            setting = {**setting, "recipe": {**setting.get("recipe", {}), **own.get("recipe", {})}}
            cells += group
    return setting, cells


def _alike(cells: Sequence[Result]) -> list[_Alike]:
    """Return the cells of each setting, old ones with the fields that there were not yet.

    A younger field that a cell lacks is no concern of its method, or was not there yet. Only where
    another cell has it at another value than the code had before does it matter which.
    """
    recipes = [cell.config.get("recipe", {}) for cell in cells]
    contested = {
        name
        for name, value in BEFORE.items()
        if any(recipe.get(name, value) != value for recipe in recipes)
    }
    groups: dict[str, _Alike] = {}
    for cell in cells:
        setting, text = cell.setting, cell.setting_text
        lacking = contested - cell.config.get("recipe", {}).keys()
        young = sorted(lacking - _ignored(cell, lacking)) if lacking else []
        if young:
            old = {name: BEFORE[name] for name in young}
            setting = {**setting, "recipe": {**setting["recipe"], **old}}
            text = json.dumps(setting, sort_keys=True)
        groups.setdefault(text, (setting, []))[1].append(cell)
    return list(groups.values())


def _ignored(cell: Result, fields: Collection[str]) -> frozenset[str]:
    """Return the fields that are no concern of a cell; all, if nobody knows its method."""
    idle = idle_fields(cell.config.get("recipe", {}))
    if idle.issuperset(fields):
        return idle
    if cell.config.get("backbone") == NO_BACKBONE and OF_ENCODERS.issuperset(fields):
        return OF_ENCODERS
    from xmft.methods.variants import method_of  # with torch, which few boards need

    try:
        return method_of(cell.method).ignores | idle
    except RequestError:
        return frozenset(fields)


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the keys in which two settings contradict each other.

    A method that has no use for a field of the recipe leaves it out; it then goes with any value.
    """
    differ = [key for key in one | other if key != "recipe" and one.get(key) != other.get(key)]
    first, second = one.get("recipe", {}), other.get("recipe", {})
    if any(first[field] != second[field] for field in first.keys() & second.keys()):
        differ.append("recipe")
    return differ


def _refines(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether `one` says the same as `other` and more."""
    more = one.get("recipe", {}).keys() > other.get("recipe", {}).keys()
    return more and not _differences(one, other)


def lost_seeds(cells: Sequence[Result]) -> list[str]:
    """Return a note for each seed of one task that no cell has a result for."""
    found = {cell.seed for cell in cells if cell.value is not None}
    return [
        f"seed {seed} of {cells[0].task} has no result of any entry "
        f"({failure_counts([cell for cell in cells if cell.seed == seed]) or 'no value'}): it "
        "counts for none"
        for seed in sorted({cell.seed for cell in cells} - found)
    ]


def failure_counts(cells: Sequence[Result]) -> str:
    """Return the failures by class as text, `3 oom, 1 data`."""
    counts = Counter(cell.failure for cell in cells if cell.failure)
    return ", ".join(f"{count} {failure}" for failure, count in counts.most_common())
