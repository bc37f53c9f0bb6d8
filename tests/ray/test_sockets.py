"""What listens while a plain run trains: nothing beyond this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

XMFT = [sys.executable, "-c", "from runner.cli import app; app()"]


def listening(root: psutil.Process) -> dict[str, str]:
    """Address to command of every TCP socket, of IPv6 too, on which a process of a tree waits."""
    found = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            for socket in process.net_connections(kind="inet"):
                if socket.status == psutil.CONN_LISTEN:
                    found[f"{socket.laddr.ip} {socket.laddr.port}"] = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition(" ")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def test_the_look_sees_what_listens_everywhere() -> None:
    code = (
        "import socket,time; s=socket.create_server(('', 0)); print(1, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline()
        (address,) = listening(psutil.Process(process.pid))
        assert not is_loopback(address)
    finally:
        process.kill()
        process.communicate()


def test_a_local_run_listens_on_the_loopback_alone(
    grid: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Two workers, so that the sockets of the process group are there as well."""
    request = ["run", grid, "--results", tmp_path / "results", "--methods", "nft"]
    request += ["--workers", "2", "--set", "epochs=3000"]
    driver = subprocess.Popen(
        [*XMFT, *map(str, request)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    seen: dict[str, str] = {}
    try:
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline:
            assert driver.poll() is None, "the run ended before anybody looked"
            seen |= listening(psutil.Process(driver.pid))
            if list(tmp_path.glob("results/checkpoints/*/state.pt")):
                break
            time.sleep(0.2)
        else:
            raise AssertionError("no checkpoint appeared")
        seen |= listening(psutil.Process(driver.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGTERM)
        driver.wait(timeout=60)
    commands = " ".join(seen.values())
    for part in ("gcs_server", "raylet"):  # the look was at the right processes
        assert part in commands
    assert [f"{who}: {what}" for who, what in seen.items() if not is_loopback(who)] == []
