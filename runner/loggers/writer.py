"""The process that tells loggers of finished cells."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import Connection
from typing import NoReturn, Protocol

from runner.ledger import Ledger
from runner.loggers.mlflow_runs import MlflowRuns
from runner.loggers.record import CellRecord, counting_attempts, record_of
from runner.loggers.wandb_runs import WandbRuns
from runner.processes import MARK, end_all

# Cells in a row that a log refuses before it is left out: a full disk has nothing to do with them.
_REFUSED = 3
# Cells that cannot be read and are named.
_NAMED = 3
_WATCH_S = 1.0


class Log(Protocol):
    """Takes cells."""

    def known(self) -> Mapping[str, Collection[str]]:
        """Return the attempts that are there as a whole, by the ids of their cells."""

    def write(self, record: CellRecord) -> None:
        """Write a cell, in place of other attempts at it; nothing if it is there."""


LOGS: dict[str, Callable[..., Log]] = {"mlflow": MlflowRuns, "wandb": WandbRuns}


class Writer:
    """Writes cells to several logs; one that fails is left out from then on.

    A cell that cannot be read, or that a log refuses, is left out alone.
    """

    def __init__(self, ledger: Ledger, names: tuple[str, ...]) -> None:
        """Prepare; a log is opened with the first cell.

        Args:
            ledger: Where the cells are.
            names: Of `LOGS`.
        """
        self._ledger = ledger
        self._logs: dict[str, Log | None] = dict.fromkeys(names)
        self._known: dict[str, Mapping[str, Collection[str]]] = {}
        self._counting: Mapping[str, str] | None = None
        self._refused = dict.fromkeys(names, 0)
        self._unreadable: set[str] = set()

    def write(self, cell_id: str, *, new: bool = True) -> list[str]:
        """Write a cell; return what to say where that did not go well.

        Args:
            cell_id: The cell.
            new: Whether it has just been finished. Otherwise it may be there, which is cheap to
                find out for thousands.
        """
        said: list[str] = []
        lacking = [name for name in list(self._logs) if self._lacks(name, cell_id, new, said)]
        if not lacking:
            return said
        try:
            record = record_of(self._ledger, cell_id)
        # Of files that others wrote: whatever is in them, the next cell is another one.
        except Exception as error:
            return said + self._not_read(cell_id, error)
        for name in lacking if record is not None else ():
            assert record is not None
            self._write(name, record, said)
        return said

    def _lacks(self, name: str, cell_id: str, new: bool, said: list[str]) -> bool:
        """Tell whether a log has to have a cell written; open it if it is not."""
        try:
            log = self._logs[name] or LOGS[name](self._ledger.local_root)
            self._logs[name] = log
            if new:
                return True
            if name not in self._known:
                self._known[name] = log.known()
        # Of servers, files, and packages of others: whatever it is, no cell fails of it.
        except Exception as error:
            self._drop(name, cell_id, error, said)
            return False
        there = set(self._known[name].get(cell_id, ()))
        return not there or there != {self._attempt_of(cell_id)}

    def _attempt_of(self, cell_id: str) -> str | None:
        """Return the attempt that counts; None if that is not known."""
        if self._counting is None:
            try:
                self._counting = counting_attempts(self._ledger)
            except Exception:  # then each cell says for itself whether it can be read
                self._counting = {}
        return self._counting.get(cell_id)

    def _write(self, name: str, record: CellRecord, said: list[str]) -> None:
        log = self._logs[name]
        assert log is not None
        try:
            log.write(record)
        # Whatever it is, as above.
        except Exception as error:
            self._refused[name] += 1
            if self._refused[name] < _REFUSED and _answers(log):
                why = _text(error)
                said.append(f"{name} refuses {record.cell_id} ({why}). It goes on without.")
            else:
                self._drop(name, record.cell_id, error, said)
        else:
            self._refused[name] = 0

    def _drop(self, name: str, cell_id: str, error: Exception, said: list[str]) -> None:
        del self._logs[name]
        said.append(
            f"{name} cannot be told of {cell_id} ({_text(error)}). The run goes on without; the "
            f"same command with --log {name} makes up for it later."
        )

    def _not_read(self, cell_id: str, error: Exception) -> list[str]:
        if cell_id in self._unreadable or len(self._unreadable) >= _NAMED:
            return []
        self._unreadable.add(cell_id)
        more = " Further ones are not named." if len(self._unreadable) == _NAMED else ""
        names = " and ".join(self._logs)
        return [f"{names} cannot be told of {cell_id}: it cannot be read ({_text(error)}).{more}"]


def _answers(log: Log) -> bool:
    try:
        log.known()
    # Whatever it is, again.
    except Exception:
        return False
    return True


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> None:
    """Write the cells that come over the open file that the command line numbers.

    An empty text answers each cell once the last one came; None says that all are written.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the driver says when it is over
    line = Connection(int(sys.argv[1]))
    cells: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
    last = threading.Event()

    def listen() -> None:
        """Take what comes at once: who sends it has other things to do than to wait."""
        try:
            while True:
                if (told := line.recv()) is None:
                    last.set()
                    cells.put(None)
                else:
                    for cell_id in told[0]:
                        cells.put((cell_id, told[1]))
        except (EOFError, OSError):
            _end()

    try:
        results, names = line.recv()
    except (EOFError, OSError):
        _end()
    threading.Thread(target=listen, daemon=True).start()
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    writer = Writer(Ledger(results), names)
    try:
        while (cell := cells.get()) is not None:
            said = writer.write(cell[0], new=cell[1])
            if last.is_set():
                said.append("")  # who waits is to see that it goes on
            for text in said:
                line.send(text)
        line.send(None)
    except OSError:  # nobody is there any more
        _end()


def _watch(parent: int) -> None:
    """End when the process that started this one is gone: a copy of it may hold the line open."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    _end()


def _end() -> NoReturn:
    """End at once, whatever a log is waiting for, and the processes that logs started."""
    if mark := os.environ.get(MARK):
        end_all(mark)
    os._exit(0)


if __name__ == "__main__":
    main()
