"""Attempts at cells, for every test that needs rows of a ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runner.cell import Cell
from runner.schema import Attempt, MetricValue

DAY = datetime(2025, 3, 4, tzinfo=UTC)


def cell_of(
    task: str = "pdebench/advection",
    method: str = "orca",
    seed: int = 0,
    *,
    origin: str = "generated",
    **changes: Any,
) -> Cell:
    """A cell on data of an origin; `changes` are any other fields."""
    facts: dict[str, Any] = {
        "task_version": 1,
        "method_version": 1,
        "method_config": {},
        "recipe": {"epochs": 20},
        "backbone": "minilm",
        "weights": "w0",
        "source": None,
        "protocol": "clean",
        "data": f"{origin}-{task}",
        "metric_versions": {"nrmse": 1},
    }
    return Cell(**{**facts, "task": task, "method": method, "seed": seed, **changes})


def called(cell_id: str) -> Cell:
    """A cell whose id is this and no hash."""
    cell = cell_of()
    vars(cell)["id"] = cell_id  # where the cached property looks first
    return cell


def score_of(value: float, **changes: Any) -> MetricValue:
    facts: dict[str, Any] = {
        "split": "test",
        "selection": "best_val",
        "metric": "nrmse",
        "metric_version": 1,
        "direction": "min",
        "epoch": 9,
    }
    return MetricValue(**{**facts, **changes, "value": value})


def attempt_of(
    cell: Cell,
    *scores: MetricValue,
    failure: str | None = None,
    origin: str = "generated",
    **changes: Any,
) -> Attempt:
    """A finished attempt, or a failed one, which does not know the origin of its data."""
    facts: dict[str, Any] = {
        "data_origin": None if failure else origin,
        "status": "failed" if failure else "ok",
        "error": "broken" if failure else None,
        "align_s": 1.0,
        "fit_s": 5.0,
        "wall_s": 10.0,
        "worker_count": 1,
        "device": "cpu",
        "git_revision": "abc",
        "git_dirty": False,
        "versions": {"torch": "2"},
        "host": "laptop",
        "started_at": DAY,
        "finished_at": DAY,
    }
    metrics = () if failure else scores
    return Attempt(**{**facts, "cell": cell, "failure": failure, "metrics": metrics, **changes})
