"""A finished cell as loggers tell it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from runner.ledger import Ledger
from runner.results import counting, results

_TAGS = (
    "task",
    "suite",
    "method",
    "seed",
    "backbone",
    "protocol",
    "data_origin",
    "status",
    "failure",
    "device",
    "host",
    "git_revision",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COSTS = ("params", "trainable_params", "align_s", "fit_s", "eval_s", "wall_s", "peak_memory_bytes")


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """What is known of a cell that has ended.

    Attributes:
        attempt: A text that is another one for another attempt at the cell.
        error: What went wrong; empty if nothing did.
        facts: What the cell's id is the hash of, one value each: `recipe.learning_rate`, ...
        tags: What it is found by.
        scores: Final ones, `split/selection/metric`, and what the cell cost, `cost/fit_s`.
        curves: Epoch by epoch, `split/name`.
    """

    cell_id: str
    name: str
    attempt: str
    ok: bool
    error: str
    started_at: datetime
    finished_at: datetime
    facts: Mapping[str, Any]
    tags: Mapping[str, str]
    scores: Mapping[str, float]
    curves: Mapping[int, Mapping[str, float]]


def counting_attempts(ledger: Ledger) -> dict[str, str]:
    """Return the attempt that counts of every cell, as `CellRecord.attempt` has it.

    This reads few columns of all cells at once.
    """
    rows = ledger.rows(("cell_id", "attempt", "status", "finished_at"))
    ended = rows["finished_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    told = (rows[name].to_pylist() for name in ("cell_id", "attempt", "status"))
    cells: dict[str, dict[int, tuple[str, int]]] = {}
    for cell_id, attempt, status, time in zip(*told, ended, strict=True):
        cells.setdefault(cell_id, {})[attempt] = (status, (time or 0) // 1000)
    return {cell_id: _counting(list(attempts.values())) for cell_id, attempts in cells.items()}


def _counting(attempts: Sequence[tuple[str, int]]) -> str:
    status, ended_ms = attempts[counting([status for status, _ in attempts])]
    return _token(status, ended_ms)


def _token(status: str, ended_ms: int) -> str:
    """Return a text for an attempt that goes into ids; numbers change where ledgers are merged."""
    return f"{ended_ms:x}{'' if status == 'ok' else 'x'}"


def record_of(ledger: Ledger, cell_id: str) -> CellRecord | None:
    """Return what the ledger has of a cell, of the attempt that counts; None if it has none."""
    rows = ledger.rows(cell_id=cell_id)
    if not rows.num_rows:
        return None
    (found,) = results(rows) or results(rows, trials=True)
    own = [row for row in rows.to_pylist() if row["attempt"] == found.attempt]
    row = own[0]
    scores = {
        f"{one['split']}/{one['selection']}/{one['metric']}": float(one["value"])
        for one in own
        if one["metric"] is not None and one["value"] is not None
    }
    scores |= {f"cost/{name}": float(row[name]) for name in _COSTS if row[name] is not None}
    curves: dict[int, dict[str, float]] = {}
    for point in ledger.curves(cell_id).to_pylist() if row["status"] == "ok" else ():
        of = curves.setdefault(int(point["epoch"]), {})
        of[f"{point['split']}/{point['name']}"] = float(point["value"])
    return CellRecord(
        cell_id=cell_id,
        name=f"{row['task']} {row['method']} {row['seed']}",
        attempt=_token(row["status"], (row["finished_at"] - _EPOCH) // timedelta(milliseconds=1)),
        ok=row["status"] == "ok",
        error=row["error"] or "",
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        facts={"cell": cell_id, **dict(facts(json.loads(row["config_json"])))},
        tags={name: str(row[name]) for name in _TAGS if row[name] is not None},
        scores={name: value for name, value in scores.items() if math.isfinite(value)},
        curves=dict(sorted(curves.items())),
    )


def facts(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a cell's id is the hash of, one value each: `recipe.learning_rate`, ..."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from facts(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, (int, float, str)) and not isinstance(value, bool)
            yield f"{prefix}{name}", value if plain else json.dumps(value)
