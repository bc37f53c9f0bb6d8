"""What the process of a slot does: take a cell from the desk, train it, say how it went."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from runner.board import Board
from runner.desk import WAIT
from runner.execute import attempt_cell, local_runner
from runner.job import CellJob
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
    while (job := board.take(slot_id)) is not None:
        if job == WAIT:
            time.sleep(_PAUSE_S)
            continue
        told = CellJob(**job["job"])
        watch = Watch(
            board,
            slot_id,
            label=told.cell.label,
            timeout_s=told.timeout_s,
            stall_s=stall_s,
            stop=_stop,
        )
        with watch:
            if size.workers == 1:
                run = local_runner(told, board, size.cpus, size.gpus)
            else:
                from runner.workers import distributed_runner

                run = distributed_runner(
                    told,
                    board,
                    threads=size.cpus,
                    gpus=size.gpus,
                    storage=storage,
                    plugins=plugins,
                )
            outcome = attempt_cell(told, run)
        board.done(slot_id, asdict(outcome))
        count += 1
    return count


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
