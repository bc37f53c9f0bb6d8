"""A function in a process of its own, whose memory is given back when it returns."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # see prctl(2)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function returns, called in a copy of this process.

    What it imports, torch above all, goes with the copy: the process that only drives a run stays
    small. Where a copy would not be safe (other threads run) or save nothing (torch is there), the
    function is called here.

    Args:
        function: Called with the arguments; its errors are raised here.
        arguments: Of the function.
    """
    alone = threading.active_count() == 1 and sys.platform == "linux"
    if not alone or "torch" in sys.modules:
        return function(*arguments)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_call, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        error, value = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"The process that plans was ended from outside (exit code {process.exitcode})."
        ) from None
    finally:
        ours.close()
    process.join()
    if error is not None:
        raise error
    found: T = value
    return found


def _call(line: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    # Not to be left over when the other one is ended by a signal.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answer: tuple[BaseException | None, Any]
    try:
        answer = None, function(*arguments)
    except (Exception, KeyboardInterrupt) as error:
        answer = error, None
    line.send(answer)
    line.close()
