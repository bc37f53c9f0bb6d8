"""From the rows of the ledger to the cells that may be compared with one another."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.schema import ERROR_FLOOR, REFERENCE
from xmft.errors import RequestError
from xmft.registry import nearest

# The metric that error floors are given in.
_FLOOR_OF = "nrmse"
# What the cells of one task may differ in and still be compared; the rest of a cell's
# configuration (recipe, data, versions of task and metrics, protocol) is the task's setting.
_COMPARED = {
    "method",
    "method_version",
    "method_config",
    "backbone",
    "weights",
    "source",
    "seed",
}
_FACTS = (
    "cell_id",
    "attempt",
    "task",
    "method",
    "seed",
    "data_origin",
    "status",
    "failure",
    "align_s",
    "fit_s",
    "wall_s",
    "finished_at",
    "config_json",
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell with its result under the main metric of its task.

    Attributes:
        origin: Of the data; None if the cell failed and no other cell used the same data.
        config: What the cell id is the hash of.
        metric: The task's main metric, the first of the cell's `metric_versions`.
        metric_version: Its version.
        direction: `min` or `max`; None where the cell has no value.
        value: None if the cell failed, lacks the number, or the number is not finite.
        floor: What a perfect solver would score on its data; None if unknown.
        failure: Class of the latest attempt's failure; None if any attempt is ok.
        wall_s: Seconds of all attempts, the failed ones included; likewise `align_s`, `fit_s`.
        finished_at: End of the latest attempt.
    """

    cell_id: str
    task: str
    method: str
    seed: int
    origin: str | None
    config: dict[str, Any]
    metric: str
    metric_version: int
    direction: str | None
    value: float | None
    floor: float | None
    failure: str | None
    wall_s: float
    align_s: float
    fit_s: float
    finished_at: datetime

    @property
    def setting(self) -> dict[str, Any]:
        """The part of the configuration that compared cells of one task must share."""
        kept = {key: value for key, value in self.config.items() if key not in _COMPARED}
        return kept | {"main_metric": self.metric}


def attempts_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return the facts of every attempt (`_FACTS`) once, sorted by cell and attempt.

    `config` is the parsed `config_json`. An attempt that failed before its data were opened does
    not know their origin; it is that of any attempt on data with the same fingerprint.
    """
    numbered = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    first = numbered.group_by(["cell_id", "attempt"]).aggregate([("row", "min")])["row_min"]
    facts = table.select(list(_FACTS)).take(first)
    attempts: list[dict[str, Any]] = facts.sort_by(
        [("cell_id", "ascending"), ("attempt", "ascending")]
    ).to_pylist()
    origins: dict[str | None, str] = {}
    for attempt in attempts:
        attempt["config"] = json.loads(attempt["config_json"])
        if attempt["data_origin"]:
            origins[attempt["config"].get("data")] = attempt["data_origin"]
    for attempt in attempts:
        if not attempt["data_origin"]:
            attempt["data_origin"] = origins.get(attempt["config"].get("data"))
    return attempts


def cells_of(table: pa.Table, *, selection: str, split: str) -> list[Cell]:
    """Return every cell of the table once.

    The latest ok attempt gives the value; a cell without an ok attempt has none.

    Args:
        table: Rows of the ledger, of one protocol.
        selection: Rule that chose the epoch, `last` or `best_val`.
        split: Split of the values.
    """
    wanted = (pc.field("split") == split) & (pc.field("selection") == selection)
    columns = ["cell_id", "attempt", "metric", "direction", "value"]
    scores = {
        (row["cell_id"], row["attempt"], row["metric"]): row
        for row in table.filter(wanted).select(columns).to_pylist()
    }
    known = (pc.field("selection") == REFERENCE) & (pc.field("metric") == ERROR_FLOOR)
    floors = {
        (row["cell_id"], row["attempt"]): row["value"]
        for row in table.filter(known).select(columns).to_pylist()
    }
    by_cell: dict[str, list[dict[str, Any]]] = {}
    for attempt in attempts_of(table):
        by_cell.setdefault(attempt["cell_id"], []).append(attempt)
    cells = []
    for cell_id, attempts in by_cell.items():
        ok = [attempt for attempt in attempts if attempt["status"] == "ok"]
        latest = (ok or attempts)[-1]
        config = latest["config"]
        # A mapping, or pairs where the writer of the JSON sorts the keys of mappings.
        metric, version = next(iter(dict(config["metric_versions"]).items()))
        score = scores.get((cell_id, latest["attempt"], metric)) if ok else None
        value = None if score is None else score["value"]
        usable = score is not None and value is not None and math.isfinite(value)
        cells.append(
            Cell(
                cell_id=cell_id,
                task=latest["task"],
                method=latest["method"],
                seed=latest["seed"],
                origin=latest["data_origin"],
                config=config,
                metric=metric,
                metric_version=version,
                direction=score["direction"] if usable and score else None,
                value=value if usable else None,
                floor=floors.get((cell_id, latest["attempt"])) if metric == _FLOOR_OF else None,
                failure=None if ok else latest["failure"],
                wall_s=_total(attempts, "wall_s"),
                align_s=_total(attempts, "align_s"),
                fit_s=_total(attempts, "fit_s"),
                finished_at=attempts[-1]["finished_at"],
            )
        )
    return cells


def chosen(
    cells: Sequence[Cell],
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Cell]:
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


def one_setting(cells: Sequence[Cell]) -> tuple[list[Cell], str | None]:
    """Keep the cells of one task that share the setting with the most results.

    Args:
        cells: Cells of one task and one origin, at least one with a value.

    Returns:
        The cells, failed ones included, and a note on those that are left out, if any. Ties go to
        the setting with the newest result.
    """
    settings = {json.dumps(cell.setting, sort_keys=True): cell.setting for cell in cells}
    groups = [
        (setting, [cell for cell in cells if not _differences(setting, cell.setting)])
        for setting in settings.values()
        if not any(_refines(other, setting) for other in settings.values())
    ]

    def weight(group: tuple[dict[str, Any], list[Cell]]) -> tuple[int, datetime]:
        scored = [cell for cell in group[1] if cell.value is not None]
        return len(scored), max(cell.finished_at for cell in scored or group[1])

    setting, best = max(groups, key=weight)
    kept = {cell.cell_id for cell in best}
    others = [cell for cell in cells if cell.value is not None and cell.cell_id not in kept]
    if not others:
        return best, None
    differ = {key for cell in others for key in _differences(setting, cell.setting)}
    keys = [key for key in setting | others[0].setting if key in differ]
    noun = "cell" if len(others) == 1 else "cells"
    return best, (
        f"{len(others)} {noun} of {best[0].task} under other settings ({', '.join(keys)}) "
        f"{'is' if len(others) == 1 else 'are'} left out"
    )


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


def failure_counts(cells: Sequence[Cell]) -> str:
    """Return the failures by class as text, `3 oom, 1 data`."""
    counts = Counter(cell.failure for cell in cells if cell.failure)
    return ", ".join(f"{count} {failure}" for failure, count in counts.most_common())


def _total(attempts: Sequence[dict[str, Any]], column: str) -> float:
    return math.fsum(attempt[column] or 0.0 for attempt in attempts)
