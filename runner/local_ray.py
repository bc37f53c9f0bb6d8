"""Ray on this machine: where its own files lie, what it shares out, why it did not start."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from xmft.cache import can_be_made
from xmft.errors import RequestError

_OBJECT_STORE_BYTES = 150 * 2**20
# The longest address of a Unix socket, and what Ray puts behind its folder for one.
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
_SOCKET = "/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
_LONGEST_FOLDER = _LONGEST_SOCKET - len(_SOCKET)
# Logs and sockets; the object store lies in shared memory.
_NEEDED_BYTES = 16 * 2**20
_TOKENS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def started(cores: int, *, folder: Path, **options: Any) -> Iterator[None]:
    """Start Ray here, and end it.

    Args:
        cores: CPU cores that it shares out.
        folder: Short folder for its own files, see `run_folder`.
        options: More of `ray.init`.

    Raises:
        RequestError: it does not start; the message says why.
    """
    with ExitStack() as stack:
        stack.enter_context(_own_token())
        stack.enter_context(_loopback())
        stack.callback(ray.shutdown)
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
                **options,
            )
        except Exception as error:  # of many classes, the bare one among them
            raise RequestError(_why(error, folder)) from error
        if not options.get("log_to_driver"):
            _end_idle_processes()
        yield


def _end_idle_processes() -> None:
    """End what Ray starts on every machine and nothing here asks: a sixth of a gigabyte.

    That is the server of the dashboard, which is off, the autoscaler of a cluster that has one
    node, and the process that forwards logs, which go to files.
    """
    node = ray._private.worker._global_node
    if node is not None:
        node.kill_monitor(check_alive=False)
        node.kill_log_monitor(check_alive=False)
        node.kill_dashboard(check_alive=False)


@contextmanager
def _loopback() -> Iterator[None]:
    """Let nothing of Ray's and of torch's listen beyond this machine.

    Ray's processes listen on all interfaces unless the address of their node is that of the
    loopback, and `ray.init` replaces such an address by another, but where its constant says that
    there is no cluster, as it does by itself on macOS and Windows. Processes that it starts read
    the environment.
    """
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    wanted = {
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }
    before = {name: os.environ.get(name) for name in wanted}
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    os.environ |= wanted
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_FOLDER


@contextmanager
def _own_token() -> Iterator[None]:
    """Give Ray a token for this run alone where it cannot keep one in the home folder."""
    if any(name in os.environ for name in _TOKENS):
        yield
        return
    try:
        home = Path.home() / ".ray"
    except RuntimeError:  # no HOME, and a user without a name
        home = None
    if home is not None and can_be_made(home):
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]


def _is_full(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free < _NEEDED_BYTES


def _why(error: Exception, folder: Path) -> str:
    """Say in a sentence what kept Ray from starting on this machine, and what to do."""
    text = " ".join(str(error).split())
    number = error.errno if isinstance(error, OSError) else None
    # Ray's own processes die of a full disk without saying so.
    if number in (errno.ENOSPC, errno.EDQUOT) or _is_full(folder):
        advice = f"Free some space in {folder}, or set RAY_TMPDIR to a short folder that has some."
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "Set RAY_TMPDIR to a short folder of yours, and HOME to one that can be written."
    elif number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE):
        advice = "Raise the limits of processes, memory and open files (ulimit -a) of this job."
    else:
        advice = (
            "Its processes may lack memory, the right to start others (ulimit -u) or a port on "
            "this machine; --verbose shows what they say."
        )
    return f"Ray does not start on this machine ({type(error).__name__}: {text}). {advice}"
