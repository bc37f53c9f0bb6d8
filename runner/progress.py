"""What a person sees while cells run: live lines in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runner.planned import PlannedCell


class _Note(NamedTuple):
    stage: str
    step: int
    steps: int
    losses: Mapping[str, float]
    account: str


class ProgressDisplay:
    """Shows what the driver hears of running cells."""

    def __init__(self, console: Console, cells: Sequence[PlannedCell], slots: int) -> None:
        """Prepare; use as a context manager around the fan-out.

        Args:
            console: Where to write.
            cells: The cells that run.
            slots: Cells that run at once.
        """
        self._console = console
        self._cells = {item.cell.id: item for item in cells}
        self._slots = slots
        self._started = time.monotonic()
        self._finished: set[str] = set()
        self._notes: dict[str, _Note] = {}
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, notes: Mapping[str, tuple[Any, ...]]) -> None:
        """Show the latest notes of running cells, the fields of `xmft.session.Progress`."""
        self._notes = {cell_id: _Note(*note) for cell_id, note in notes.items()}
        if self._live is not None:
            self._live.update(self._render(), refresh=True)

    def finished(self, cell_id: str, failure: str | None) -> None:
        """Print one line for a cell that has a new attempt."""
        outcome = "ok" if failure is None else failure
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
