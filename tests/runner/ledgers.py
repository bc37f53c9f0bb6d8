"""Attempts to write into a ledger, and ways to spoil its files."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from tests.runner.attempts import attempt_of, cell_of, score_of

NRMSE = score_of(0.25, epoch=7)
OK = attempt_of(
    cell_of(),
    NRMSE,
    replace(NRMSE, selection="last", value=0.5, epoch=9),
    params=10,
    trainable_params=9,
    fit_s=2.0,
    eval_s=0.5,
    wall_s=4.0,
    peak_memory_bytes=1 << 33,
    versions={"torch": "2.13.0", "python": "3.11"},
    started_at=datetime(2025, 1, 1, tzinfo=UTC),
    finished_at=datetime(2025, 1, 1, 0, 0, 4, tzinfo=UTC),
)
FAILED = replace(OK, status="failed", failure="oom", error="CUDA out of memory", metrics=())
CELL = OK.cell_id


def cell_folder(ledger, cell_id=CELL):
    return ledger.local_root / "cells" / cell_id


def write_arrow(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def raiser(error):
    def raise_it(*_args, **_kwargs):
        raise error

    return raise_it
