"""Time and peak memory of commands on simulated ledgers of 100 to 100,000 cells.

Each command is a process of its own, as people start it; the files are in the cache of the system.
Growth is that of the time on a CPU, which does not depend on what else the machine does.

    python -m performance.ledger [--most 100000]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from runner import compact_files
from runner.attempt_files import FILE, encoded
from runner.cell import Cell
from runner.ledger import Ledger
from runner.numbering import merged
from runner.schema import Attempt, MetricValue, attempt_table, curve_table
from xmft.task import CurvePoint

SIZES = (100, 1_000, 10_000, 100_000)
TASKS = tuple(f"pdebench/task_{number}" for number in range(20))
METHODS = tuple(f"method_{number}" for number in range(10))
COMMANDS = {
    "status": "from runner.cli import app; app(['status', '--results', {results!r}])",
    "leaderboard": (
        "from runner.cli import app; "
        "app(['leaderboard', '--results', {results!r}, '--format', 'csv', '--out', {out!r}])"
    ),
    "plan's ledger": (
        "from runner.ledger import Ledger; ledger = Ledger({results!r}); ledger.states(); "
        "from runner.expected import usual_seconds; "
        "from runner.results import RESULT_COLUMNS, results; "
        "usual_seconds(results(ledger.rows(RESULT_COLUMNS)))"
    ),
    "show": "from runner.cli import app; app(['show', {cell!r}, '--results', {results!r}])",
    "compact": "from runner.cli import app; app(['compact', '--results', {results!r}])",
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def simulated(number: int) -> Attempt:
    """Return the attempt at the cell of a number: one in ten failed, eight scores otherwise."""
    task = TASKS[number % len(TASKS)]
    method = METHODS[number // len(TASKS) % len(METHODS)]
    seed = number // (len(TASKS) * len(METHODS))
    cell = Cell(
        task=task,
        task_version=1,
        method=method,
        method_version=2,
        method_config={f"option_{place}": place / 7 for place in range(20)},
        recipe={f"field_{place}": place for place in range(20)} | {"precision": "float32"},
        backbone="roberta-base",
        weights="files:" + "0" * 64,
        source="conll2003:1",
        protocol="clean",
        seed=seed,
        data="0" * 64,
        metric_versions={"nrmse": 1, "nrmse_pdebench": 1},
    )
    failed = number % 10 == 9
    scores = tuple(
        MetricValue(
            split=split,
            selection=selection,
            metric=metric,
            metric_version=1,
            direction="min",
            value=(number * 7919 % 1000) / 1000,
            epoch=9,
        )
        for split in ("val", "test")
        for selection in ("best_val", "last")
        for metric in ("nrmse", "nrmse_pdebench")
    )
    started = START + timedelta(seconds=number)
    return Attempt(
        cell=cell,
        data_origin=None if failed else "generated",
        status="failed" if failed else "ok",
        failure="code" if failed else None,
        error="Traceback (most recent call last):\n" + "  a line\n" * 40 if failed else None,
        metrics=() if failed else scores,
        params=125_000_000,
        wall_s=60.0,
        fit_s=50.0,
        worker_count=1,
        device="NVIDIA H100",
        git_revision="0" * 40,
        git_dirty=False,
        versions={f"library-{place}": "1.2.3" for place in range(30)},
        host="node-0",
        started_at=started,
        finished_at=started + timedelta(minutes=1),
    )


def grown(results: Path, have: int, want: int) -> str:
    """Write the attempts of cells `have` to `want` as files; return the id of the last cell."""
    Ledger(results).prepare()
    points = [
        CurvePoint(epoch=epoch, split="train", name="loss", value=1 / epoch)
        for epoch in range(1, 21)
    ]
    curves = curve_table(points)
    attempt = simulated(have)
    for number in range(have, want):
        attempt = simulated(number)
        folder = results / "cells" / attempt.cell_id
        folder.mkdir(parents=True, exist_ok=True)
        # Not `write_attempt`: a flush to the disk for each takes longer than all the commands.
        write_unflushed(folder / "attempt-1.arrow", attempt_table(attempt, 1))
        if attempt.status == "ok":
            write_unflushed(folder / "curves.arrow", curves)
    return attempt.cell_id


def write_unflushed(path: Path, table: pa.Table) -> None:
    """Write a file as the ledger does, without flushing it."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        writer.write_table(table)


def grown_compact(results: Path, have: int, want: int) -> None:
    """Write the attempts of cells `have` to `want` as one compact file."""
    ledger, batches, batch = Ledger(results), [], []
    templates: dict[int, tuple[str, pa.Table]] = {}
    turn = len(TASKS) * len(METHODS)  # which cells fail repeats with it
    for number in range(have, want):
        if number % turn not in templates:
            attempt = simulated(number % turn)
            templates[number % turn] = attempt.cell.config_json, attempt_table(attempt, 1)
        config, table = templates[number % turn]
        config = config.replace(',"seed":0,', f',"seed":{number // turn},')
        cell_id = hashlib.sha256(config.encode()).hexdigest()[:16]
        own = {"cell_id": cell_id, "seed": number // turn, "config_json": config}
        for name, value in own.items():
            column = pa.array([value] * table.num_rows, table.schema.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), name, column)
        files = pa.array([f"{cell_id}/attempt-1.arrow"] * table.num_rows)
        batch.append(table.append_column(FILE, files))
        if len(batch) == 1_000 or number == want - 1:
            batches.append(encoded(pa.concat_tables(batch)))
            batch = []
    compact_files.write(ledger.reader, merged(batches))


def measured(code: str) -> tuple[float, float, float]:
    """Run code in a process of its own; return its seconds, those on a CPU, and its peak GiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {code}")
    spent = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - start, spent, usage.ru_maxrss / 2**20


def main() -> None:
    """Print a line for each size and state, and how much ten times as many cells cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    arguments = parser.parse_args()
    before: dict[str, float] = {}
    print(
        f"{'cells':>8} {'state':>10} {'command':>14} {'seconds':>8} {'on CPU':>7} {'GiB':>5} "
        f"{'growth':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        results, have = Path(folder) / "results", 0
        for size in (size for size in SIZES if size <= arguments.most):
            # Above 10,000 nine tenths are compact from the start, and the rest is new.
            if size > 10_000:
                grown_compact(results, have, size - 10_000)
                have = size - 10_000
            cell = grown(results, have, size)
            have = size
            values = {"results": str(results), "out": f"{folder}/board.csv", "cell": cell}
            for state, commands in (("new files", COMMANDS), ("compacted", list(COMMANDS)[:-1])):
                for name in commands:
                    seconds, spent, memory = measured(COMMANDS[name].format(**values))
                    growth = f"{spent / before[state + name]:.1f}" if have > SIZES[0] else ""
                    before[state + name] = spent
                    print(
                        f"{size:>8} {state:>10} {name:>14} {seconds:>8.2f} {spent:>7.2f} "
                        f"{memory:>5.2f} {growth:>7}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
