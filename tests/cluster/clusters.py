"""Clusters that are there before a run: a head on loopback, and nodes that join it."""

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(what: Callable[[], object], most_s: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + most_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass
class Head:
    """A head that is there.

    Attributes:
        address: Host and port.
        environment: That of a user of the cluster, its token included.
    """

    address: str
    environment: dict[str, str]

    def ray(self, *arguments: str | Path, code: int = 0) -> str:
        """Call Ray's command line as a user of the cluster does."""
        done = subprocess.run(
            [str(BIN / "ray"), *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def node(self, ip: str, *, cpus: int) -> Iterator[subprocess.Popen[bytes]]:
        """Have a node join with an address of its own; yields its process group."""
        options = [f"--address={self.address}", f"--node-ip-address={ip}", f"--num-cpus={cpus}"]
        with _started(options, self.environment) as process:
            yield process


@contextmanager
def head_of(environment: Mapping[str, str], home: Path, *, cpus: int = 2) -> Iterator[Head]:
    """Start a head with a token and wait until it takes jobs.

    Args:
        environment: What its processes and users get beside that.
        home: Home folder, so that no token of the user's own is found.
        cpus: Logical cores of the head.
    """
    clean = {key: value for key, value in environment.items() if not key.startswith("RAY_")}
    port, dashboard, agent = free_port(), free_port(), free_port()
    theirs = {
        **clean,
        "HOME": str(home),
        "PATH": f"{BIN}{os.pathsep}{clean['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # Short, for the names of the sockets in it.
    folder = tempfile.mkdtemp(prefix="xj", dir="/tmp")
    options = ["--head", f"--num-cpus={cpus}", f"--temp-dir={folder}"]
    options += ["--node-ip-address=127.0.0.1", f"--port={port}"]
    options += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    options += [f"--dashboard-agent-listen-port={agent}"]  # what runs jobs
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        process = stack.enter_context(_started(options, theirs))
        head = Head(f"127.0.0.1:{port}", theirs)
        deadline = time.monotonic() + 60
        while True:
            try:
                # The list of jobs is there before the agent that runs them.
                head.ray("job", "submit", "--", "true")
                break
            except AssertionError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.5)
        yield head


@contextmanager
def _started(
    options: list[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node in a process group of its own; end all of it afterwards."""
    process = subprocess.Popen(
        [str(BIN / "ray"), "start", "--block", "--object-store-memory=150000000", *options],
        env={key: value for key, value in environment.items() if key != "RAY_ADDRESS"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
