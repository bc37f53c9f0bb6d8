"""The watch over a slot: tells the desk that it lives, and ends a cell that does not go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import ray

from runner.board import Board

_BEAT_S = 2.0
# A cell whose time is up notices itself at its next step; one that makes none is ended.
_GRACE_S = 5.0


class Watch:
    """A thread beside the cell of a slot; use as a context manager around each cell."""

    def __init__(
        self,
        board: Board,
        slot_id: str,
        *,
        label: str,
        timeout_s: float | None,
        stall_s: float | None,
        stop: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            board: The desk.
            slot_id: The slot of this process.
            label: The cell as people know it.
            timeout_s: Most seconds for the cell; None: no limit.
            stall_s: Most seconds without progress; None: no limit.
            stop: What asks the cell to keep a checkpoint and end; called once.
        """
        self._board, self._slot_id, self._label = board, slot_id, label
        self._timeout_s, self._stall_s, self._stop = timeout_s, stall_s, stop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _run(self) -> None:
        asked = False
        while not self._over.wait(_BEAT_S):
            try:
                stop, idle_s, taken_s = self._board.beat(self._slot_id)
            except (ray.exceptions.RayError, ValueError):
                continue  # without a desk the run ends, and this process with it
            if self._over.is_set():
                return
            if stop and not asked:
                asked = True
                self._stop()
            if self._timeout_s is not None and taken_s > self._timeout_s + _GRACE_S:
                self._end(
                    f"{self._label} took longer than {self._timeout_s:.0f} s and made no step "
                    "at which it could be ended: its process was.",
                    "timeout",
                )
            if self._stall_s is not None and idle_s > self._stall_s:
                self._end(
                    f"{self._label} made no progress for {self._stall_s:.0f} s: its process was "
                    "ended. Raise --stall-timeout if it needs longer between two steps.",
                    "infra",
                )

    def _end(self, reason: str, failure: str) -> None:
        try:
            self._board.lost(self._slot_id, reason, failure)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
