"""Which run works on which cell, so that two runs on one ledger never run a cell at once.

Each run has two files in `leases/`, whatever the number of its cells: `<id>.alive`, which it
touches every few seconds, and `<id>.cells`, the cells that it holds and those that it wants.

Why no cell is held twice. To take a cell a run first writes that it wants it, and looks at the
others then. Of two runs that want one cell at least one sees the other, since each wrote before it
looked, and file systems and object stores show what was written before. A run that sees that
another one holds the cell leaves it. If it sees that another one wants it too, the one with the
greater id leaves the cell, and the one with the smaller id waits for what the other decides: that
one may have looked before, seen nobody, and be about to hold it. Waits go from smaller to greater
ids alone, so that they end. A folder is listed by the names of the `.alive` files, which are
created once and never renamed: a listing that begins after one was created has it.

A run is over when it is a process of this machine that is gone, at once; otherwise when its file
was not touched for `LEASE_S` seconds. Both times compared are those of the store, that of the other
file and that of an own one touched just now: the clocks of two hosts need not agree. A run that was
stopped for so long finds out when it wakes up (`renew`), and asks for its cells again: what others
took meanwhile is lost. Between its waking and that question it may go on for a moment, and the
worst that comes of it is a second attempt in the ledger.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runner.ledger import Ledger, LedgerError
from runner.process_identity import ProcessIdentity

LEASE_S = 60.0
# A run trusts its own lease for less long than others do: its requests take their time too.
_TRUSTED_S = LEASE_S - 15.0
# What is left of runs that are over goes when nobody can wake up from it any more.
_CLEARED_S = 10 * LEASE_S
_FOLDER = "leases"
_LOOK_AGAIN_S = (0.02, 1.0)
_TRIES = 100


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Another run, as its files say."""

    id: str
    held: frozenset[str]
    wanted: frozenset[str]
    text: str


class Leases:
    """The cells that one run holds; safe to use from several threads."""

    def __init__(self, ledger: Ledger, owner: str = "xmft run") -> None:
        """Prepare; nothing is written before something is asked.

        Args:
            ledger: The results that the runs share.
            owner: What the run is called, for people.
        """
        self.id = uuid.uuid4().hex
        self._storage, self._shown = ledger.storage, ledger.shown
        self._facts = {
            "owner": owner,
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            **ProcessIdentity.own().facts(),
        }
        self._held: set[str] = set()
        self._wanted: set[str] = set()
        self._entered = False
        self._touched_at = 0.0
        self._lock = threading.RLock()

    @property
    def held(self) -> frozenset[str]:
        """The cells that this run holds."""
        with self._lock:
            return frozenset(self._held)

    def take(self, cell_ids: Iterable[str]) -> set[str]:
        """Take cells that no other run holds; return those that this run holds now.

        It waits for runs that ask for the same cells at the same time, for a moment as a rule.

        Raises:
            LedgerError: the store cannot be written.
        """
        asked = set(cell_ids)
        with self._lock, self._told():
            open_ = asked - self._held
            self._wanted |= open_
            self._touch()
            self._publish()
            pause = _LOOK_AGAIN_S[0]
            while open_:
                others = self._others()
                if self._is_over():  # held up since it was touched: what was seen is old
                    self._touch()
                    continue
                gone = {
                    cell
                    for other in others
                    for cell in other.held | (other.wanted if other.id < self.id else frozenset())
                }
                waits = {cell for other in others if other.id > self.id for cell in other.wanted}
                decided = {cell for cell in open_ if cell in gone or cell not in waits}
                self._held |= decided - gone
                self._wanted -= decided
                open_ -= decided
                if decided:
                    self._publish()
                if open_:
                    time.sleep(pause)
                    pause = min(2 * pause, _LOOK_AGAIN_S[1])
                    self._touch()
            return asked & self._held

    def renew(self) -> set[str]:
        """Say that this run is alive; call it every ten seconds or so.

        Returns:
            The cells that it holds no more, since it was stopped for too long and another run took
            them: their work here should end.

        Raises:
            LedgerError: the store could not be written for so long that the leases are over.
        """
        with self._lock:
            if not self._entered:
                return set()
            if not self._is_over():
                try:
                    self._touch()
                except FileNotFoundError:  # cleared away by one who took this run for dead
                    return self._again()
                except OSError:
                    return set()  # there is time to try again
                return set()
            return self._again()

    def release(self, cell_id: str) -> None:
        """Hold a cell no more, done or not.

        Raises:
            LedgerError: the store cannot be written.
        """
        with self._lock, self._told():
            if cell_id in self._held:
                self._held.remove(cell_id)
                self._publish()

    def holders(self, cell_ids: Iterable[str]) -> dict[str, str]:
        """Return who holds cells: other runs, for people, by cell; free cells are not in it.

        Raises:
            LedgerError: the store cannot be written.
        """
        asked = set(cell_ids)
        with self._lock, self._told():
            self._touch()
            return {cell: run.text for run in self._others() for cell in run.held & asked}

    def close(self) -> None:
        """Hold nothing any more; files that cannot be deleted are over by themselves."""
        with self._lock:
            self._held.clear()
            self._wanted.clear()
            if self._entered:
                self._entered = False
                for kind in ("alive", "cells"):
                    try:
                        self._storage.delete(f"{_FOLDER}/{self.id}.{kind}")
                    except OSError:
                        return

    def __enter__(self) -> Leases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_over(self) -> bool:
        return _now() - self._touched_at > _TRUSTED_S

    def _again(self) -> set[str]:
        """Ask for all cells again, as a new run would."""
        before = set(self._held)
        self._held.clear()
        self._entered = False
        return before - self.take(before)

    def _touch(self) -> None:
        """Show that this run is alive; the first time with what it is."""
        before = _now()
        if self._entered:
            self._storage.touch(f"{_FOLDER}/{self.id}.alive", self._described())
        else:
            # Before the run can be listed.
            self._publish()
            # Never over an old one: a name that is there all the time is in every listing.
            path = f"{_FOLDER}/{self.id}.alive"
            if not self._storage.write(path, self._described(), overwrite=False):
                self._storage.touch(path, self._described())
            self._entered = True
        self._touched_at = before

    def _described(self) -> bytes:
        return json.dumps(self._facts).encode()

    def _publish(self) -> None:
        cells = {"held": sorted(self._held), "wanted": sorted(self._wanted)}
        self._storage.write(f"{_FOLDER}/{self.id}.cells", json.dumps(cells).encode())

    def _others(self) -> list[_Run]:
        """Return the other runs that are alive; clear away what is left of those long gone."""
        touched = self._storage.modified(_FOLDER, ".alive")
        now = touched.get(f"{self.id}.alive")
        if now is None:
            raise FileNotFoundError(f"the lease of this run in {_FOLDER} is gone")
        found = []
        for name, at in touched.items():
            run_id, age = name.removesuffix(".alive"), (now - at).total_seconds()
            if run_id == self.id:
                continue
            facts = self._json(name)
            ended = facts is not None and ProcessIdentity.of(facts).has_ended()
            if ended or age > LEASE_S:
                if ended or age > _CLEARED_S:
                    self._storage.delete(f"{_FOLDER}/{name}")
                    self._storage.delete(f"{_FOLDER}/{run_id}.cells")
                continue
            cells = self._cells_of(run_id, name)
            if cells is None:
                continue
            found.append(
                _Run(
                    id=run_id,
                    held=frozenset(cells.get("held", ())),
                    wanted=frozenset(cells.get("wanted", ())),
                    text=_text(facts or {}),
                )
            )
        return found

    def _cells_of(self, run_id: str, name: str) -> dict[str, Any] | None:
        """Return what a run holds and wants; None if it has ended since it was listed.

        The file is there before the run is listed, and goes after that: one that cannot be read is
        being replaced, by a store that is not as whole about it as it should be.

        Raises:
            OSError: it cannot be read though its run is alive.
        """
        for _ in range(_TRIES):
            if (cells := self._json(f"{run_id}.cells")) is not None:
                return cells
            if self._json(name) is None:
                return None
            time.sleep(_LOOK_AGAIN_S[0])
        raise OSError(f"the cells of a run in {_FOLDER} cannot be read")

    def _json(self, name: str) -> dict[str, Any] | None:
        """Return what a file says; None if it is gone or not whole."""
        payload = self._storage.read(f"{_FOLDER}/{name}")
        try:
            found = None if payload is None else json.loads(payload.to_pybytes())
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"Which cells are taken cannot be written to {self._shown} "
                f"({self._storage.told(error)}). Make room there, or the folder writable, and run "
                "the same command again."
            ) from None


def _text(facts: dict[str, Any]) -> str:
    known = {key: facts.get(key, "unknown") for key in ("owner", "host", "pid", "since")}
    return "{owner} on {host}, process {pid}, since {since}".format(**known)


def _now() -> float:
    """Return seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
