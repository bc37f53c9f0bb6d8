from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pdebench import batches
from benchmarks.pdebench.generate import write
from xmft.errors import DataError

ORPHANS = """
import os
import signal
import time

from benchmarks.pdebench import batches


def solve(batch, device):
    if batch:
        print("at work", flush=True)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(40)
    return {}


if __name__ == "__main__":
    batches.WORTH_SECONDS = 0.0
    list(batches.solved(solve, 3, workers=2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    # Returns when the last process that could write to its output has ended.
    done = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert b"at work" in done.stdout


def test_a_killed_process_is_a_data_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solved(*_: Any, **__: Any) -> Iterator[batches.Arrays]:
        raise BrokenProcessPool("terminated abruptly")
        yield {}

    monkeypatch.setattr(batches, "solved", solved)
    with pytest.raises(DataError, match="was killed, mostly for want of memory"):
        write(
            "pdebench/advection",
            {"beta": 0.4},
            tmp_path / "a.hdf5",
            samples=40,
            resolution=8,
            seed=0,
        )
    assert list(tmp_path.iterdir()) == []
