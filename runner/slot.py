"""What the process of a slot does: take a cell from the desk, train it, say how it went."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from runner import stops
from runner.board import Board
from runner.desk import WAIT
from runner.execute import attempt_cell, local_runner
from runner.job import CellJob, FinishedCell
from runner.needs import Needs
from runner.plugins import Plugin, install
from runner.watch import Watch

# Between two questions of a slot that waits for cells which are on their way.
_PAUSE_S = 0.1


def serve(
    board: Board,
    slot_id: str,
    needs: dict[str, Any],
    *,
    plugins: Sequence[Plugin],
    storage: str,
    stall_s: float | None,
) -> int:
    """Train cells until the desk has none for this slot; failures are rows of the ledger.

    Args:
        board: The desk.
        slot_id: This slot.
        needs: Fields of its `Needs`.
        plugins: Imported before any name is looked up.
        storage: Folder or URI for Ray Train's own files.
        stall_s: Most seconds of a cell without progress; None: no limit.

    Returns:
        How many cells there were.
    """
    size, count = Needs(**needs), 0
    install(plugins)
    with closing(_Crew(board, size, plugins, storage)) as crew:
        while not stops.requested() and (job := board.take(slot_id)) is not None:
            if job == WAIT:
                time.sleep(_PAUSE_S)
                continue
            told = CellJob(**job["job"])
            watch = Watch(
                board,
                slot_id,
                label=told.cell.label,
                # A gang counts from when its workers have the cell: they may have to start first.
                timeout_s=told.timeout_s if size.workers == 1 else None,
                stall_s=stall_s,
                stop=_stop,
            )
            with watch:
                outcome = attempt_cell(told, crew.runner(told))
            board.done(slot_id, asdict(outcome))
            count += 1
    return count


class _Crew:
    """Who trains the cells of a slot: this process, or workers that stay for all of them."""

    def __init__(self, board: Board, size: Needs, plugins: Sequence[Plugin], storage: str) -> None:
        self._board, self._size = board, size
        self._gang: Any = None
        if size.workers > 1:
            from runner.gang import Gang

            self._gang = Gang(
                workers=size.workers,
                threads=size.cpus,
                gpus=size.gpus,
                memory=size.memory,
                storage=storage,
                plugins=plugins,
                board=board,
            )

    def runner(self, job: CellJob) -> Callable[[int | None], FinishedCell]:
        if self._gang is None:
            return local_runner(job, self._board, self._size.cpus, self._size.gpus)
        return self._gang.runner(job)

    def close(self) -> None:
        if self._gang is not None:
            self._gang.close()


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
