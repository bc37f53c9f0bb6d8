"""Grids on a cluster that was there before: as jobs, and by its address, with a token."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.ledger import Ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow]

_BIN = Path(sys.executable).parent


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class _Head:
    address: str
    environment: dict[str, str]

    def ray(self, *arguments: str | Path, code: int = 0) -> str:
        """Call Ray's command line as a user of the cluster does."""
        done = subprocess.run(
            [str(_BIN / "ray"), *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def head(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Head]:
    """One head on loopback for the module, with a token, in a process group of its own."""
    home = tmp_path_factory.mktemp("home")  # no token of the user's own
    clean = {key: value for key, value in environment.items() if not key.startswith("RAY_")}
    port, dashboard, agent = _free_port(), _free_port(), _free_port()
    theirs = {
        **clean,
        "HOME": str(home),
        "PATH": f"{_BIN}{os.pathsep}{clean['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # Short, for the names of the sockets in it.
    folder = tempfile.mkdtemp(prefix="xj", dir="/tmp")
    process = subprocess.Popen(
        [
            str(_BIN / "ray"),
            *("start", "--head", "--block", "--num-cpus=2", "--object-store-memory=150000000"),
            *("--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            f"--dashboard-agent-listen-port={agent}",  # what runs jobs
        ],
        env={key: value for key, value in theirs.items() if key != "RAY_ADDRESS"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_end, process)
        started = _Head(f"127.0.0.1:{port}", theirs)
        deadline = time.monotonic() + 60
        while True:
            try:
                # The list of jobs is there before the agent that runs them.
                started.ray("job", "submit", "--", "true")
                break
            except AssertionError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.5)
        yield started


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until(what: Callable[[], object], most_s: float = 60) -> None:
    deadline = time.monotonic() + most_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stopped_job_that_is_submitted_again_goes_on(
    head: _Head, grid: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    command = ["xmft", "run", grid, "--results", results, "--address", "auto"]
    command += ["--methods", "nft", "--set", "epochs=200"]
    head.ray("job", "submit", "--no-wait", "--submission-id", "first", "--", *command)
    _until(lambda: list(results.glob("checkpoints/*/state.pt")))
    head.ray("job", "stop", "first")
    assert list(results.glob("checkpoints/*/state.pt"))
    said = head.ray("job", "submit", "--", *command)
    assert "1 cells went on from their checkpoints" in said
    assert set(Ledger(results).read().to_pandas()["status"]) == {"ok"}
    assert not list(results.glob("checkpoints/*/state.pt"))


def _call(
    head: _Head, *command: str | Path, **changes: str | None
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
    head: _Head, grid: Path, results: Path, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    where = ["--results", results, "--address", head.address]
    return _call(head, _BIN / "xmft", "run", grid, "--methods", "nft", *where, **changes)


def test_a_token_without_a_mode_joins(head: _Head, grid: Path, tmp_path: Path) -> None:
    done = _run(head, grid, tmp_path / "results", RAY_AUTH_MODE=None)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cells finished" in done.stdout


def test_a_wrong_token_ends_the_run_in_one_sentence(
    head: _Head, grid: Path, tmp_path: Path
) -> None:
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
    head: _Head, changes: dict[str, str | None], said: str
) -> None:
    """Timed from there on, for starting a process takes as long as the machine is busy."""
    done = _call(head, sys.executable, "-c", _JOIN, head.address, **changes)
    took, _, message = done.stdout.partition(" ")
    assert said in message, done.stderr
    assert float(took) < 10  # Ray itself: 20 to 30 s
