"""The process that tells loggers of finished cells."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from typing import Protocol

from runner.ledger import Ledger
from runner.loggers.mlflow_runs import MlflowRuns
from runner.loggers.record import CellRecord, record_of
from runner.loggers.wandb_runs import WandbRuns


class Log(Protocol):
    """Takes cells."""

    def known(self) -> Collection[str]:
        """Return the ids of all cells that are there as a whole."""

    def write(self, record: CellRecord) -> None:
        """Write a cell, in place of an earlier attempt at it; nothing if it is there."""


LOGS: dict[str, Callable[..., Log]] = {"mlflow": MlflowRuns, "wandb": WandbRuns}


class Writer:
    """Writes cells to several logs; one that fails is left out from then on."""

    def __init__(self, ledger: Ledger, names: tuple[str, ...]) -> None:
        """Prepare; a log is opened with the first cell.

        Args:
            ledger: Where the cells are.
            names: Of `LOGS`.
        """
        self._ledger = ledger
        self._logs: dict[str, Log | None] = dict.fromkeys(names)
        self._known: dict[str, Collection[str]] = {}

    def write(self, cell_id: str, *, new: bool = True) -> list[str]:
        """Write a cell; return what to say where that did not go well.

        Args:
            cell_id: The cell.
            new: Whether it has just been finished. Otherwise it may be there, which is cheap to
                find out for thousands.
        """
        said: list[str] = []
        record = None
        for name in list(self._logs):
            try:
                log = self._logs[name] or LOGS[name](self._ledger.local_root)
                self._logs[name] = log
                if not new and name not in self._known:
                    self._known[name] = log.known()
                if not new and cell_id in self._known[name]:
                    continue
                record = record or record_of(self._ledger, cell_id)
                if record is not None:
                    log.write(record)
            # Of servers, files, and packages of others: whatever it is, no cell fails of it.
            except Exception as error:
                del self._logs[name]
                text = " ".join(str(error).split())[:300]
                said.append(
                    f"{name} cannot be told of {cell_id} ({type(error).__name__}: {text}). The run "
                    f"goes on without; the same command with --log {name} makes up for it later."
                )
        return said


def main() -> None:
    """Write the cells that come over the open file that the command line numbers."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the driver says when it is over
    line = Connection(int(sys.argv[1]))
    results, names = line.recv()
    writer = Writer(Ledger(results), names)
    cells: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
    last = threading.Event()

    def listen() -> None:
        """Take what comes at once: who sends it has other things to do than to wait."""
        try:
            while (told := line.recv()) is not None:
                for cell_id in told[0]:
                    cells.put((cell_id, told[1]))
        except (EOFError, OSError):
            os._exit(0)  # nobody is there any more
        last.set()
        cells.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while (cell := cells.get()) is not None:
        said = writer.write(cell[0], new=cell[1])
        if last.is_set():
            said.append("")  # who waits is to see that it goes on
        for text in said:
            line.send(text)


if __name__ == "__main__":
    main()
