"""Loggers of a run: those that were asked for, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.ledger import Ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Xmft = Callable[..., subprocess.CompletedProcess[str]]


def test_a_run_has_the_loggers_that_it_was_asked_for(
    xmft: Xmft, grid: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    request = ["run", grid, "--results", results, "--methods", "nft", "--set", "epochs=1"]
    assert xmft(*request, "--log", "wandb").stderr == ""
    (cell_id,) = Ledger(results).states()
    (mark,) = (results / "wandb").glob("offline-run-*/xmft-whole")
    assert cell_id in mark.parent.name
    assert not (results / "tensorboard").exists()
