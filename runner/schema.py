"""What the ledger's tables hold: the columns, their types and what they mean.

The columns are the fields of `Attempt`, in their order; those of `MetricValue` and `Usage` stand
where its `metrics` and `usage` do. The schema is versioned in the metadata of every file. A file of
an older version lacks columns, which are null then; one of a newer version is refused instead of
being half understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa

from runner.cell import Cell
from runner.columns import SCHEMA_VERSION, VERSION_KEY, Column, Part, columns_of, schema_of
from runner.usage import Usage
from xmft.task import CurvePoint

__all__ = ["SCHEMA_VERSION", "VERSION_KEY"]  # what readers of files ask for
FAILURES = ("oom", "infra", "data", "code", "timeout", "diverged")
SELECTIONS = ("best_val", "last")
# Of the scores of the closed form alone that a network learns from (`xmft.records.BASE`, which
# needs torch).
BASE = "base"
# The rows of the data's error floor: their selection and their metrics. They are values of the
# metric that ranks the task; those of version 1 are of FIRST_FLOORS, whatever ranks it.
REFERENCE, ERROR_FLOOR, FLOOR_VERSION = "reference", "error_floor", 2
FIRST_FLOORS = "nrmse"
# How the scores of the single samples spread, where they were computed, and how many they are.
FLOOR_SPREAD = {name: f"{ERROR_FLOOR}_{name}" for name in ("median", "largest", "samples")}

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One score of a cell: one row of the ledger."""

    split: Annotated[
        str, Column(pa.string(), "split that was scored; null in the row of a failure")
    ]
    selection: Annotated[
        str,
        Column(pa.string(), "rule that chose the epoch, or what was measured; null if failed"),
    ]
    metric: Annotated[str, Column(pa.string(), "name of the metric; null in the row of a failure")]
    metric_version: Annotated[
        int, Column(pa.int32(), "raised when the metric starts to mean other numbers")
    ]
    direction: Annotated[str, Column(pa.string(), "min if lower is better, max if higher is")]
    value: Annotated[
        float,
        Column(pa.float64(), "the metric over the whole split; null in the row of a failure"),
    ]
    epoch: Annotated[
        int, Column(pa.int32(), "epoch of the weights that were scored; null if failed")
    ]

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise ValueError(
                f"direction of {self.metric} is 'min' or 'max', not {self.direction!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a cell, whether it went well or not; what the cell says is not told again.

    Attributes:
        cell: The cell.
        attempt: Its number, which the ledger gives when it writes.
        versions: Name to version; stored as JSON text.
        started_at: With a time zone; stored as UTC.
        finished_at: With a time zone; stored as UTC.
        metrics: The scores; none if the attempt failed.
    """

    cell: Cell
    cell_id: Annotated[
        str,
        Column(pa.string(), "hash of everything that decides the cell's result", lambda c: c.id),
    ] = field(init=False)
    attempt: Annotated[
        int,
        Column(pa.int32(), "counts from 1; the latest ok attempt is the cell's result"),
    ] = field(init=False, default=0)
    task: Annotated[
        str,
        Column(pa.string(), "suite/name, with the variant if there is one", lambda c: c.task),
    ] = field(init=False)
    suite: Annotated[
        str,
        Column(
            pa.string(),
            "the part of the task's name before the slash",
            lambda c: c.task.split("/", 1)[0],
        ),
    ] = field(init=False)
    task_version: Annotated[
        int,
        Column(
            pa.int32(),
            "raised when the task starts to mean other numbers",
            lambda c: c.task_version,
        ),
    ] = field(init=False)
    method: Annotated[
        str, Column(pa.string(), "the fine-tuning method or baseline", lambda c: c.method)
    ] = field(init=False)
    method_version: Annotated[
        int,
        Column(
            pa.int32(),
            "raised when the method starts to compute other numbers",
            lambda c: c.method_version,
        ),
    ] = field(init=False)
    backbone: Annotated[
        str,
        Column(
            pa.string(),
            "the pretrained model, by its name, hub id or folder's name",
            lambda c: c.backbone,
        ),
    ] = field(init=False)
    seed: Annotated[
        int, Column(pa.int64(), "seed of everything random in the cell", lambda c: c.seed)
    ] = field(init=False)
    protocol: Annotated[
        str,
        Column(pa.string(), "clean or released; the two never share a table", lambda c: c.protocol),
    ] = field(init=False)
    data_origin: Annotated[
        str | None,
        Column(pa.string(), "official, generated or miniature; never share a table"),
    ]
    status: Annotated[str, Column(pa.string(), "ok or failed")]
    failure: Annotated[
        str | None,
        Column(pa.string(), f"class of the failure ({', '.join(FAILURES)}); null if ok"),
    ] = None
    error: Annotated[
        str | None, Column(pa.string(), "the error's message or traceback; null if ok")
    ] = None
    metrics: Annotated[tuple[MetricValue, ...], Part(MetricValue)] = ()
    params: Annotated[int | None, Column(pa.int64(), "parameters of the model")] = None
    trainable_params: Annotated[int | None, Column(pa.int64(), "parameters that were trained")] = (
        None
    )
    align_s: Annotated[
        float | None, Column(pa.float64(), "seconds spent on alignment to the source")
    ] = None
    fit_s: Annotated[float | None, Column(pa.float64(), "seconds spent on fitting the target")] = (
        None
    )
    eval_s: Annotated[
        float | None,
        Column(pa.float64(), "seconds spent on scoring, and on measuring the terms of the bound"),
    ] = None
    wall_s: Annotated[float, Column(pa.float64(), "seconds from start to end of the attempt")]
    peak_memory_bytes: Annotated[
        int | None,
        Column(
            pa.int64(),
            "peak memory of the device, or of the process on a CPU; of several the largest",
        ),
    ] = None
    worker_count: Annotated[int, Column(pa.int32(), "processes that trained the cell together")]
    device: Annotated[str | None, Column(pa.string(), "name of the device")]
    precision: Annotated[
        str | None,
        Column(
            pa.string(), "number format of the forward pass", lambda c: c.recipe.get("precision")
        ),
    ] = field(init=False)
    git_revision: Annotated[
        str | None, Column(pa.string(), "commit of the code that ran, if it was a checkout")
    ]
    git_dirty: Annotated[
        bool | None, Column(pa.bool_(), "whether that checkout had uncommitted changes")
    ]
    versions: Annotated[
        Mapping[str, str],
        Column(pa.string(), "versions of Python and of the libraries, a JSON object"),
    ]
    host: Annotated[str, Column(pa.string(), "machine that ran the attempt")]
    started_at: Annotated[datetime, Column(_TIME, "UTC")]
    finished_at: Annotated[datetime, Column(_TIME, "UTC")]
    usage: Annotated[Usage, Part(Usage)] = field(default_factory=Usage)
    invocation: Annotated[
        Mapping[str, Any] | None,
        Column(
            pa.string(),
            "what a run was told that is no part of the cell, a JSON object: where the data and "
            "the backbone lay, plug-ins, workers, threads",
            since=2,
        ),
    ] = None
    config_json: Annotated[
        str,
        Column(
            pa.string(),
            "what the cell id is the hash of, and the backbone's name, a JSON object",
            lambda c: c.config_json,
        ),
    ] = field(init=False)

    def __post_init__(self) -> None:
        for name, column in _COLUMNS:
            if column.of is not None:
                object.__setattr__(self, name, column.of(self.cell))
        if self.status == "ok":
            if self.failure is not None or not self.metrics:
                raise ValueError(f"cell {self.cell_id}: an ok attempt has metrics and no failure")
        elif self.status != "failed":
            raise ValueError(f"cell {self.cell_id}: status is ok or failed, not {self.status!r}")
        elif self.failure not in FAILURES or self.metrics:
            raise ValueError(
                f"cell {self.cell_id}: a failed attempt has no metrics and a failure among "
                f"{', '.join(FAILURES)}, not {self.failure!r}"
            )
        if self.started_at.tzinfo is None or self.finished_at.tzinfo is None:
            raise ValueError(f"cell {self.cell_id}: started_at and finished_at need a time zone")


_COLUMNS = tuple(columns_of(Attempt))
SCHEMA: pa.Schema = schema_of(_COLUMNS)
# The version that a column came with.
SINCE = {name: column.since for name, column in _COLUMNS}
CURVE_SCHEMA: pa.Schema = schema_of(
    (
        ("epoch", Column(pa.int32(), "counts from 1; 0 is before training")),
        ("split", Column(pa.string(), "split of the number")),
        ("name", Column(pa.string(), "name of the loss or metric")),
        ("value", Column(pa.float64(), "its value after the epoch")),
    )
)


def attempt_table(attempt: Attempt, number: int) -> pa.Table:
    """Return the ledger's rows of an attempt: one per metric, or a single one if it failed."""
    facts = {name: getattr(attempt, name, None) for name in SCHEMA.names} | asdict(attempt.usage)
    facts |= {"attempt": number, "versions": json.dumps(dict(attempt.versions), sort_keys=True)}
    if attempt.invocation is not None:
        facts["invocation"] = json.dumps(dict(attempt.invocation), sort_keys=True)
    scores: list[dict[str, object]] = [asdict(metric) for metric in attempt.metrics] or [{}]
    return pa.Table.from_pylist([facts | score for score in scores], schema=SCHEMA)


def curve_table(points: Sequence[CurvePoint]) -> pa.Table:
    """Return the points as a table of `CURVE_SCHEMA`."""
    return pa.Table.from_pylist([asdict(point) for point in points], schema=CURVE_SCHEMA)
