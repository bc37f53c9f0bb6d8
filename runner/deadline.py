"""An end to what takes too long, also where it does not report."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.failures import CellTimeoutError

# One that nobody else uses; macOS has only named ones.
_SIGNAL = int(getattr(signal, "SIGRTMIN", signal.SIGUSR2))


# What ends by itself once it notices can say better where it was.
GRACE_S = 2.0


@contextmanager
def within(seconds: float | None, what: str, *, grace_s: float = 0.0) -> Iterator[None]:
    """Raise in this thread once the time is up, wherever its Python code is.

    A sleep or a wait of the main thread is broken off; in other threads it ends when the call
    comes back, as a computation in C does in every thread.

    Args:
        seconds: Time for what is inside; None for no limit.
        what: Its name.
        grace_s: Seconds more in which it may end by itself.

    Raises:
        CellTimeoutError: it took longer.
    """
    if seconds is None:
        yield
        return
    thread = threading.current_thread()
    main = thread is threading.main_thread()
    ended = threading.Event()
    lock = threading.Lock()

    def interrupt() -> None:
        with lock:  # not behind the end of the block
            if ended.is_set() or thread.ident is None:
                return
            if main:
                signal.pthread_kill(thread.ident, _SIGNAL)
            else:
                number, error = ctypes.c_ulong(thread.ident), ctypes.py_object(CellTimeoutError)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)

    def handle(*_: Any) -> None:
        if not ended.is_set():
            raise CellTimeoutError

    before = signal.signal(_SIGNAL, handle) if main else None
    timer = threading.Timer(seconds + grace_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except CellTimeoutError as error:
        if error.args:
            raise
        raise CellTimeoutError(f"{what} took longer than {seconds:.0f} s.") from error
    finally:
        with lock:
            ended.set()
        timer.cancel()
        if main:
            signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)
