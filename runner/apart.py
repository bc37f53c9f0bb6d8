"""A function in a process of its own, whose memory is given back when it returns."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import psutil

from runner.processes import module_command, module_environment

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # see prctl(2)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function returns, called in another process.

    What it imports, torch above all, goes with that process: the one that only drives a run stays
    small. It is a copy of this one as long as this one is a single thread, and a new interpreter
    where libraries have started threads, whose locks a copy would find closed for ever. Where this
    process has threads of its own (a notebook), or torch, the function is called here.

    Args:
        function: Called with the arguments, found by module and name; its errors are raised here.
        arguments: Of the function.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or "torch" in sys.modules:
        return function(*arguments)
    start = _copy if psutil.Process().num_threads() == 1 else _new
    with start(function, arguments) as (line, wait):
        try:
            error, value = line.recv()
        except EOFError:
            raise RuntimeError(
                f"The process that plans was ended from outside (exit code {wait()})."
            ) from None
    if error is not None:
        raise error
    found: T = value
    return found


_Started = tuple[Connection, Callable[[], int | None]]


@contextmanager
def _copy(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[_Started]:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_call, args=(theirs, function, arguments))
    process.start()
    theirs.close()

    def wait() -> int | None:
        process.join()
        return process.exitcode

    try:
        with ours:
            yield ours, wait
    except BaseException:  # nobody waits for the answer
        process.kill()
        raise
    finally:
        process.join()


@contextmanager
def _new(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[_Started]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            module_command("runner.apart", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env=module_environment(),
        )
    with process, Connection(ours.detach()) as line:
        with contextlib.suppress(OSError):  # it died at once: nothing comes back
            line.send((function, arguments))
        try:
            yield line, process.wait
        except BaseException:  # nobody waits for the answer
            process.kill()
            raise


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


if __name__ == "__main__":
    _line = Connection(int(sys.argv[1]))
    _call(_line, *_line.recv())
