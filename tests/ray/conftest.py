from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

XMFT = str(Path(sys.executable).with_name("xmft"))

# Seconds of work: random weights, 61 samples, so that the last batch of an epoch is short.
GRID = """
tasks: [pdebench/advection]
methods: [nft, orca, recraft]
seeds: [0]
backbone: tiny-sequence
recipe:
  samples: 61
  resolution: 32
  max_tokens: 8
  epochs: 4
  batch_size: 8
options:
  orca:
    {alignment_steps: 4, alignment_batch: 16, source: {samples: 64, tokens: 8}}
  recraft:
    alignment_steps: 4
    alignment_batch: 16
    source: {samples: 64, tokens: 8}
    predictor: {bounded_steps: 2}
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache and data root for all tests, away from the user's own."""
    root = tmp_path_factory.mktemp("xmft")
    return {
        **os.environ,
        "XMFT_CACHE": str(root / "cache"),
        "XMFT_DATA": str(root / "data"),
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "tiny.yaml"
    path.write_text(GRID)
    return path


Xmft = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def xmft(environment: dict[str, str]) -> Xmft:
    """Run the command line in a process of its own, as a user does."""

    def run(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [XMFT, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def uninterrupted(xmft: Xmft, grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the grid, run at once with one worker a cell."""
    results = tmp_path_factory.mktemp("results") / "one"
    xmft("run", grid, "--results", results)
    return results
