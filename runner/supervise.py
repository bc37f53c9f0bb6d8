"""The watch over a run: starts the conductor, listens to it, and starts another when it dies."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from runner.conductor import BrokenError, RefusedError, conductor, how_it_died
from runner.console import complain, say
from runner.outcome import Outcome, Report
from runner.processes import end_all, reaped
from runner.run_folder import run_folder
from runner.terminations import Terminated, terminations
from xmft.errors import XmftError

if TYPE_CHECKING:
    from runner.feed import Feed
    from runner.request import Request

# Ray may take long to start on a busy machine; afterwards the conductor says something four times
# a second, but for calls to a cluster that does not answer, which end after half a minute.
_STARTING_S, _SILENT_S = 180.0, 45.0
# Starts in a row without a finished cell.
_FRUITLESS = 3
# What a batch system or a cloud gives between its notice and the end.
_STOPPING_S = 20.0
_PAUSE_S = 5.0


class LostError(XmftError):
    """Ray was lost and does not come back; what was finished is saved."""


class Display(Protocol):
    """What is told of running cells, see `runner.progress`."""

    def show(self, notes: dict[str, Any]) -> None:
        """Take the latest notes of running cells."""

    def finished(self, cell_id: str, failure: str | None) -> None:
        """Take a cell that has a result or failed."""


def supervise(
    request: Callable[[str, str], Request],
    feed: Feed,
    display: Callable[[int], contextlib.AbstractContextManager[Display]],
    *,
    address: str | None,
    cluster_wait_s: float,
) -> Report:
    """Run cells until each has an outcome, whatever dies in between.

    Args:
        request: Makes what the conductor is told by then, of the run's name and a folder.
        feed: The cells.
        display: Makes what shows progress, of the number of cells that run at once.
        address: Ray cluster that is joined; None: Ray is started on this machine.
        cluster_wait_s: Most seconds to wait for a cluster that was lost.

    Raises:
        RequestError: the request is wrong.
        LostError: Ray was lost and does not come back.
        LedgerError: the results could not be written for minutes.
        KeyboardInterrupt, Terminated: the run was asked to end; running cells keep a checkpoint.
    """
    report = Report()
    with ExitStack() as stack:
        folder = stack.enter_context(run_folder())
        name = f"xmft-{secrets.token_hex(6)}"
        stack.enter_context(reaped(name, folder))
        stack.callback(feed.close)
        stack.callback(end_all, name)
        stack.enter_context(terminations())
        run = _Run(report, feed, display, stack, cluster_wait_s)
        fruitless, lost_at = 0, None
        while not feed.is_over():
            before = len(report.outcomes)
            place = str(folder / str(report.restarts))
            try:
                run.conduct(partial(request, f"{name}-{report.restarts}", place), name)
                break
            except BrokenError as error:
                why = str(error)
            except RefusedError as error:
                # What was right at first is right; a cluster may come back.
                if not report.restarts:
                    raise
                why = str(error)
            end_all(name)
            feed.restart()
            progressed = len(report.outcomes) > before
            fruitless = 0 if progressed else fruitless + 1
            lost_at = time.monotonic() if lost_at is None or progressed else lost_at
            _give_up(why, address, fruitless, time.monotonic() - lost_at, cluster_wait_s)
            report.restarts += 1
            where = "is started again" if address is None else f"is joined again at {address}"
            complain(f"{why.rstrip('.')}. Ray {where}; what ran goes on from its checkpoints.")
            time.sleep(0 if address is None else _PAUSE_S)
        report.elsewhere = len(feed.elsewhere)
    return report


def _give_up(
    why: str, address: str | None, fruitless: int, waited_s: float, cluster_wait_s: float
) -> None:
    go_on = "Finished cells are saved; run the same command again to go on."
    if address is None and fruitless >= _FRUITLESS:
        raise LostError(
            f"{why.rstrip('.')}, {fruitless} times without a finished cell in between. {go_on} "
            "--verbose shows what Ray says."
        )
    if address is not None and waited_s > cluster_wait_s:
        raise LostError(
            f"{why.rstrip('.')}. The cluster at {address} did not come back within "
            f"{cluster_wait_s:.0f} s (--cluster-wait). {go_on}"
        )


class _Run:
    def __init__(
        self,
        report: Report,
        feed: Feed,
        display: Callable[[int], contextlib.AbstractContextManager[Display]],
        stack: ExitStack,
        cluster_wait_s: float,
    ) -> None:
        self._report, self._feed, self._make_display = report, feed, display
        self._shown = stack.enter_context(ExitStack())
        self._display: Display | None = None
        self._at_once: dict[int, int] = {}
        self._to_come: tuple[dict[int, int], bool] | None = None
        self._idle: list[str] = []
        self._most: int | None = None
        self._idle_since: float | None = None
        self._cluster_wait_s = cluster_wait_s

    def conduct(self, make_request: Callable[[], Request], mark: str) -> None:
        """Start a conductor and listen until it says that it is done."""
        request = make_request()
        self._most, self._fail_fast = request.most, request.fail_fast
        self._make_request = make_request
        process, line = conductor(request, mark)
        try:
            try:
                self._listen(process, line)
            except (KeyboardInterrupt, Terminated):
                self._wind_down(process, line)
                raise
            if request.address is not None:
                # It leaves the cluster as it found it.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_STOPPING_S)
        finally:
            process.kill()
            process.wait()
            line.close()

    def _wind_down(self, process: subprocess.Popen[bytes], line: Connection) -> None:
        complain("Running cells keep a checkpoint; this takes up to 20 s.")
        with contextlib.suppress(OSError, EOFError, BrokenError, KeyboardInterrupt, Terminated):
            line.send(("stop",))
            self._listen(process, line, most_s=_STOPPING_S)

    def _listen(
        self, process: subprocess.Popen[bytes], line: Connection, most_s: float = float("inf")
    ) -> None:
        ready, begun = False, time.monotonic()
        while time.monotonic() - begun < most_s:
            patience = _SILENT_S if ready else _STARTING_S
            try:
                if not line.poll(min(patience, most_s)):
                    if most_s < float("inf"):
                        return
                    raise BrokenError(f"Ray did not answer for {patience:.0f} s")
                kind, *facts = line.recv()
            except (EOFError, OSError):
                code = process.wait()
                raise BrokenError(how_it_died(code)) from None
            ready = ready or kind == "ready"
            if kind == "end":
                return
            self._hear(kind, facts)
            if most_s == float("inf") and kind in ("ready", "news"):
                # To one that died meanwhile: what it said before that is read first.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._hand_out(line)

    def _hand_out(self, line: Connection) -> None:
        if self._feed.is_through() and not self._feed.is_over() and not self._is_failing_fast():
            self._go_on(line)
        if self._display is None and not self._feed.is_over():
            return  # how many fit at once is told first
        for size, jobs in self._feed.next(self._at_once):
            line.send(("cells", size, jobs))
        to_come = self._feed.to_come(), self._feed.may_go_on()
        if self._to_come != to_come:
            self._to_come = to_come
            line.send(("to come", *to_come))
        if self._feed.is_over():
            line.send(("over",))

    def _is_failing_fast(self) -> bool:
        return self._fail_fast and any(o.failure for o in self._report.outcomes.values())

    def _go_on(self, line: Connection) -> None:
        """Plan what follows; Ray and its slots stay meanwhile."""
        self._shown.close()  # planning says what it does
        self._display = None
        self._feed.go_on()
        if not self._feed.is_over():
            line.send(("sizes", self._make_request().sizes))

    def _hear(self, kind: str, facts: list[Any]) -> None:
        if kind == "refused":
            raise RefusedError(facts[0])
        if kind == "broken":
            raise BrokenError(facts[0])
        if kind == "complaint":
            complain(facts[0])
        elif kind == "ready":
            self._introduce(*facts)
        elif kind == "news":
            notes, running, slots, busy, idle = facts
            self._report.slots = max(self._report.slots, slots)
            self._report.busy = busy if busy is not None else self._report.busy
            self._tell_idle(idle, running)
            if self._display is not None:
                self._display.show(notes)
        elif kind == "taken":
            self._feed.taken(facts[0])
        elif kind in ("again", "done"):
            outcome = Outcome(**facts[0])
            if kind == "done":
                self._report.outcomes[outcome.cell_id] = outcome
                self._feed.done(outcome.cell_id)
            if self._display is not None:
                self._display.finished(outcome.cell_id, outcome.failure)

    def _introduce(self, cores: str, sizes: list[str], at_once: list[int]) -> None:
        most = self._most or max(at_once)
        self._at_once = {size: min(count, most) for size, count in enumerate(at_once)}
        self._to_come = None
        if self._display is not None:  # Ray was started again
            return
        cells = {size: count for size, count in self._feed.to_come().items() if count}
        counts = {size: min(left, self._at_once[size]) for size, left in cells.items()}
        for size, left in cells.items():
            of = f"{left} cells: " if len(cells) > 1 else ""
            say(f"{of}{counts[size]} cell(s) at a time, {sizes[size]}, on {cores}")
        most = sum(counts.values())
        self._display = self._shown.enter_context(self._make_display(most))

    def _tell_idle(self, idle: list[str], running: int) -> None:
        """Say which cells fit nowhere; where nothing else runs, wait no longer than said.

        Raises:
            LostError: none came.
        """
        sizes = "; ".join(idle)
        if idle and idle != self._idle:
            complain(f"No node has room for cells of {sizes}: waiting for one that has.")
        self._idle = idle
        if not idle or running:
            self._idle_since = None
            return
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since > self._cluster_wait_s:
            raise LostError(
                f"No node with room for cells of {sizes} came within {self._cluster_wait_s:.0f} s "
                "(--cluster-wait). Lower --workers, --threads, --gpus-per-worker or the grid's "
                "resources. Finished cells are saved; run the same command again to go on."
            )
