"""Processes that die while they train."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.ledger import Ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Xmft = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("workers", "process"), [(1, "ray::ResourceTrainable"), (2, "ray::RayTrainWorker")]
)
def test_a_lost_process_is_replaced_and_goes_on_from_the_checkpoint(
    xmft: Xmft,
    grid: Path,
    environment: dict[str, str],
    tmp_path: Path,
    workers: int,
    process: str,
) -> None:
    options = ["--methods", "nft", "--workers", str(workers), "--set", "epochs=60"]
    results = tmp_path / "results"
    driver = subprocess.Popen(
        [xmft("--help").args[0], "run", grid, "--results", results, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(results.glob("checkpoints/*/state.pt")) and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.1)
    os.kill(_descendant(driver.pid, process), signal.SIGKILL)
    said, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    assert "1 cells went on from their checkpoints" in said
    rows = Ledger(results).read().to_pandas()
    outcomes = rows.groupby("attempt")[["status", "failure"]].first()
    assert outcomes.loc[1].tolist() == ["failed", "infra"]
    assert outcomes.loc[2, "status"] == "ok"


def _descendant(pid: int, name: str) -> int:
    """Find a process by its title among the descendants of `pid`, not those of another run."""
    listing = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:]
    rows = [line.split(maxsplit=2) for line in listing]
    family = {pid}
    for _ in rows:
        found = {int(row[0]) for row in rows if int(row[1]) in family}
        if found <= family:
            break
        family |= found
    return next(int(row[0]) for row in rows if int(row[0]) in family and row[2].startswith(name))
