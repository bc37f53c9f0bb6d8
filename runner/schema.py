"""What the ledger's tables hold: the columns, their types and what they mean.

The schema is versioned in the metadata of every file. A file written by a newer version is
refused instead of being half understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import numpy as np
import pyarrow as pa

from xmft.examples import Examples, Fields
from xmft.task import CurvePoint

SCHEMA_VERSION = 1
VERSION_KEY = b"xmft_schema_version"
FAILURES = ("oom", "infra", "data", "code", "timeout", "diverged")
SELECTIONS = ("best_val", "last")
# The row of the data's error floor: its selection and its metric.
REFERENCE, ERROR_FLOOR = "reference", "error_floor"

_TIME = pa.timestamp("us", tz="UTC")
_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("cell_id", pa.string(), "hash of everything that decides the cell's result"),
    ("attempt", pa.int32(), "counts from 1; the latest ok attempt is the cell's result"),
    ("task", pa.string(), "suite/name, with the variant if there is one"),
    ("suite", pa.string(), "the part of the task's name before the slash"),
    ("task_version", pa.int32(), "raised when the task starts to mean other numbers"),
    ("method", pa.string(), "the fine-tuning method or baseline"),
    ("method_version", pa.int32(), "raised when the method starts to compute other numbers"),
    ("backbone", pa.string(), "the pretrained model"),
    ("seed", pa.int64(), "seed of everything random in the cell"),
    ("protocol", pa.string(), "clean or released; the two never share a table"),
    ("data_origin", pa.string(), "official, generated or miniature; never share a table"),
    ("status", pa.string(), "ok or failed"),
    ("failure", pa.string(), f"class of the failure ({', '.join(FAILURES)}); null if ok"),
    ("error", pa.string(), "the error's message or traceback; null if ok"),
    ("split", pa.string(), "split that was scored; null in the row of a failure"),
    ("selection", pa.string(), "rule that chose the epoch, or what was measured; null if failed"),
    ("metric", pa.string(), "name of the metric; null in the row of a failure"),
    ("metric_version", pa.int32(), "raised when the metric starts to mean other numbers"),
    ("direction", pa.string(), "min if lower is better, max if higher is"),
    ("value", pa.float64(), "the metric over the whole split; null in the row of a failure"),
    ("epoch", pa.int32(), "epoch of the weights that were scored; null if failed"),
    ("params", pa.int64(), "parameters of the model"),
    ("trainable_params", pa.int64(), "parameters that were trained"),
    ("align_s", pa.float64(), "seconds spent on alignment to the source"),
    ("fit_s", pa.float64(), "seconds spent on fitting the target"),
    ("eval_s", pa.float64(), "seconds spent on scoring"),
    ("wall_s", pa.float64(), "seconds from start to end of the attempt"),
    ("peak_memory_bytes", pa.int64(), "peak memory of the device, or of the process on a CPU"),
    ("worker_count", pa.int32(), "processes that trained the cell together"),
    ("device", pa.string(), "name of the device"),
    ("precision", pa.string(), "number format of the forward pass"),
    ("git_revision", pa.string(), "commit of the code that ran, if it was a checkout"),
    ("git_dirty", pa.bool_(), "whether that checkout had uncommitted changes"),
    ("versions", pa.string(), "versions of Python and of the libraries, a JSON object"),
    ("host", pa.string(), "machine that ran the attempt"),
    ("started_at", _TIME, "UTC"),
    ("finished_at", _TIME, "UTC"),
    ("config_json", pa.string(), "everything that the cell id is the hash of, a JSON object"),
)


def _schema(columns: Sequence[tuple[str, pa.DataType, str]]) -> pa.Schema:
    described = [
        pa.field(name, kind, metadata={"description": description})
        for name, kind, description in columns
    ]
    return pa.schema(described, metadata={VERSION_KEY: str(SCHEMA_VERSION)})


SCHEMA: pa.Schema = _schema(_COLUMNS)
CURVE_SCHEMA: pa.Schema = _schema(
    (
        ("epoch", pa.int32(), "counts from 1; 0 is before training"),
        ("split", pa.string(), "split of the number"),
        ("name", pa.string(), "name of the loss or metric"),
        ("value", pa.float64(), "its value after the epoch"),
    )
)
STRIDE_KEY = b"xmft_stride"


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One score of a cell: one row of the ledger. The fields are columns of `SCHEMA`."""

    split: str
    selection: str
    metric: str
    metric_version: int
    direction: str
    value: float
    epoch: int

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise ValueError(
                f"direction of {self.metric} is 'min' or 'max', not {self.direction!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a cell, whether it went well or not. The fields are columns of `SCHEMA`.

    Attributes:
        versions: Name to version; stored as JSON text.
        started_at: With a time zone; stored as UTC.
        finished_at: With a time zone; stored as UTC.
        config_json: Canonical JSON of what the cell id is the hash of.
        metrics: The scores; none if the attempt failed.
    """

    cell_id: str
    task: str
    suite: str
    task_version: int
    method: str
    method_version: int
    backbone: str | None
    seed: int
    protocol: str
    data_origin: str | None
    status: str
    failure: str | None = None
    error: str | None = None
    params: int | None = None
    trainable_params: int | None = None
    align_s: float | None = None
    fit_s: float | None = None
    eval_s: float | None = None
    wall_s: float
    peak_memory_bytes: int | None = None
    worker_count: int
    device: str | None
    precision: str | None
    git_revision: str | None
    git_dirty: bool | None
    versions: Mapping[str, str]
    host: str
    started_at: datetime
    finished_at: datetime
    config_json: str
    metrics: tuple[MetricValue, ...] = ()

    def __post_init__(self) -> None:
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


def attempt_table(attempt: Attempt, number: int) -> pa.Table:
    """Return the ledger's rows of an attempt: one per metric, or a single one if it failed."""
    facts = {
        field.name: getattr(attempt, field.name)
        for field in fields(attempt)
        if field.name != "metrics"
    }
    facts |= {"attempt": number, "versions": json.dumps(dict(attempt.versions), sort_keys=True)}
    scores: list[dict[str, object]] = [asdict(metric) for metric in attempt.metrics] or [{}]
    return pa.Table.from_pylist([facts | score for score in scores], schema=SCHEMA)


def curve_table(points: Sequence[CurvePoint]) -> pa.Table:
    """Return the points as a table of `CURVE_SCHEMA`."""
    return pa.Table.from_pylist([asdict(point) for point in points], schema=CURVE_SCHEMA)


def example_table(examples: Examples) -> pa.Table:
    """Return one row per sample: its place in the test split, and its fields as tensors.

    A column's type says the shape `[channels, *grid]` (Arrow's canonical fixed-shape tensors;
    readers that do not know them see flat lists). The distance between the points that are kept
    is in the metadata.
    """
    described = (
        ("input", examples.inputs, "what the model was given, physical units"),
        ("target", examples.targets, "what it had to predict, physical units"),
        ("prediction", examples.predictions, "what it predicted after the last epoch"),
    )
    columns = [(name, _tensors(fields), text) for name, fields, text in described]
    schema = _schema(
        (
            ("sample", pa.int32(), "counts from 0 through the test split"),
            *((name, column.type, text) for name, column, text in columns),
        )
    )
    schema = schema.with_metadata(schema.metadata | {STRIDE_KEY: str(examples.stride)})
    numbers = pa.array(range(len(examples)), pa.int32())
    return pa.table([numbers, *(column for _, column, _ in columns)], schema=schema)


def examples_in(table: pa.Table) -> Examples:
    """Undo `example_table`."""
    inputs, targets, predictions = (
        table[name].combine_chunks().to_numpy_ndarray()
        for name in ("input", "target", "prediction")
    )
    stride = int(table.schema.metadata[STRIDE_KEY])
    return Examples(inputs=inputs, targets=targets, predictions=predictions, stride=stride)


def _tensors(fields: Fields) -> pa.ExtensionArray:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.ascontiguousarray(fields, dtype=np.float32)
    )
