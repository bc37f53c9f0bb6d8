"""The process that tells loggers of finished cells."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

from runner.ledger import Ledger
from runner.loggers.mlflow_runs import MlflowRuns
from runner.loggers.record import CellRecord, record_of
from runner.loggers.wandb_runs import WandbRuns


class Log(Protocol):
    """Takes cells."""

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

    def write(self, cell_id: str) -> list[str]:
        """Write a cell; return what to say where that did not go well."""
        said: list[str] = []
        record = None
        for name in list(self._logs):
            try:
                record = record or record_of(self._ledger, cell_id)
                if record is None:
                    return said
                log = self._logs[name] or LOGS[name](self._ledger.local_root)
                self._logs[name] = log
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
    try:
        results, names = line.recv()
        writer = Writer(Ledger(results), names)
        while (cell_id := line.recv()) is not None:
            for text in writer.write(cell_id):
                line.send(text)
    except (EOFError, OSError):
        pass  # nobody is there any more


if __name__ == "__main__":
    main()
