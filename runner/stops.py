"""Requests to stop: SIGTERM, as nodes that leave and batch systems send it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xmft.errors import StoppedError

_requested = threading.Event()
_at_once = threading.Event()


def request() -> None:
    """Ask the cells of this process to keep where they are and to stop; it is never taken back."""
    _requested.set()


def requested() -> bool:
    """Return whether this process was asked to stop."""
    return _requested.is_set()


def clear() -> None:
    """Forget the request."""
    _requested.clear()


def heed(*_: Any) -> None:
    """Take SIGTERM for a request from now on; in the main thread."""
    signal.signal(signal.SIGTERM, _handle)


@contextmanager
def heeded() -> Iterator[None]:
    """Take SIGTERM for a request inside; threads other than the main one leave it as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    heed()
    try:
        yield
    finally:
        # None: it was not set by Python, which cannot set it again either.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def at_once() -> Iterator[None]:
    """Stop wherever a request finds the main thread inside; for what keeps no state anyway.

    Raises:
        StoppedError: it was asked to stop, inside or before.
    """
    _at_once.set()
    try:
        _raise_if_requested()
        yield
    finally:
        _at_once.clear()


def _handle(*_: Any) -> None:
    request()
    if _at_once.is_set():
        _raise_if_requested()


def _raise_if_requested() -> None:
    if requested():
        raise StoppedError(
            "Asked to stop before the training began; the same command starts it again."
        )
