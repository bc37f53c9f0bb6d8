"""A run whose processes die one after the other, against a quiet one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from performance.chaos import differences, leavings, run_with_deaths, scores
from tests.ray.conftest import XMFT, Xmft

pytestmark = [pytest.mark.ray, pytest.mark.slow]

KINDS = ("raylet", "slot", "driver", "termination")


def test_deaths_change_no_value_and_leave_nothing(
    xmft: Xmft, grid: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """One death of each kind, the worst of all; `make chaos` has twenty on the quick grid."""
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    long = ["--methods", "nft", "--seeds", "0,1", "--set", "epochs=500"]
    xmft("run", grid, "--results", quiet, *long)
    chaos = run_with_deaths(
        [XMFT, "run", str(grid), "--results", str(loud), *long],
        environment,
        kinds=KINDS,
        kills=len(KINDS),
        seed=0,
    )
    time.sleep(3)  # the small process behind a killed driver has a moment's work to do
    assert chaos.kills == dict.fromkeys(KINDS, 1)
    assert "Traceback" not in chaos.output
    assert not list(differences(scores(quiet), scores(loud)))
    assert not leavings(loud, chaos)
    assert "Ray's raylet died" in chaos.output
    assert "Ended by SIGTERM" in chaos.output
    assert {-9, 143, 0} <= set(chaos.codes)
