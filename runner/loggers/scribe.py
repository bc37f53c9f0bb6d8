"""The driver's end of the process that tells loggers of finished cells."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from runner.console import complain, say
from runner.ledger import Ledger
from runner.loggers.choice import TENSORBOARD
from runner.processes import MARK, end_all, module_command, module_environment
from runner.terminations import Terminated, terminations

# For one cell, after the last one is finished; a server that is away is given up before.
_PATIENCE_S = 120.0
# For all of them, where a run is ended early.
_SHORT_S = 5.0
# Who waits longer is told what for.
_TELL_AFTER_S = 2.0


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
        self._mark = f"xmft-log-{secrets.token_hex(6)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._told: set[str] = set()
        self._over = not self._names

    def tell(self, cell_ids: Sequence[str], *, new: bool = True) -> None:
        """Have cells written that are finished.

        Args:
            cell_ids: Their ids.
            new: Whether they have just been finished; otherwise those that are there are left.
        """
        if not new:
            cell_ids = [cell_id for cell_id in cell_ids if cell_id not in self._told]
        if self._over or not cell_ids:
            return
        self._told.update(cell_ids)
        try:
            if self._line is None:
                self._line = self._start()
                self._line.send((self._ledger.uri, self._names))
            self._line.send((list(cell_ids), new))
            while self._line.poll():
                if text := self._line.recv():
                    complain(text)
        except (EOFError, OSError) as error:
            self._give_up(f"cannot be told of more cells ({error or 'it ended'})")

    def close(self, *, early: bool = False) -> None:
        """Wait until all is written, as long as it goes on; an interrupt ends the waiting alone.

        Args:
            early: Whether the run is ended early; then all of it may take some seconds.
        """
        if self._line is None:
            return
        try:
            with terminations():
                self._wait(self._line, early)
        except (KeyboardInterrupt, Terminated):
            self._give_up("is not waited for")
        except (EOFError, OSError) as error:
            self._give_up(f"cannot be told of more cells ({error or 'it ended'})")
        finally:
            self.end()

    def end(self) -> None:
        """End the process, and those that it started."""
        self._over = True
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            end_all(self._mark)

    def _wait(self, line: Connection, early: bool) -> None:
        line.send(None)
        begun = heard = time.monotonic()
        told = early
        while True:
            until = begun + _SHORT_S if early else heard + _PATIENCE_S
            now = time.monotonic()
            if now >= until:
                most = f"{_SHORT_S:.0f} s" if early else f"{_PATIENCE_S:.0f} s for one cell"
                return self._give_up(f"is not waited for any longer ({most})")
            if not told and now >= begun + _TELL_AFTER_S:
                told = True
                say(
                    f"Waiting until {self._who()} {'has' if len(self._names) == 1 else 'have'} the "
                    "last cells. Ctrl-C leaves them to the next run."
                )
            if line.poll((until if told else min(until, begun + _TELL_AFTER_S)) - now):
                heard = time.monotonic()
                if (text := line.recv()) is None:
                    break
                if text:
                    complain(text)
        # All is written; what these packages tidy up at their end is soon done.
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_SHORT_S)

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                module_command("runner.loggers.writer", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=module_environment(PYTHONWARNINGS="ignore", **{MARK: self._mark}),
                # What these packages print is for those who use them by hand.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # What a terminal sends to the run does not reach it: it ends with the line.
                start_new_session=True,
            )
            return Connection(ours.detach())

    def _give_up(self, why: str) -> None:
        if not self._over:
            self._over = True
            complain(
                f"{self._who()} {why}. The same command with --log {','.join(self._names)} makes "
                "up for it."
            )
        self.end()

    def _who(self) -> str:
        return " and ".join(self._names)


@contextmanager
def scribe(ledger: Ledger, names: Sequence[str]) -> Iterator[Scribe]:
    """Return what tells loggers of cells, and wait for it at the end.

    Inside, SIGTERM and SIGHUP raise `Terminated`, so that no process stays.
    """
    found = Scribe(ledger, names)
    with terminations():
        try:
            yield found
            found.close()
        except BaseException:
            found.close(early=True)
            raise
        finally:
            found.end()
