"""What a person sees while cells run: live lines in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runner.ledger import Ledger
from runner.plan import PlannedCell
from runner.progress_actor import Board
from xmft.session import Progress

_POLL_S = 0.5
# Listing an object store costs a request; a local folder costs next to nothing.
_LIST_EVERY = {True: 1, False: 20}


class ProgressDisplay:
    """Watches the board and the ledger from a thread while the driver is busy."""

    def __init__(
        self,
        console: Console,
        cells: Sequence[PlannedCell],
        board: Board,
        ledger: Ledger,
        slots: int,
    ) -> None:
        """Prepare; use as a context manager around the fan-out.

        Args:
            console: Where to write.
            cells: The cells that run.
            board: Holds the progress of running cells.
            ledger: Says which cells are finished.
            slots: Cells that run at once.
        """
        self._console = console
        self._cells = {item.cell.id: item for item in cells}
        self._board = board
        self._ledger = ledger
        self._slots = slots
        self._started = time.monotonic()
        self._seen = {cell_id: state.attempts for cell_id, state in ledger.states().items()}
        self._finished: set[str] = set()
        self._notes: dict[str, Progress] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(timeout=10)
        if self._live is not None:
            self._live.stop()
        if kind is None:
            self._announce_finished()

    def _watch(self) -> None:
        turns = 0
        while not self._over.wait(_POLL_S):
            self._notes = self._board.read()
            if turns % _LIST_EVERY[self._ledger.is_local] == 0:
                self._announce_finished()
            turns += 1
            if self._live is not None:
                self._live.update(self._render(), refresh=True)

    def _announce_finished(self) -> None:
        """Print one line for every cell that got a new attempt since the last look."""
        for cell_id, state in self._ledger.states().items():
            if cell_id not in self._cells or state.attempts <= self._seen.get(cell_id, 0):
                continue
            self._seen[cell_id] = state.attempts
            outcome = "ok" if state.failure is None else state.failure
            if outcome != "infra":  # a lost process is tried again
                self._finished.add(cell_id)
            line = Text.assemble(
                f"{len(self._finished):>4}/{len(self._cells)}  ",
                (f"{outcome:<8}", "green" if outcome == "ok" else "red"),
                f"  {self._cells[cell_id].cell.label}",
            )
            self._console.print(line, highlight=False)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        running = [
            (cell_id, note)
            for cell_id, note in self._notes.items()
            if cell_id in self._cells and cell_id not in self._finished
        ]
        for cell_id, note in running[: self._slots * 2]:
            table.add_row(
                self._cells[cell_id].cell.label,
                note.stage,
                ProgressBar(total=max(note.steps, 1), completed=note.step, width=24),
                _losses(note.losses),
            )
        return Group(table, Text(self._total_line(), style="bold"))

    def _total_line(self) -> str:
        elapsed = time.monotonic() - self._started
        line = f"{len(self._finished)}/{len(self._cells)} cells, {_clock(elapsed)} so far"
        left = self._left_seconds(elapsed)
        return line if left is None else f"{line}, about {_clock(left)} left"

    def _left_seconds(self, elapsed: float) -> float | None:
        """Extrapolate by expected work: what is done so far took `elapsed`."""
        total = sum(item.expected_s for item in self._cells.values())
        done = sum(self._cells[cell_id].expected_s for cell_id in self._finished)
        for cell_id, note in self._notes.items():
            if cell_id in self._cells and cell_id not in self._finished and note.account == "fit":
                done += self._cells[cell_id].expected_s * note.step / max(note.steps, 1)
        return elapsed * (total - done) / done if done > 0.02 * total else None


def _losses(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
