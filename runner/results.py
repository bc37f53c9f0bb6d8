"""The results of the ledger: each cell once, its state derived from its attempts.

This is the one place that says which attempt counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from runner.config_texts import ConfigParser
from runner.schema import BASE, ERROR_FLOOR, FIRST_FLOORS, FLOOR_SPREAD, REFERENCE
from runner.score_rows import NOTHING, SCORE, Scores, scores_in
from runner.usage import device_seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

State = Literal["ok", "failed"]

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
    "own_recipe",
    "trial",
    "tuned",
}
_FACTS = (
    "cell_id",
    "attempt",
    "task",
    "method",
    "seed",
    "protocol",
    "data_origin",
    "status",
    "failure",
    "error",
    "align_s",
    "fit_s",
    "wall_s",
    "gpu_s",
    "cpu_s",
    "flops",
    "finished_at",
    "config_json",
)
# What `results` reads of the ledger's rows.
RESULT_COLUMNS = tuple(dict.fromkeys((*_FACTS, "split", "selection", *SCORE)))


@dataclass(frozen=True, kw_only=True)
class Result:
    """One cell with its state, and its result under the main metric of its task.

    Attributes:
        state: `ok` if any attempt is ok.
        attempt: Number of the attempt that counts: the latest ok one, else the latest.
        attempts: How many attempts there are.
        failure: Class of the latest attempt's failure; None if any attempt is ok.
        error: Message or traceback of that failure.
        origin: Of the data; None if the cell failed and no other cell used the same data.
        config: What the cell id is the hash of.
        metric: The task's main metric, the first of the cell's `metric_versions`.
        metric_version: Its version.
        direction: `min` or `max`; None where the cell has no value.
        value: None if the cell failed, lacks the number, or the number is not finite.
        base_value: The same of the closed form alone that its network learns from, if it does.
        floor: What a perfect solver would score on its data; None if unknown or not finite.
        floor_spread: Median and largest of that over the test samples, and how many these are, by
            the names of `FLOOR_SPREAD`; empty where it was measured on others.
        own_s: Seconds of the attempt that counts.
        device_s: Its device seconds (`runner.usage`); None if unknown.
        flops: Floating-point operations that its scores took; None if unknown.
        wall_s: Seconds of all attempts, the failed ones included; likewise `align_s`, `fit_s` and
            `gpu_s`, the seconds that GPUs were held.
        finished_at: End of the latest attempt.
        memory: What was made of the configuration before, for all cells that differ in the seed.
    """

    cell_id: str
    task: str
    method: str
    seed: int
    protocol: str
    state: State
    attempt: int
    attempts: int
    failure: str | None
    error: str | None
    origin: str | None
    config: dict[str, Any]
    metric: str
    metric_version: int
    direction: str | None
    value: float | None
    base_value: float | None
    floor: float | None
    floor_spread: dict[str, float]
    own_s: float
    device_s: float | None
    flops: float | None
    wall_s: float
    align_s: float
    fit_s: float
    gpu_s: float
    finished_at: datetime
    memory: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def setting(self) -> dict[str, Any]:
        """The part of the configuration that compared cells of one task must share."""
        if "setting" not in self.memory:
            kept = {key: value for key, value in self.config.items() if key not in _COMPARED}
            own = self.own_recipe
            recipe = self.config.get("recipe", {})
            kept["recipe"] = {k: v for k, v in recipe.items() if k not in own}
            plugins = self.config.get("plugins", {})
            of_task = {role: text for role, text in plugins.items() if not _is_of_method(role)}
            kept |= {"main_metric": self.metric, "plugins": of_task}
            self.memory["setting"] = kept, json.dumps(kept, sort_keys=True)
        return cast(dict[str, Any], self.memory["setting"][0])

    @property
    def setting_text(self) -> str:
        """The setting as canonical JSON."""
        _ = self.setting
        return cast(str, self.memory["setting"][1])

    def text_of(self, keys: tuple[str, ...]) -> str:
        """Return values of the configuration, all but the seed, as canonical JSON."""
        if keys not in self.memory:
            values = [self.config.get(key) for key in keys]
            self.memory[keys] = json.dumps(values, sort_keys=True)
        return cast(str, self.memory[keys])

    @property
    def own_recipe(self) -> dict[str, Any]:
        """The fields of the recipe that are part of its method, not of the setting."""
        recipe = self.config.get("recipe", {})
        return {name: recipe[name] for name in self.config.get("own_recipe", ())}

    @property
    def method_plugins(self) -> dict[str, str]:
        """The plug-ins that its method is made of, with the hash of their text."""
        plugins = self.config.get("plugins", {})
        return {role: text for role, text in plugins.items() if _is_of_method(role)}


def _is_of_method(role: str) -> bool:
    return role.startswith(("method:", "source:", "backbone:"))


def counting(statuses: Sequence[str]) -> int:
    """Return the place of the attempt that stands for its cell: the latest ok one, else the latest.

    Args:
        statuses: Of the cell's attempts in their order; at least one.
    """
    ok = [place for place, status in enumerate(statuses) if status == "ok"]
    return ok[-1] if ok else len(statuses) - 1


def results(
    table: pa.Table, *, selection: str = "best_val", split: str = "test", trials: bool = False
) -> list[Result]:
    """Return every cell of the table once, sorted by id.

    Args:
        table: Rows of the ledger.
        selection: Rule that chose the epoch of the values, `last` or `best_val`.
        split: Split of the values.
        trials: Whether to return the trials of searches instead, which belong in no comparison.
    """
    wanted = (pc.field("split") == split) & (pc.field("selection") == selection)
    scores = scores_in(table, wanted)
    bases = scores_in(table, (pc.field("split") == split) & (pc.field("selection") == BASE))
    floors = scores_in(table, pc.field("selection") == REFERENCE)
    cells: dict[str, list[dict[str, Any]]] = {}
    for attempt in _attempts(table):
        if bool(attempt["config"].get("trial")) == trials:
            cells.setdefault(attempt["cell_id"], []).append(attempt)
    return [_result(attempts, scores, bases, floors) for attempts in cells.values()]


def _attempts(table: pa.Table) -> list[dict[str, Any]]:
    """Return the facts of every attempt (`_FACTS`) once, sorted by cell and attempt.

    `config` is the parsed `config_json`, `memory` what it is remembered with. An attempt that
    failed before its data were opened does not know their origin; it is that of any attempt on
    data with the same fingerprint.
    """
    places = table.select(["cell_id", "attempt"])
    places = places.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    first = places.group_by(["cell_id", "attempt"]).aggregate([("row", "min")])
    first = first.sort_by([("cell_id", "ascending"), ("attempt", "ascending")])["row_min"]
    facts = table.select(list(_FACTS)).take(first)
    columns = [_plain(facts[name]) for name in _FACTS]
    attempts = [dict(zip(_FACTS, values, strict=True)) for values in zip(*columns, strict=True)]
    origins: dict[str | None, str] = {}
    parse = ConfigParser()
    for attempt in attempts:
        attempt["config"], attempt["memory"] = parse(attempt.pop("config_json"))
        if attempt["data_origin"]:
            origins[attempt["config"].get("data")] = attempt["data_origin"]
    for attempt in attempts:
        if not attempt["data_origin"]:
            attempt["data_origin"] = origins.get(attempt["config"].get("data"))
    return attempts


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; times without pyarrow's way over pandas."""
    if not pa.types.is_timestamp(column.type):
        return cast(list[Any], column.to_pylist())
    counts = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    return [None if n is None else _EPOCH + timedelta(microseconds=n) for n in counts]


def _result(
    attempts: Sequence[dict[str, Any]], scores: Scores, bases: Scores, floors: Scores
) -> Result:
    counts = attempts[counting([attempt["status"] for attempt in attempts])]
    cell_id, number, config = counts["cell_id"], counts["attempt"], counts["config"]
    # A mapping, or pairs where the writer of the JSON sorts the keys of mappings.
    metric, version = next(iter(dict(config["metric_versions"]).items()))
    value, direction, _ = scores.get((cell_id, number, metric), NOTHING)
    value = _finite(value)
    floor, _, floor_version = floors.get((cell_id, number, ERROR_FLOOR), NOTHING)
    known = metric == FIRST_FLOORS or floor_version != 1
    spread = {
        name: cast(float, floors[cell_id, number, of][0])
        for name, of in FLOOR_SPREAD.items()
        if known and (cell_id, number, of) in floors
    }
    return Result(
        cell_id=cell_id,
        task=counts["task"],
        method=counts["method"],
        seed=counts["seed"],
        protocol=counts["protocol"],
        state=counts["status"],
        attempt=number,
        attempts=len(attempts),
        failure=counts["failure"],
        error=counts["error"],
        origin=counts["data_origin"],
        config=config,
        metric=metric,
        metric_version=version,
        direction=None if value is None else direction,
        value=value,
        base_value=_finite(bases.get((cell_id, number, metric), NOTHING)[0]),
        floor=_finite(floor) if known else None,
        floor_spread=spread,
        own_s=counts["wall_s"] or 0.0,
        device_s=device_seconds(counts["gpu_s"], counts["cpu_s"]),
        flops=counts["flops"],
        wall_s=_total(attempts, "wall_s"),
        align_s=_total(attempts, "align_s"),
        fit_s=_total(attempts, "fit_s"),
        gpu_s=_total(attempts, "gpu_s"),
        finished_at=attempts[-1]["finished_at"],
        memory=counts["memory"],
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _total(attempts: Sequence[dict[str, Any]], column: str) -> float:
    return math.fsum(attempt[column] or 0.0 for attempt in attempts)
