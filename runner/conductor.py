"""The conductor as the driver sees it: a process and a line to it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path

from runner.processes import MARK, module_command, module_environment
from runner.request import Request
from xmft.errors import RequestError


class BrokenError(Exception):
    """The conductor died or hangs."""


class RefusedError(RequestError):
    """The conductor cannot do what it is asked, and says why."""


def conductor(request: Request, mark: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a conductor; return it and the line to it.

    Args:
        request: What it is told.
        mark: Marks all processes that come of it, see `runner.processes`.

    Raises:
        BrokenError: it died at once.
    """
    ours, theirs = socket.socketpair()
    log = Path(request.folder).with_suffix(".log")
    with theirs, log.open("ab") as output:
        process = subprocess.Popen(
            module_command("runner.conduct", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # What goes wrong in a cell is a row of the ledger and a line of ours.
            stdout=None if request.verbose else output,
            stderr=None if request.verbose else output,
            # Ctrl-C in a terminal is for the driver, which tells it on.
            start_new_session=True,
            env=module_environment(**{MARK: mark}),
        )
    line = Connection(ours.detach())
    try:
        line.send(request)
    except OSError:
        raise BrokenError(how_it_died(process.wait())) from None
    return process, line


def how_it_died(code: int) -> str:
    """Say how a conductor ended."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"The process that drives Ray was ended by {signal.Signals(-code).name}"
    return f"The process that drives Ray died (exit code {code})"
