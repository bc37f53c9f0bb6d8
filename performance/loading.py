"""Memory of a run at a task's official size, and the loader's rate against the model's.

    python -m performance.loading nasbench360/deepsea [--folder /tmp/official] [--steps 20]

Writes files as large as the official ones (see `performance.faithful`, which says how a task is
added), unless `--folder` holds them already. Then one process reads and prepares them, trains
minilm cut to 2 layers for some steps on one thread, and decodes every row of the test split once,
as scoring does, or with `--scored` some that are spread over it. It says its peak memory, mapped
files included, and how many samples a second the loader gives and how many the training step takes.
Targets: less than 4 GiB, and 1.2 times the step's rate or more.

Loader and step are timed in turns, batch by batch, so that a machine that others use as well slows
both down alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import data as task_data
from performance.faithful import FILES
from xmft.evaluation import rows_at_once
from xmft.metrics import LOSSES
from xmft.samples import Draw, samples_of
from xmft.task import Recipe
from xmft.training import assemble

GIB_TARGET, RATIO_TARGET = 4.0, 1.2
_BACKBONE = "minilm"


def measure(task: str, folder: Path, steps: int, recipe: Recipe, scored: int | None = None) -> None:
    """Read, train and decode in this process, and print what it took."""
    start = time.perf_counter()
    data = task_data.load(task, data_root=folder, recipe=recipe)
    sizes = ", ".join(f"{len(split)} {name}" for name, split in data.splits.items())
    print(f"read and prepared in {time.perf_counter() - start:.0f} s, peak {peak_gib():.2f} GiB")
    print(f"rows: {sizes}")

    device = torch.device("cpu")
    cell = assemble(data, "nft", backbone=_BACKBONE, recipe=recipe)
    optimizer = torch.optim.AdamW(cell.model.parameters(), lr=recipe.learning_rate)
    loss_of, samples = LOSSES[data.task.loss], samples_of(data, device)
    loading, stepping = [], []
    cell.model.train()
    for step, rows in zip(range(steps + 1), cell.stages[0].batches(0), strict=False):
        begin = time.perf_counter()
        batch = samples["train"].take(rows, Draw(seed=0, stage="fit", epoch=0))
        loaded = time.perf_counter()
        optimizer.zero_grad()
        loss_of(cell.model(batch.inputs), batch.targets, batch.weights).mean().backward()
        optimizer.step()
        if step:  # the first one warms up
            loading.append((loaded - begin) / len(rows))
            stepping.append((time.perf_counter() - loaded) / len(rows))
    ratio = statistics.median(b / a for a, b in zip(loading, stepping, strict=True))
    loader, model = (1 / statistics.median(times) for times in (loading, stepping))
    print(
        f"training: loader {loader:.0f} rows/s, step {model:.0f} rows/s, batch "
        f"{recipe.batch_size}; {ratio:.1f} times, target {RATIO_TARGET} or more: {met(ratio)}"
    )

    every = max(1, len(data.test) // (scored or len(data.test)))
    rows, begin = np.arange(0, len(data.test), every), time.perf_counter()
    count, size = len(rows), rows_at_once(samples["test"])
    for first in range(0, count, size):
        samples["test"].take(rows[first : first + size])
    seconds = time.perf_counter() - begin
    print(f"test split decoded once: {count} rows in {seconds:.0f} s, {count / seconds:.0f} rows/s")
    peak = peak_gib()
    print(
        f"peak memory {peak:.2f} GiB, target less than {GIB_TARGET:.0f}: "
        f"{'met' if peak < GIB_TARGET else 'missed'}"
    )


def met(ratio: float) -> str:
    """Say whether the loader is fast enough."""
    return "met" if ratio >= RATIO_TARGET else "missed"


def peak_gib() -> float:
    """Return the most memory that this process had, mapped files included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main(arguments: list[str] | None = None) -> None:
    """Write the files if need be, and measure in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(FILES))
    parser.add_argument("--folder", type=Path, help="where the files are or go; they stay there")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--samples", type=int, help="use this many samples; default: all")
    parser.add_argument("--scored", type=int, help="decode about so many test rows; default: all")
    parser.add_argument("--one", action="store_true", help="measure files that are there")
    options = parser.parse_args(arguments)
    if options.one:
        torch.set_num_threads(1)
        recipe = Recipe(
            epochs=1, batch_size=options.batch, layers=2, max_tokens=64, samples=options.samples
        )
        measure(options.task, options.folder, options.steps, recipe, options.scored)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            FILES[options.task](folder)
        given = sys.argv[1:] if arguments is None else arguments
        subprocess.run(
            [sys.executable, "-m", "performance.loading", *given, "--folder", str(folder), "--one"],
            env={**os.environ, "XMFT_CACHE": str(Path(temporary) / "cache")},
            check=True,
        )


if __name__ == "__main__":
    main()
