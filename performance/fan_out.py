"""The runner itself: overhead of a cell, slots in use, cells per hour, growth with the grid.

    python -m performance.fan_out [--rounds 3] [--only overhead|slots|mixed|growth]

* overhead: cells that train nothing, one slot: wall time of each beyond its own work, warm (the
  difference between many and few cells) and cold (a run of one cell).
* slots: cells that train, on one slot and on two: cells per hour, and their ratio over two.
* mixed: sixty cells of four sizes that sleep 20 to 60 s, on a head node with logical GPUs: share
  of the GPUs in use while there is anything left to start. What it lacks is the start of slots: a
  process that imports torch for each, on the cores of this machine.
* growth: grids of 100, 300 and 1,000 cells that train nothing: seconds of planning and of the run,
  memory of the driver, and their ratios.

Every run is a process of its own with the command line's path through the runner.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from performance.cells import machine

_TINY: dict[str, Any] = {
    "tasks": ["pdebench/advection"],
    "methods": ["mean"],
    "seeds": [0],
    "backbone": "tiny-sequence",
    "recipe": {"samples": 40, "resolution": 32, "max_tokens": 8, "epochs": 2, "batch_size": 8},
}
_SLEEPER = """
import time

from xmft.methods import register
from xmft.methods.trivial import Mean


@register
class Sleeper(Mean):
    name, version, title = "sleeper", 1, "sleeps for a while"

    class Config(Mean.Config):
        seconds: float = 1.0

    def stages(self, context):
        time.sleep(self.config.seconds)
        return super().stages(context)
"""


def _one(request: dict[str, Any]) -> dict[str, Any]:
    """Run a grid in this process; return what the run says and its memory."""
    from runner import run_grid
    from runner.config import make_grid
    from runner.options import RunOptions
    from runner.prepare import prepare

    begin = time.perf_counter()
    grid = make_grid(request["grid"])
    if request.get("plan"):
        prepare(grid, request["results"], Path(request["data"]), RunOptions())
        return {"plan_s": time.perf_counter() - begin}
    summary = run_grid(grid, results=request["results"], **request["options"])
    return {
        "wall_s": summary.wall_s,
        "overhead_s": summary.overhead_s,
        "busy": summary.busy,
        "own_s": sum(outcome.busy_s for outcome in summary.outcomes),
        "failed": summary.failed,
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _run(grid: dict[str, Any], folder: Path, *, plan: bool = False, **options: Any) -> Any:
    request = {
        "grid": grid,
        "results": tempfile.mkdtemp(dir=folder),
        "data": str(folder),
        "options": options,
        "plan": plan,
    }
    done = subprocess.run(
        [sys.executable, "-m", "performance.fan_out", "--one", json.dumps(request)],
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if found.get("failed"):
        raise RuntimeError(f"{found['failed']} cells failed in {request['results']}")
    return found


def _overhead(folder: Path, rounds: int) -> None:
    _run(_TINY, folder)  # data are generated
    few, many = [], []
    for _ in range(rounds):
        few.append(_run({**_TINY, "seeds": [0]}, folder, max_concurrent=1))
        many.append(_run({**_TINY, "seeds": list(range(101))}, folder, max_concurrent=1))
    warm = [
        ((m["wall_s"] - m["own_s"]) - (f["wall_s"] - f["own_s"])) / 100
        for f, m in zip(few, many, strict=True)
    ]
    cold = [f["wall_s"] - f["own_s"] for f in few]
    each, start = statistics.median(warm), statistics.median(cold)
    print(
        f"overhead of a cell: warm {each:.3f} s, cold (Ray's start included) {start:.1f} s, "
        f"ratio {each / start:.4f}"
    )


def _slots(folder: Path, rounds: int) -> None:
    grid = {**_TINY, "methods": ["nft"], "seeds": list(range(12))}
    grid["recipe"] = {**_TINY["recipe"], "epochs": 60}
    hours: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for slots, found in hours.items():
            # Without Ray's start: what a long run has.
            whole = _run(grid, folder, max_concurrent=slots)
            start = _run({**grid, "seeds": [0]}, folder, max_concurrent=slots)
            passed = whole["wall_s"] - (start["wall_s"] - start["own_s"])
            found.append(12 * 3600 / passed)
    one, two = statistics.median(hours[1]), statistics.median(hours[2])
    print(
        f"cells per hour: {one:.0f} on one slot, {two:.0f} on two, "
        f"efficiency {two / one / 2:.2f} on {os.cpu_count()} cores"
    )


def _mixed(folder: Path) -> None:
    plugin = folder / "sleeper.py"
    plugin.write_text(_SLEEPER, encoding="utf-8")
    rng = random.Random(0)
    sizes = [{"gpus": 0.5}, {"gpus": 1.0}, {"gpus": 2.0}, {"gpus": 0.0, "cpus": 2}]
    names = [f"sleeper:s{number}" for number in range(60)]
    grid = {
        **_TINY,
        "plugins": [str(plugin)],
        "methods": names,
        "options": {name: {"seconds": round(rng.uniform(20, 60), 1)} for name in names},
        "resources": {name: sizes[number % 4] for number, name in enumerate(names)},
    }
    with _head(cpus=8, gpus=4) as address:
        found = _run(grid, folder, address=address)
    print(
        f"60 cells of four sizes on 4 logical GPUs: {found['busy']:.0%} of the slots busy while "
        f"there was anything to start, {found['wall_s']:.0f} s"
    )


@contextmanager
def _head(*, cpus: int, gpus: int) -> Any:
    """Start a head node with logical resources, of no other node's concern."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as place:
        head = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ray")),
                *("start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}"),
                *(f"--num-gpus={gpus}", "--node-ip-address=127.0.0.1", f"--temp-dir={place}"),
                *("--include-dashboard=false", "--object-store-memory=100000000"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            time.sleep(15)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait()


def _growth(folder: Path) -> None:
    before: dict[str, float] = {}
    for count in (100, 300, 1000):
        grid = {**_TINY, "seeds": list(range(count))}
        plan = _run(grid, folder, plan=True)
        found = _run(grid, folder)
        now = {
            "plan": plan["plan_s"],
            "run": found["wall_s"],
            "driver": found["memory_bytes"] / 2**20,
        }
        ratios = ", ".join(f"{name} {now[name] / before[name]:.2f}" for name in before)
        print(
            f"{count:>5} cells: plan {now['plan']:.1f} s, run {now['run']:.1f} s, driver "
            f"{now['driver']:.0f} MiB" + (f"; ratios {ratios}" if ratios else "")
        )
        before = now


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["overhead", "slots", "mixed", "growth"])
    parser.add_argument("--one", help="run one grid and print what it says")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_one(json.loads(options.one))))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "overhead": lambda: _overhead(folder, options.rounds),
            "slots": lambda: _slots(folder, options.rounds),
            "mixed": lambda: _mixed(folder),
            "growth": lambda: _growth(folder),
        }
        for part in [options.only] if options.only else parts:
            parts[part]()


if __name__ == "__main__":
    main()
