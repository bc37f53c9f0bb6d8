"""Leaderboards as one long table for programs."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Sequence
from importlib import metadata

import pyarrow as pa
from pyarrow import csv

from benchmarks.published import PublishedScore
from runner.report.bases import base_mean, bases_of
from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line
from runner.report.published import published_beside
from runner.visible import for_spreadsheets

# Raised when a column changes its meaning or goes; 1 had neither a version nor descriptions.
LEADERBOARD_VERSION = 2
LEADERBOARD_VERSION_KEY = b"xmft_leaderboard_version"
_LIBRARIES = ("xmft", "numpy", "pandas", "scipy", "pyarrow")
_TEXT, _REAL, _COUNT, _TRUTH = pa.string(), pa.float64(), pa.int32(), pa.bool_()
_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("kind", _TEXT, "measured, or published for a number that is not of the ledger"),
    ("board", _TEXT, "name of the board, unique in the file"),
    ("suite", _TEXT, "suite of the board's tasks; null over several"),
    ("data_origin", _TEXT, "official, generated or miniature; of the task's data"),
    ("protocol", _TEXT, "clean or released; null if published"),
    ("selection", _TEXT, "rule that chose the epoch, best_val or last; null if published"),
    ("split", _TEXT, "split that was scored; null if published"),
    ("entry", _TEXT, "what the line is called, unique on the board"),
    ("method", _TEXT, "the fine-tuning method or baseline; null if published"),
    ("method_version", _COUNT, "raised when the method starts to compute other numbers"),
    ("method_config", _TEXT, "its configuration, a JSON object"),
    ("backbone", _TEXT, "the pretrained models, joined by ' + '; null for none"),
    ("source", _TEXT, "the source proxies, likewise"),
    ("average_rank", _REAL, "mean rank over the board's tasks; null if the entry is incomplete"),
    ("rank_low", _REAL, "lower end of its 95 % bootstrap interval over tasks"),
    ("rank_high", _REAL, "upper end of it"),
    ("win_rate", _REAL, "share of the other complete entries that are worse, mean over tasks"),
    ("normalised", _REAL, "1 for the best of a task, 0 for the median and below, mean over tasks"),
    ("tasks_covered", _COUNT, "tasks that the entry has all seeds of"),
    ("tasks_total", _COUNT, "tasks of the board"),
    ("missing", _TEXT, "what the entry lacks, in words; empty if it is complete"),
    ("wall_s", _REAL, "seconds of all attempts at the entry's cells on the board"),
    ("align_s", _REAL, "seconds of those that alignment to the source took"),
    ("fit_s", _REAL, "seconds of those that fitting the target took"),
    ("gpu_s", _REAL, "seconds that GPUs were held for them, added up; 0 on CPUs"),
    ("device_s", _REAL, "GPUs times seconds or, on CPUs, CPU seconds of the attempts that count"),
    ("flops", _REAL, "floating-point operations that the scores took; null if some are unknown"),
    ("over_budget", _TEXT, "what is over the budget, or of which it is not known; empty if none"),
    ("task", _TEXT, "suite/name, with the variant if there is one"),
    ("metric", _TEXT, "the metric that ranks the task"),
    ("metric_version", _COUNT, "raised when it starts to mean other numbers"),
    ("direction", _TEXT, "min if lower is better, max if higher is"),
    ("floor", _REAL, "score of a perfect solver on the task's data; null if unknown"),
    ("floor_median", _REAL, "median of its scores over the test samples"),
    ("floor_largest", _REAL, "largest of them"),
    ("floor_samples", _COUNT, "how many these are"),
    ("mean", _REAL, "mean over the seeds; null where there is no result"),
    ("std", _REAL, "sample standard deviation over the seeds; null with one"),
    ("seed_count", _COUNT, "seeds that the mean is over"),
    ("seeds", _TEXT, "these seeds, joined by blanks"),
    ("base", _TEXT, "closed form that the network learns the rest of, ridge or kernel; or null"),
    ("base_mean", _REAL, "mean of that closed form alone over the seeds; null where there is none"),
    ("rank", _REAL, "rank on the task among the complete entries, ties share the average"),
    ("not_worse", _TRUTH, "whether the entry is the best of the task or not significantly worse"),
    ("failure", _TEXT, "classes of the failures of the seeds it lacks; null if none"),
    ("citation", _TEXT, "where a published number was read"),
    ("confidence", _TEXT, "verified or second-hand, for a published number"),
    ("note", _TEXT, "what a published number differs in"),
)
LONG_SCHEMA: pa.Schema = pa.schema(
    [pa.field(name, kind, metadata={"description": told}) for name, kind, told in _COLUMNS],
    metadata={LEADERBOARD_VERSION_KEY: str(LEADERBOARD_VERSION)},
)


def long_table(boards: Sequence[Leaderboard], *, published: bool = True) -> pa.Table:
    """Return one row per line and task of each board, the line's summary repeated in each.

    Published numbers, if asked for, are rows of kind `published`, without ranks, protocol or
    selection; the others are of kind `measured`. A task that a line lacks is a row without a mean.
    The metadata say what was asked and with which versions, and what else stands on the boards.

    Args:
        boards: What `build` returned.
        published: Whether to add published numbers.
    """
    rows: list[dict[str, object]] = []
    for board in boards:
        for line in board.lines:
            rows += [_measured(board, line, column) for column in board.tasks]
        if published:
            rows += [_published(board, score) for score in published_beside(board)]
    table = pa.Table.from_pylist(rows, schema=LONG_SCHEMA)
    return table.replace_schema_metadata({**LONG_SCHEMA.metadata, **_facts(boards, published)})


def _facts(boards: Sequence[Leaderboard], published: bool) -> dict[str, str]:
    if not boards:
        return {}
    query = boards[0].query
    origins = {column.origin for board in boards for column in board.tasks}
    versions = {"python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _LIBRARIES}
    return {
        "protocol": query.protocol,
        "selection": query.selection,
        "split": query.split,
        "data_origins": ", ".join(sorted(origins)),
        "versions": json.dumps(versions, sort_keys=True),
        "command": query.command("--format", "arrow", *(["--published"] if published else [])),
        "statistics": json.dumps({board.name: board.statistics for board in boards}),
        "notes": json.dumps({board.name: board.notes for board in boards}),
    }


def to_csv(boards: Sequence[Leaderboard], *, published: bool = True) -> str:
    """Return `long_table` as CSV text; see `for_spreadsheets`."""
    sink = io.BytesIO()
    csv.write_csv(for_spreadsheets(long_table(boards, published=published)), sink)
    return sink.getvalue().decode("utf-8")


def _measured(board: Leaderboard, line: Line, column: TaskColumn) -> dict[str, object]:
    score = line.scores.get(column.key)
    low, high = line.rank_interval or (None, None)
    return {
        "kind": "measured",
        "board": board.name,
        "suite": board.suite,
        "data_origin": column.origin,
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
        "rank_low": low,
        "rank_high": high,
        "win_rate": line.win_rate,
        "normalised": line.normalised,
        "tasks_covered": line.covered,
        "tasks_total": len(board.tasks),
        "missing": "; ".join(line.missing),
        "wall_s": line.wall_s,
        "align_s": line.align_s,
        "fit_s": line.fit_s,
        "gpu_s": line.gpu_s,
        "device_s": line.device_s,
        "flops": line.flops,
        "over_budget": line.over.found if line.over else "",
        **_of_task(column),
        "metric_version": column.metric_version,
        "floor": column.floor,
        **{f"floor_{name}": value for name, value in _spread(column).items()},
        "mean": score and score.mean,
        "std": score and score.std,
        "seed_count": len(score.seeds) if score else 0,
        "seeds": " ".join(map(str, score.seeds)) if score else "",
        "base": " + ".join(bases_of(line.cells, column.task)) or None,
        "base_mean": base_mean(line.cells, column.task),
        "rank": score and score.rank,
        "not_worse": score.close if score and score.rank is not None else None,
        "failure": line.failures.get(column.key),
    }


def _of_task(column: TaskColumn) -> dict[str, object]:
    return {"task": column.task, "metric": column.metric, "direction": column.direction}


def _spread(column: TaskColumn) -> dict[str, float | int]:
    spread = dict(column.floor_spread)
    return spread | ({"samples": round(spread["samples"])} if spread else {})


def _published(board: Leaderboard, score: PublishedScore) -> dict[str, object]:
    column = next(column for column in board.tasks if column.task == score.task_name)
    return {
        "kind": "published",
        "board": board.name,
        "suite": board.suite,
        "entry": score.method,
        **_of_task(column),
        "metric": score.metric,
        "mean": score.value,
        "std": score.std,
        "seed_count": score.seeds,
        "citation": score.source,
        "confidence": score.confidence,
        "note": score.note,
    }
