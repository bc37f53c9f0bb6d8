"""Being asked to end: by a batch system, a cloud, or a terminal that was closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(BaseException):
    """The process was asked to end, by SIGTERM or SIGHUP."""


@contextmanager
def terminations() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Terminated` inside, where signals can be handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(number: int, frame: Any) -> None:
        raise Terminated(signal.Signals(number).name)

    before = {number: signal.signal(number, raise_it) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
