"""The driver's end of the process that tells loggers of finished cells."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from runner.console import complain, console
from runner.ledger import Ledger
from runner.loggers.choice import TENSORBOARD
from runner.processes import module_command, module_environment

# For one cell, after the last one is finished; a server that is away is given up before. Whoever
# ends a run early waits for less.
_PATIENCE_S, _SHORT_S = 120.0, 10.0


class Scribe:
    """Tells loggers of cells; errors of theirs are said and end nothing."""

    def __init__(self, ledger: Ledger, names: Sequence[str]) -> None:
        """Prepare; the process starts with the first cell.

        Args:
            ledger: Where the cells are.
            names: Of the loggers.
        """
        self._ledger = ledger
        # TensorBoard's files are written where a cell is trained.
        self._names = tuple(name for name in names if name != TENSORBOARD)
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def tell(self, cell_ids: Sequence[str], *, new: bool = True) -> None:
        """Have cells written that are finished.

        Args:
            cell_ids: Their ids.
            new: Whether they have just been finished; otherwise those that are there are left.
        """
        if not self._names or not cell_ids:
            return
        try:
            if self._process is None:
                self._start()
            if self._line is not None:
                self._line.send((list(cell_ids), new))
                self._hear()
        except OSError as error:
            self._give_up(f"it ended: {error}")

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Wait until all is written, as long as it goes on.

        Args:
            patience_s: Most seconds to wait for a cell.
        """
        if self._process is None or self._line is None:
            return
        try:
            self._line.send(None)
            with console.status(f"telling {' and '.join(self._names)}"):
                while self._line.poll(patience_s):
                    if text := self._line.recv():
                        complain(text)
            self._give_up(f"one took more than {patience_s:.0f} s")
        except (EOFError, OSError):  # it is done
            self._end()
            if code := self._process.wait():
                complain(f"{self._who()} ended early (exit code {code}). {self._later()}")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                module_command("runner.loggers.writer", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=module_environment(PYTHONWARNINGS="ignore"),
                # What these packages print is for those who use them by hand.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._line = Connection(ours.detach())
        self._line.send((self._ledger.uri, self._names))

    def _hear(self) -> None:
        while self._line is not None and self._line.poll():
            try:
                if text := self._line.recv():
                    complain(text)
            except EOFError as error:
                raise BrokenPipeError("nobody answers") from error

    def _give_up(self, why: str) -> None:
        if self._line is not None:
            complain(f"{self._who()} cannot be told of more cells ({why}). {self._later()}")
        self._end()

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self._process.kill()
            self._process.wait()

    def _who(self) -> str:
        return " and ".join(self._names)

    def _later(self) -> str:
        return f"The same command with --log {','.join(self._names)} makes up for it."


@contextmanager
def scribe(ledger: Ledger, names: Sequence[str]) -> Iterator[Scribe]:
    """Return what tells loggers of cells, and wait for it at the end."""
    found = Scribe(ledger, names)
    try:
        yield found
    except BaseException:
        found.close(_SHORT_S)
        raise
    found.close()
