"""Wall time and peak memory of commands on simulated ledgers of 100 to 100,000 cells.

Each command is a process of its own, as people start it; the files are in the cache of the system.

    python -m performance.ledger [--most 100000] [--plain-most 10000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.cell import Cell
from runner.ledger import Ledger
from runner.schema import Attempt, MetricValue, attempt_table
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
        "from runner.results import RESULT_COLUMNS, results, usual_seconds; "
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
    """Write the attempts of cells `have` to `want`; return the id of the last cell."""
    ledger = Ledger(results)
    ledger.prepare()
    points = [
        CurvePoint(epoch=epoch, split="train", name="loss", value=1 / epoch)
        for epoch in range(1, 21)
    ]
    attempt = simulated(have)
    # Not `write_attempt`: a flush to the disk for each file takes longer than all the commands.
    for number in range(have, want):
        attempt = simulated(number)
        write_unflushed(results, attempt)
        if number % 10 != 9:
            curves = results / "cells" / attempt.cell_id / "curves.arrow"
            curves.write_bytes(curves_bytes(points))
    return attempt.cell_id


def write_unflushed(results: Path, attempt: Attempt) -> None:
    """Write an attempt's file as the ledger does, without flushing it."""
    folder = results / "cells" / attempt.cell_id
    folder.mkdir(parents=True, exist_ok=True)
    table = attempt_table(replace(attempt), 1)
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(folder / "attempt-1.arrow", table.schema, options=options) as writer:
        writer.write_table(table)


def curves_bytes(points: list[CurvePoint]) -> bytes:
    """Return the content of a file of curves."""
    import pyarrow as pa

    from runner.schema import curve_table

    table = curve_table(points)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def measured(code: str) -> tuple[float, float]:
    """Run code in a process of its own; return its seconds and its peak memory in GiB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {code}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def main() -> None:
    """Print a line for each size and state, and how much ten times as many cells cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--plain-most", type=int, default=10_000, help="before it is compacted")
    arguments = parser.parse_args()
    before: dict[str, float] = {}
    print(f"{'cells':>8} {'state':>10} {'command':>14} {'seconds':>8} {'GiB':>6} {'growth':>7}")
    with tempfile.TemporaryDirectory() as folder:
        results, have = Path(folder) / "results", 0
        for size in SIZES:
            if size > arguments.most:
                break
            cell = grown(results, have, size)
            have = size
            values = {"results": str(results), "out": f"{folder}/board.csv", "cell": cell}
            for state in ("plain", "compacted"):
                for name, code in COMMANDS.items():
                    compacts = name == "compact"
                    if (state == "compacted") == compacts or (
                        state == "plain" and not compacts and size > arguments.plain_most
                    ):
                        continue
                    seconds, memory = measured(code.format(**values))
                    key = f"{state} {name}"
                    growth = f"{seconds / before[key]:.1f}" if key in before else ""
                    before[key] = seconds
                    print(
                        f"{size:>8} {state:>10} {name:>14} {seconds:>8.2f} {memory:>6.2f} "
                        f"{growth:>7}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
