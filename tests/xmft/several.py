"""Starts processes that train together on this machine, without Ray."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from runner import stops
from runner.cell import Cell
from runner.sessions import CellSession
from xmft.session import Request
from xmft.source.stdlib_docs import stdlib_passages
from xmft.task import Recipe, TaskData

WORKERS = 2
Job = tuple[str, str, int | None, TaskData, Recipe]


CELL = Cell(
    task="toy/dense",
    task_version=1,
    method="nft",
    method_version=1,
    method_config={},
    recipe={},
    backbone="tiny-sequence",
    weights="",
    source=None,
    protocol="clean",
    seed=0,
    data="",
    metric_versions={"nrmse": 1},
)


def ask(session: CellSession, *, after: int) -> None:
    """Have a session's process asked to stop behind a number of questions."""
    inherited, questions = session.asked, iter(range(after))

    def asked() -> Request:
        if next(questions, None) is None:
            stops.request()
        return inherited()

    session.asked = asked  # type: ignore[method-assign]


def run_workers(folder: Path, how: str, jobs: Sequence[Job]) -> None:
    """Run all jobs in two processes, which save what comes out in `folder`."""
    passages = stdlib_passages(limit=3 * 64)  # what 64 samples of the proxy are chosen from
    (folder / "jobs.pickle").write_bytes(pickle.dumps((how, jobs, passages)))
    script = Path(__file__).with_name("one_of_several.py")
    root = script.parents[2]
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in range(WORKERS):
            errors = stack.enter_context((folder / f"stderr-{rank}").open("w"))
            process = subprocess.Popen(
                [sys.executable, str(script), str(rank), str(WORKERS), str(folder)],
                cwd=root,
                env={
                    **os.environ,
                    "PYTHONPATH": str(root),
                    "GLOO_SOCKET_IFNAME": "lo",
                    "OMP_NUM_THREADS": "1",
                },
                stderr=errors,
            )
            stack.enter_context(process)
            stack.callback(process.kill)  # runs first, and does nothing to a finished one
            processes.append(process)
        for process in processes:
            process.wait(timeout=300)


def load(folder: Path, job: str, rank: int) -> dict[str, Any]:
    """Return what a worker saved of a job."""
    path = folder / f"{job}-{rank}.pt"
    if not path.is_file():
        pytest.fail((folder / f"stderr-{rank}").read_text()[-3000:])
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found
