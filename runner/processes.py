"""The processes of a run: told by a mark that they inherit, and ended together."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

# A variable of the environment: Ray's processes hand it on, whoever starts them.
MARK = "XMFT_RUN"
_ENDING_S = 10.0


def module_command(name: str, *arguments: str) -> Sequence[str]:
    """Return the command that runs a module of this project; -P: no folder of that name instead."""
    return [sys.executable, "-P", "-m", name, *arguments]


def module_environment(**more: str) -> dict[str, str]:
    """Return the environment for `module_command`: this process's, which finds what this one does.

    Args:
        more: Further variables.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def of_run(run: str) -> list[psutil.Process]:
    """Return the living processes that a run has started, the own one left out."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _mark_of(process) == run
    ]


def _mark_of(process: psutil.Process) -> str | None:
    # Other users' processes do not say, those that have gone cannot.
    with contextlib.suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.environ().get(MARK)
    return None


def end_all(run: str) -> None:
    """End every process of a run, those included that its processes start meanwhile."""
    deadline = time.monotonic() + _ENDING_S
    while (found := of_run(run)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


@contextmanager
def reaped(run: str, folder: Path) -> Iterator[None]:
    """Have the run's processes ended and its folder removed when this process is gone.

    However it goes: a small process waits for that, in a group of its own, so that signals to this
    one's do not reach it.
    """
    reaper = subprocess.Popen(
        module_command("runner.processes", run, str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # Not marked, for it must not end itself.
        env=module_environment(),
    )
    try:
        yield
    finally:
        assert reaper.stdin is not None
        reaper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            reaper.wait(timeout=2 * _ENDING_S)


def _reap() -> None:
    run, folder = sys.argv[1:]
    sys.stdin.read()  # ends when the other end is closed, by whatever
    end_all(run)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _reap()
