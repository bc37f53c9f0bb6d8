"""Rows of a ledger that make leaderboards, and what shows those."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from rich.console import Console

from runner.report import compare
from runner.report.compare import Query
from runner.schema import attempt_table
from runner.usage import Usage
from tests.runner.attempts import attempt_of, cell_of, score_of

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
ADVECTION, DARCY = "pdebench/advection", "pdebench/darcy"


def cell(
    method,
    task,
    seed,
    value,
    *,
    attempt=1,
    failure=None,
    metrics=("nrmse", "rmse"),
    direction="min",
    origin="generated",
    day=0,
    wall_s=10.0,
    cpu_s=None,
    flops=None,
    floor=None,
    floor_version=1,
    spread=(),
    alone=None,
    **config,
):
    """The rows of one attempt; `config` overrides what the cell id is the hash of.

    `alone` is what the base of the cell's network scores without it.
    """
    config = {"metric_versions": dict.fromkeys(metrics, 1)} | config
    score = score_of(
        0.0 if value is None else value, metric=metrics[0], direction=direction, epoch=3
    )
    # What must be left aside: another metric, another split, another selection.
    scores = (
        replace(score, metric=metrics[-1], value=99.0) if len(metrics) > 1 else score,
        replace(score, split="val", value=98.0),
        replace(score, selection="last", value=97.0),
        score,
    )
    if alone is not None:
        scores += (replace(score, selection="base", epoch=0, value=alone),)
    if floor is not None:
        reference = replace(score, selection="reference", epoch=0, metric_version=floor_version)
        scores += (replace(reference, metric="error_floor", value=floor),)
        scores += tuple(
            replace(reference, metric=f"error_floor_{name}", value=value)
            for name, value in dict(spread).items()
        )
    record = attempt_of(
        cell_of(task, method, seed, origin=origin, **config),
        *scores,
        failure=failure,
        origin=origin,
        error="[red]boom" if failure else None,
        wall_s=wall_s,
        usage=Usage(cpu_s=cpu_s, flops=flops),
        started_at=EPOCH,
        finished_at=EPOCH + timedelta(days=day),
    )
    return attempt_table(record, attempt)


def ledger(*tables):
    return pa.concat_tables(tables)


def grid(values, seeds=(0, 1), **options):
    """Cells for {method: {task: mean}}, scattered symmetrically around the mean."""
    return [
        cell(method, task, seed, mean + shift, **options)
        for method, tasks in values.items()
        for task, mean in tasks.items()
        for seed, shift in zip(seeds, (-0.01, 0.01), strict=False)
    ]


def build(table, **query):
    return compare.build(table, Query(**query))


def labels(lines):
    return [line.label for line in lines]


def text_of(renderable, width=200):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(renderable)
    return console.export_text()


# Three entries on three tasks, worked by hand. On b, orca and pare tie at rank 1.5.
#         a        b         c       average
# orca  0.10 (1)  0.50 (1.5)  0.9 (3)   5.5/3
# pare  0.20 (2)  0.50 (1.5)  0.7 (1)   4.5/3
# nft   0.30 (3)  0.60 (3)    0.8 (2)   8/3
THREE = {
    "orca": {"s/a": 0.10, "s/b": 0.50, "s/c": 0.9},
    "pare": {"s/a": 0.20, "s/b": 0.50, "s/c": 0.7},
    "nft": {"s/a": 0.30, "s/b": 0.60, "s/c": 0.8},
}


def floored():
    return [
        *grid({"orca": {ADVECTION: 0.2}, "nft": {ADVECTION: 0.3}}, floor=1.5e-4),
        *grid({"orca": {DARCY: 0.2}, "nft": {DARCY: 0.3}}),
    ]
