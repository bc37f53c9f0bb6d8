"""Time of a cell's second start against its first: what the cache saves.

    python -m performance.cells [--rounds 3] [--method recraft]

A cell of the small grid (generated advection data, minilm cut to two layers), one epoch long, runs
in a process of its own with an empty cache, then in another one with what the first has left
there: data generated and prepared, source samples and features, source predictor, clusters of the
targets. Both include Python's start and imports. The weights of minilm are read by both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import data as task_data
from xmft.task import Recipe
from xmft.training import Assembled, assemble

TASK, BACKBONE, SOURCE = "pdebench/advection", "minilm", "stdlib-docs"
_GRID = "pdebench-small.yaml"


@dataclass(frozen=True, kw_only=True)
class CellTimes:
    """Seconds of one cell.

    Attributes:
        data: Opening the data, and generating and preparing them if need be.
        backbone: Reading the backbone.
        prepare: The model, and the method's preparation: source artefacts and classes.
        stages: By account: `align`, `fit`, `eval` and `measure`.
    """

    data: float
    backbone: float
    prepare: float
    stages: dict[str, float]

    @property
    def before_fitting(self) -> float:
        """Stage 1 with its preparation and what it measures."""
        return self.prepare + self.stages.get("align", 0.0) + self.stages.get("measure", 0.0)


def small_grid() -> tuple[Recipe, dict[str, dict[str, Any]]]:
    """Return recipe and options of the small grid, by method."""
    grid = yaml.safe_load((resources.files("benchmarks.grids") / _GRID).read_text(encoding="utf-8"))
    return Recipe.model_validate(grid["recipe"]), grid["options"]


def build_cell(
    method: str, options: dict[str, Any], recipe: Recipe
) -> tuple[Assembled, float, float]:
    """Load the data and build model and stages, as the runner does.

    Args:
        method: Its name.
        options: Its options where they are not the defaults.
        recipe: The recipe.

    Returns:
        The cell before its first step, the seconds of its data, and those of its backbone.
    """
    start = time.perf_counter()
    data = task_data.load(TASK, data_root=task_data.cache_root() / "data", recipe=recipe)
    data_s = time.perf_counter() - start
    cell = assemble(
        data,
        method,
        backbone=BACKBONE,
        recipe=recipe,
        options=options,
        source=SOURCE,
        cache=task_data.cache_root(),
    )
    return cell, data_s, time.perf_counter() - start - data_s - cell.prepare_s - cell.measure_s


def run_cell(method: str, options: dict[str, Any], recipe: Recipe) -> CellTimes:
    """Train a cell from data to scores in this process; the arguments are those of `build_cell`."""
    cell, data_s, backbone_s = build_cell(method, options, recipe)
    seconds = cell.fit().result.seconds
    return CellTimes(data=data_s, backbone=backbone_s, prepare=cell.prepare_s, stages=seconds)


def machine() -> str:
    """Say where figures come from."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread, "
        f"torch {torch.__version__}"
    )


def _start(method: str, cache: Path) -> tuple[float, CellTimes]:
    """Run the cell in a process of its own; return its wall time and what it says itself."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "performance.cells", "--method", method, "--one"],
        env={**os.environ, "XMFT_CACHE": str(cache), "XMFT_DATA": str(cache / "data")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    wall = time.perf_counter() - begin
    return wall, CellTimes(**json.loads(done.stdout.splitlines()[-1]))


def _compare(method: str, rounds: int) -> None:
    starts: dict[str, list[tuple[float, CellTimes]]] = {"first": [], "second": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for found in starts.values():
                found.append(_start(method, Path(folder)))
    print(f"{machine()}, {TASK}, {method}, 1 epoch, {rounds} rounds, medians")
    for name, found in starts.items():
        wall = statistics.median(seconds for seconds, _ in found)
        parts = {
            "data": statistics.median(times.data for _, times in found),
            "model, source and classes": statistics.median(times.prepare for _, times in found),
            "stages and scores": statistics.median(sum(t.stages.values()) for _, t in found),
        }
        shown = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items())
        print(f"{name} start: {wall:.2f} s ({shown})")
    ratios = [b / a for (a, _), (b, _) in zip(starts["first"], starts["second"], strict=True)]
    saved = [
        (b.data + b.prepare) / (a.data + a.prepare)
        for (_, a), (_, b) in zip(starts["first"], starts["second"], strict=True)
    ]
    print(
        f"ratio second / first: {statistics.median(ratios):.2f} of the process, "
        f"{statistics.median(saved):.3f} of data, model, source and classes"
    )


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="recraft")
    parser.add_argument("--one", action="store_true", help="run one cell and print its times")
    options = parser.parse_args()
    if not options.one:
        _compare(options.method, options.rounds)
        return
    torch.set_num_threads(1)
    recipe, by_method = small_grid()
    recipe = recipe.model_copy(update={"epochs": 1})
    print(json.dumps(asdict(run_cell(options.method, by_method.get(options.method, {}), recipe))))


if __name__ == "__main__":
    main()
