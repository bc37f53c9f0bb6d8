"""Several nodes: processes of this machine with addresses of their own, as in `ray start`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from performance.chaos import differences, scores
from runner.ledger import Ledger
from tests.cluster.clusters import BIN, head_of, until
from tests.ray.conftest import Xmft

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GRID = """
tasks: [pdebench/advection]
methods: [nft, scratch]
seeds: [0, 1]
backbone: tiny-sequence
recipe:
  {samples: 61, resolution: 32, max_tokens: 8, epochs: 150, batch_size: 8}
resources:
  nft: {workers: 2}
"""


def test_a_node_that_dies_is_done_without_and_one_that_joins_is_used(
    xmft: Xmft, environment: dict[str, str], tmp_path: Path
) -> None:
    """One core each on two nodes: cells with two workers lie on both, those with one on either.

    The death of the second node leaves no room for the wide cells until a third one comes. With it
    dies what drives Ray.
    """
    grid, quiet, results = tmp_path / "nodes.yaml", tmp_path / "quiet", tmp_path / "results"
    grid.write_text(GRID)
    xmft("run", grid, "--results", quiet)
    with head_of(environment, tmp_path, cpus=1) as head:
        users = {key: value for key, value in head.environment.items() if key != "RAY_ADDRESS"}
        command = [BIN / "xmft", "run", grid, "--results", results, "--address", head.address]
        with head.node("127.0.0.2", cpus=1) as second:
            log = (tmp_path / "log").open("w+", encoding="utf-8")
            run = subprocess.Popen(
                list(map(str, [*command, "--shared-results", "--cluster-wait", "120"])),
                env=users,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                wide = [one for one in _cells(quiet) if one[1] == "nft"]
                until(lambda: any(_checkpoint(results, cell) for cell, _ in wide), 120)
                os.killpg(second.pid, signal.SIGKILL)
                for process in psutil.Process(run.pid).children(recursive=True):
                    if "runner.conduct" in process.cmdline():  # what it had on both nodes is left
                        process.kill()
                with head.node("127.0.0.3", cpus=1):
                    assert run.wait(timeout=240) == 0, (tmp_path / "log").read_text()
            finally:
                run.kill()
                log.close()
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert "is joined again" in said
    assert "went on from their checkpoints" in said
    assert len(scores(quiet)) and not list(differences(scores(quiet), scores(results)))
    lost = [state for state in Ledger(results).states().values() if state.status != "ok"]
    assert not lost
    assert not list(results.glob("checkpoints/*/*"))
    assert not list(results.glob("ray-*"))


def _cells(results: Path) -> set[tuple[str, str]]:
    rows = Ledger(results).read().to_pylist()
    return {(row["cell_id"], row["method"]) for row in rows}


def _checkpoint(results: Path, cell_id: str) -> bool:
    return (results / "checkpoints" / cell_id / "state.pt").exists()
