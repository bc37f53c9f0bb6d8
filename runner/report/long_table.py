"""Leaderboards as one long table for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv

from benchmarks.published import PublishedScore
from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.published import published_beside
from runner.visible import for_spreadsheets

LONG_SCHEMA: pa.Schema = pa.schema(
    [
        ("kind", pa.string()),  # measured or published
        ("data_origin", pa.string()),
        ("protocol", pa.string()),
        ("selection", pa.string()),
        ("split", pa.string()),
        ("entry", pa.string()),
        ("method", pa.string()),
        ("method_version", pa.int32()),
        ("method_config", pa.string()),
        ("backbone", pa.string()),
        ("source", pa.string()),
        ("average_rank", pa.float64()),
        ("tasks_covered", pa.int32()),
        ("tasks_total", pa.int32()),
        ("missing", pa.string()),
        ("wall_s", pa.float64()),
        ("align_s", pa.float64()),
        ("fit_s", pa.float64()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("metric_version", pa.int32()),
        ("direction", pa.string()),
        ("floor", pa.float64()),
        ("floor_median", pa.float64()),
        ("floor_largest", pa.float64()),
        ("floor_samples", pa.int32()),
        ("mean", pa.float64()),
        ("std", pa.float64()),
        ("seed_count", pa.int32()),
        ("seeds", pa.string()),
        ("rank", pa.float64()),
        ("citation", pa.string()),
        ("confidence", pa.string()),
        ("note", pa.string()),
    ]
)


def long_table(boards: Sequence[Leaderboard], *, published: bool = True) -> pa.Table:
    """Return one row per line and task, with the line's summary repeated in each.

    Published numbers, if asked for, are rows of kind `published`, without ranks, protocol or
    selection; the others are of kind `measured`. A task that a line lacks is a row without a mean.
    """
    rows: list[dict[str, object]] = []
    for board in boards:
        for line in board.lines:
            rows += [_measured(board, line, column) for column in board.tasks]
        if published:
            rows += [_published(board, score) for score in published_beside(board)]
    return pa.Table.from_pylist(rows, schema=LONG_SCHEMA)


def to_csv(boards: Sequence[Leaderboard], *, published: bool = True) -> str:
    """Return `long_table` as CSV text; see `for_spreadsheets`."""
    sink = io.BytesIO()
    csv.write_csv(for_spreadsheets(long_table(boards, published=published)), sink)
    return sink.getvalue().decode("utf-8")


def _measured(board: Leaderboard, line: Line, column: TaskColumn) -> dict[str, object]:
    score = line.scores.get(column.task)
    return {
        "kind": "measured",
        "data_origin": board.origin,
        "protocol": board.query.protocol,
        "selection": board.query.selection,
        "split": board.query.split,
        "entry": line.label,
        "method": line.method,
        "method_version": line.method_version,
        "method_config": json.dumps(line.method_config, sort_keys=True),
        "backbone": " + ".join(line.backbones) or None,
        "source": " + ".join(line.sources) or None,
        "average_rank": line.average_rank,
        "tasks_covered": line.covered,
        "tasks_total": len(board.tasks),
        "missing": "; ".join(line.missing),
        "wall_s": line.wall_s,
        "align_s": line.align_s,
        "fit_s": line.fit_s,
        "task": column.task,
        "metric": column.metric,
        "metric_version": column.metric_version,
        "direction": column.direction,
        "floor": column.floor,
        **{f"floor_{name}": value for name, value in _spread(column).items()},
        "mean": score and score.mean,
        "std": score and score.std,
        "seed_count": len(score.seeds) if score else 0,
        "seeds": " ".join(map(str, score.seeds)) if score else "",
        "rank": score and score.rank,
    }


def _spread(column: TaskColumn) -> dict[str, float | int]:
    spread = dict(column.floor_spread)
    return spread | ({"samples": round(spread["samples"])} if spread else {})


def _published(board: Leaderboard, score: PublishedScore) -> dict[str, object]:
    column = next(column for column in board.tasks if column.task == score.task_name)
    return {
        "kind": "published",
        "entry": score.method,
        "task": score.task_name,
        "metric": score.metric,
        "direction": column.direction,
        "mean": score.value,
        "std": score.std,
        "seed_count": score.seeds,
        "citation": score.source,
        "confidence": score.confidence,
        "note": score.note,
    }
