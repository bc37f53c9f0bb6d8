"""A gang of two workers in a Ray of its own, as a script: prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from runner.config import Grid
from runner.execute import attempt_cell
from runner.job import CellJob
from runner.ledger import Ledger
from runner.local_ray import started
from runner.plan import make_plan

RECIPE = {"samples": 45, "resolution": 32, "max_tokens": 4, "batch_size": 8}


def workers() -> list[int]:
    """Process ids of the workers below this process."""
    family = {process.pid for process in psutil.Process().children(recursive=True)}
    # What is gone meanwhile has no command line.
    there = psutil.process_iter(["pid", "cmdline"])
    titles = {p.info["pid"]: " ".join(p.info["cmdline"] or ()) for p in there}
    return sorted(pid for pid in family if "RayTrainWorker" in titles.get(pid, ""))


def job_of(root: Path, **changes: Any) -> CellJob:
    recipe = {**RECIPE, "epochs": changes.pop("epochs", 2)}
    grid = Grid(
        tasks=["pdebench/advection"],
        methods=[changes.pop("method", "nft")],
        seeds=[changes.pop("seed", 0)],
        backbone="tiny-sequence",
        recipe=recipe,
    )
    ledger = Ledger(root / "results")
    (item,) = make_plan(grid, ledger, root / "data")
    job = CellJob(
        config_json=item.cell.config_json,
        data_root=str(root / "data"),
        results=ledger.uri,
        backbone=item.backbone,
        workers=2,
    )
    return replace(job, **changes)


def main(root: Path) -> None:
    (root / "data").mkdir()
    Ledger(root / "results").prepare()
    jobs = {
        "cold": job_of(root),
        "warm": job_of(root, seed=1),
        "bad": job_of(root, seed=2, problem="There is no such file."),
        "divided": job_of(root, seed=3, sharding="fsdp"),
        # Spectral weights are complex: they are not divided.
        "whole": job_of(root, seed=3, method="fno", sharding="fsdp"),
        "stopped": job_of(root, seed=4, epochs=3000),
    }
    seen: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xg", dir="/tmp"))
        stack.enter_context(started(2, folder=Path(folder)))
        from runner.gang import Gang

        gang = Gang(workers=2, threads=1, gpus=0.0, storage=str(root / "scratch"))
        for name, job in jobs.items():
            if name == "stopped":
                # One of the two alone, once it trains.
                threading.Timer(3.0, os.kill, (workers()[-1], signal.SIGTERM)).start()
            start = time.monotonic()
            outcome = attempt_cell(job, gang.runner(job))
            seen[name] = {
                "seconds": time.monotonic() - start,
                "cell": job.cell.id,
                "status": outcome.status,
                "error": outcome.error,
                "workers": workers(),
            }
        gang.close()
        deadline = time.monotonic() + 15
        while workers() and time.monotonic() < deadline:
            time.sleep(0.2)
        seen["left"] = workers()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
