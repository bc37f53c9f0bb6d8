"""The batch script for Slurm, run for real on two nodes that are processes of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runner.ledger import Ledger
from tests.ray.conftest import GRID

pytestmark = [pytest.mark.ray, pytest.mark.slow]

_SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "run_grid.sbatch"
_MARK = "XMFT_SLURM_TEST"

# What Slurm's command does with these options, on nodes that have the addresses 127.0.0.1 and
# 127.0.0.2 and, as nodes do, a /tmp of their own.
_SRUN = """#!/bin/bash
for option in "$@"; do
  case "$option" in
    --nodes=1|--ntasks=1) shift;;
    --nodelist=*) node="${option#--nodelist=}"; shift;;
    --*) echo "srun: unrecognized option $option" >&2; exit 1;;
    *) break;;
  esac
done
case "$node" in node1) ip=127.0.0.1;; node2) ip=127.0.0.2;; *) exit 1;; esac
if [[ $1 == hostname ]]; then echo "$ip"; exit; fi
words=()
for word in "$@"; do
  [[ $word == "/tmp/ray-$SLURM_JOB_ID" ]] && word="$word-$node"
  word="${word//--temp-dir=\\/tmp\\/ray-$SLURM_JOB_ID/--temp-dir=/tmp/ray-$SLURM_JOB_ID-$node}"
  words+=("$word")
done
[[ $node == node2 ]] && words+=(--node-ip-address=$ip "--temp-dir=/tmp/ray-$SLURM_JOB_ID-$node")
echo "$$ ${words[*]}" >> "$CALLS/srun"
exec "${words[@]}"
"""
_SCONTROL = """#!/bin/bash
if [[ $1 == show && $2 == hostnames && $3 == "node[1-2]" ]]; then
  printf 'node1\\nnode2\\n'
else
  echo "$*" >> "$CALLS/scontrol"
fi
"""


def _left_over() -> list[psutil.Process]:
    """Return the living processes that carry the mark of this test."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(_MARK) == str(os.getpid()):
                found.append(process)
    return found


def _end_left_over() -> None:
    for process in _left_over():
        with contextlib.suppress(psutil.Error):
            process.kill()


def test_a_grid_on_two_nodes_ends_before_the_time_limit_and_goes_on_when_requeued(
    tmp_path: Path,
) -> None:
    job = 700000 + os.getpid() % 99991
    stand_ins, calls = tmp_path / "bin", tmp_path / "calls"
    stand_ins.mkdir()
    calls.mkdir()
    for name, text in (("srun", _SRUN), ("scontrol", _SCONTROL)):
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    grid = tmp_path / "tiny.yaml"
    grid.write_text(GRID)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        "PATH": os.pathsep.join(
            [str(stand_ins), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "HOME": str(tmp_path),
        "XMFT_CACHE": str(tmp_path / "cache"),
        "XMFT_DATA": str(tmp_path / "data"),
        "HF_HUB_OFFLINE": "1",
        "CALLS": str(calls),
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_PER_TASK": "1",
        _MARK: str(os.getpid()),
    }
    token = tmp_path / f".xmft-token-{job}"
    checkpoints = tmp_path / "results" / "checkpoints"

    def batch() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(_SCRIPT), str(grid), "--set", "epochs=150"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    first = batch()
    try:
        deadline = time.monotonic() + 120
        while not list(checkpoints.glob("*/state.pt")) and first.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert first.poll() is None, first.communicate()[0]
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.read_text() not in (calls / "srun").read_text()
        first.send_signal(signal.SIGUSR1)  # by --signal=B:USR1@120, to the script alone
        said, _ = first.communicate(timeout=90)
        assert first.returncode == 143, said
        assert re.search(r"2 cell\(s\) at a time, .* on 2 CPU cores", said), said
        assert list(checkpoints.glob("*/state.pt"))
        assert (calls / "scontrol").read_text().split() == ["requeue", str(job)]
        assert not _left_over() and not token.exists()

        second = batch()
        said, _ = second.communicate(timeout=150)
        assert second.returncode == 0, said
        assert "went on from their checkpoints" in said
        rows = Ledger(tmp_path / "results").read().to_pandas()
        assert rows["cell_id"].nunique() == 3 and set(rows["status"]) == {"ok"}
        assert not _left_over() and not token.exists()
        assert not list(Path("/tmp").glob(f"ray-{job}-*"))
    finally:
        first.kill()
        _end_left_over()
        for node in ("node1", "node2"):
            shutil.rmtree(f"/tmp/ray-{job}-{node}", ignore_errors=True)
