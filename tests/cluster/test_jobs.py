"""Grids on a cluster that was there before: as jobs, and by its address, with a token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.ledger import Ledger
from tests.cluster.clusters import BIN, Head, head_of, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def head(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """One head for the module."""
    with head_of(environment, tmp_path_factory.mktemp("home")) as started:
        yield started


def test_a_stopped_job_that_is_submitted_again_goes_on(
    head: Head, grid: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    command = ["xmft", "run", grid, "--results", results, "--address", "auto"]
    command += ["--methods", "nft", "--set", "epochs=200"]
    head.ray("job", "submit", "--no-wait", "--submission-id", "first", "--", *command)
    until(lambda: list(results.glob("checkpoints/*/state.pt")))
    head.ray("job", "stop", "first")
    assert list(results.glob("checkpoints/*/state.pt"))
    said = head.ray("job", "submit", "--", *command)
    assert "1 cells went on from their checkpoints" in said
    assert set(Ledger(results).read().to_pandas()["status"]) == {"ok"}
    assert not list(results.glob("checkpoints/*/state.pt"))


def _call(
    head: Head, *command: str | Path, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in head.environment.items() if key != "RAY_ADDRESS"}
    for name, value in changes.items():
        environment.pop(name)
        if value is not None:
            environment[name] = value
    return subprocess.run(
        list(map(str, command)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _run(
    head: Head, grid: Path, results: Path, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    where = ["--results", results, "--address", head.address]
    return _call(head, BIN / "xmft", "run", grid, "--methods", "nft", *where, **changes)


def test_a_token_without_a_mode_joins(head: Head, grid: Path, tmp_path: Path) -> None:
    done = _run(head, grid, tmp_path / "results", RAY_AUTH_MODE=None)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cells finished" in done.stdout


def test_a_wrong_token_ends_the_run_in_one_sentence(head: Head, grid: Path, tmp_path: Path) -> None:
    done = _run(head, grid, tmp_path / "results", RAY_AUTH_TOKEN="0" * 64)
    assert done.returncode == 2
    assert "does not take the token" in done.stderr and "Traceback" not in done.stderr


_JOIN = """
import sys, time
from runner.joining import joined
from xmft.errors import RequestError
begun = time.monotonic()
try:
    with joined(sys.argv[1]):
        sys.exit("joined")
except RequestError as error:
    print(time.monotonic() - begun, error)
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": None}, "asks for a token, and none was given"),
        ({"RAY_AUTH_TOKEN": "0" * 64}, "does not take the token"),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token, but RAY_AUTH_MODE is disabled"),
    ],
    ids=["none", "wrong", "disabled"],
)
def test_without_the_right_token_joining_ends_at_once(
    head: Head, changes: dict[str, str | None], said: str
) -> None:
    """Timed from there on, for starting a process takes as long as the machine is busy."""
    done = _call(head, sys.executable, "-c", _JOIN, head.address, **changes)
    took, _, message = done.stdout.partition(" ")
    assert said in message, done.stderr
    assert float(took) < 10  # Ray itself: 20 to 30 s
