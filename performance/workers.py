"""One cell on one worker and on two: what the start costs, cold and warm, and what two save.

    python -m performance.workers [--rounds 3] [--method nft] [--epochs 2]

A cell of the small grid (generated advection data, minilm cut to two layers) with another seed in
each round. One worker is this process, as a slot's is; two are a gang, whose first cell starts its
processes. Beyond: wall time less that of preparing, training and scoring.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from performance.cells import BACKBONE, TASK, machine, small_grid
from runner.config import make_grid
from runner.execute import attempt_cell, local_runner
from runner.gang import Gang
from runner.job import CellJob
from runner.ledger import Ledger
from runner.local_ray import started
from runner.plan import make_plan


def _jobs(root: Path, method: str, epochs: int, workers: int, count: int) -> list[CellJob]:
    recipe, options = small_grid()
    content: dict[str, Any] = {
        "tasks": [TASK],
        "methods": [method],
        "seeds": list(range(count)),
        "backbone": BACKBONE,
        "recipe": {**recipe.model_dump(), "epochs": epochs},
        "options": {name: options[name] for name in (method,) if name in options},
    }
    ledger = Ledger(root / f"results-{workers}")
    ledger.prepare()
    (root / "data").mkdir(exist_ok=True)
    return [
        CellJob(
            config_json=item.cell.config_json,
            data_root=str(root / "data"),
            results=ledger.uri,
            backbone=item.backbone,
            workers=workers,
        )
        for item in make_plan(make_grid(content), ledger, root / "data")
    ]


def _timed(jobs: Sequence[CellJob], gang: Gang | None) -> list[tuple[float, float]]:
    """Return wall seconds and own seconds of each job."""
    found = []
    for job in jobs:
        start = time.perf_counter()
        run = gang.runner(job) if gang else local_runner(job, None, 1, 0.0)
        outcome = attempt_cell(job, run)
        if outcome.status != "ok":
            raise RuntimeError(outcome.error)
        found.append((time.perf_counter() - start, outcome.busy_s))
    return found


def _show(name: str, found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Print cold and warm; return the medians of the warm ones: wall and own seconds."""
    (cold, cold_own), warm = found[0], found[1:]
    wall = statistics.median(seconds for seconds, _ in warm)
    own = statistics.median(seconds for _, seconds in warm)
    beyond = statistics.median(seconds - work for seconds, work in warm)
    print(
        f"{name}: cold {cold:.2f} s ({cold - cold_own:.2f} s beyond its work), warm {wall:.2f} s "
        f"({beyond:.2f} s beyond its work)"
    )
    return wall, own


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="nft")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make = (options.method, options.epochs)
        alone = _timed(_jobs(root, *make, 1, options.rounds + 1), None)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xw", dir="/tmp"))
        stack.enter_context(started(2, folder=Path(folder)))
        gang = Gang(workers=2, threads=1, gpus=0.0, storage=str(root / "scratch"))
        stack.callback(gang.close)
        together = _timed(_jobs(root, *make, 2, options.rounds + 1), gang)
    print(f"{machine()}, {TASK}, {options.method}, {options.epochs} epochs, medians of the warm")
    wall, own = _show("1 worker", alone)
    both_wall, both_own = _show("2 workers", together)
    print(
        f"ratio 2 workers / 1 worker, warm: {both_wall / wall:.2f} of the cell, "
        f"{both_own / own:.2f} of its work; cold / warm with 2 workers: "
        f"{together[0][0] / both_wall:.1f}"
    )


if __name__ == "__main__":
    main()
