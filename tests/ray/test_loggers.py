"""Loggers of a run: those that were asked for, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.ledger import Ledger

pytestmark = pytest.mark.ray

Xmft = Callable[..., subprocess.CompletedProcess[str]]


def test_a_run_has_the_loggers_that_it_was_asked_for(
    xmft: Xmft, grid: Path, tmp_path: Path
) -> None:
    """A cell of two workers, then one of one; what is done is told where it is not known."""
    results = tmp_path / "results"
    request = ["run", grid, "--results", results, "--methods", "nft", "--log", "wandb"]
    assert xmft(*request, "--set", "epochs=1", "--workers", "2").stderr == ""
    (cell_id,) = Ledger(results).states()
    (run,) = (results / "wandb").glob("offline-run-*")
    assert cell_id in run.name
    (run / "xmft-whole").unlink()
    rows = Ledger(results).read(cell_id=cell_id)
    said = xmft(*request, "--set", "epochs=1", "--seeds", "0", "1")
    assert ("1 done before, 1 to run" in said.stdout, said.stderr) == (True, "")
    marked = {mark.parent.name for mark in (results / "wandb").glob("offline-run-*/xmft-whole")}
    assert {name.split("-")[3] for name in marked} == set(Ledger(results).states())
    assert len(marked) == 2
    assert Ledger(results).read(cell_id=cell_id) == rows
    assert not (results / "tensorboard").exists()
