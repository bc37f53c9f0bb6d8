"""What a run hands to its slots, bit by bit: cells that no other run on the same results holds."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.console import complain, say
from runner.leases import Leases
from runner.ledger import Ledger, LedgerError

# Cells of each size beyond those that run: twice what was taken between the last two looks, so that
# no slot waits for short cells, and other runs find long ones.
_AHEAD, _MOST_AHEAD = 4, 256
_RENEW_EVERY_S, _LOOK_EVERY_S = 10.0, 5.0
# A place of results that fills up may be emptied; for longer nobody waits at a machine.
_PATIENCE_S = 120.0

Job = dict[str, Any]


class Feed:
    """The cells of a run that are not finished, by what they need.

    Attributes:
        elsewhere: Cells that were finished by other runs meanwhile.
    """

    def __init__(
        self,
        ledger: Ledger,
        jobs: Sequence[tuple[int, Job]],
        *,
        redo: bool,
        further: Callable[[], Sequence[tuple[int, Job]]] | None = None,
        finished: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            ledger: The results.
            jobs: The number of the size, and the cell as a mapping with its `cell_id`, in the order
                in which they are to start.
            redo: Whether to run cells that are done.
            further: Returns the cells that follow once all are finished, none at the end.
            finished: Called with the id of every cell that is.
        """
        self._ledger, self._redo, self._further = ledger, redo, further
        self._finished = finished
        self._jobs = {job["cell_id"]: (size, job) for size, job in jobs}
        self._open: dict[int, deque[str]] = {}
        self._sent: dict[int, set[str]] = {}
        self._taken: Counter[int] = Counter()
        self._held_elsewhere: set[str] = set()
        self._done: set[str] = set()
        self.elsewhere: set[str] = set()
        self._leases = Leases(ledger)
        self._renewed = self._looked = time.monotonic()
        self._failing_since: float | None = None
        self._told = ""
        self.restart()

    def restart(self) -> None:
        """Begin again with all that is not finished: who had some of it is gone."""
        sizes = {size for size, _ in self._jobs.values()}
        self._open = {size: deque() for size in sizes}
        self._sent = {size: set() for size in sizes}
        for cell_id, (size, _) in self._jobs.items():
            if cell_id not in self._done | self.elsewhere | self._held_elsewhere:
                self._open[size].append(cell_id)

    def is_over(self) -> bool:
        """Tell whether every cell is finished, here or elsewhere, and no more follow."""
        return self.is_through() and not self.may_go_on()

    def is_through(self) -> bool:
        """Tell whether every cell so far is finished, here or elsewhere."""
        return len(self._done) + len(self.elsewhere) == len(self._jobs)

    def go_on(self) -> None:
        """Find out what follows on the cells so far; this takes a while."""
        more = self._further() if self._further is not None else ()
        if not more:
            self._further = None
        self._jobs |= {job["cell_id"]: (size, job) for size, job in more}
        self.restart()

    def may_go_on(self) -> bool:
        """Tell whether others may follow on the cells so far."""
        return self._further is not None

    def to_come(self) -> dict[int, int]:
        """Return how many cells of each size were not handed out yet."""
        return {size: len(cells) for size, cells in self._open.items()}

    def taken(self, cell_id: str) -> None:
        """Hear that a slot has a cell."""
        size = self._jobs[cell_id][0]
        if cell_id in self._sent[size]:
            self._sent[size].remove(cell_id)
            self._taken[size] += 1

    def done(self, cell_id: str) -> None:
        """Hear that a cell is finished."""
        self._done.add(cell_id)
        self.taken(cell_id)
        try:
            self._leases.release(cell_id)
        except LedgerError as error:
            self._fail(error)
        if self._finished is not None:
            self._finished(cell_id)

    def next(self, at_once: Mapping[int, int]) -> list[tuple[int, list[Job]]]:
        """Return what is to be handed out now.

        Args:
            at_once: How many cells of each size run at once.

        Raises:
            LedgerError: the results could not be written for minutes.
        """
        found = []
        try:
            self._renew()
            self._look_elsewhere()
            for size, cells in self._open.items():
                ahead = min(max(_AHEAD, 2 * self._taken.pop(size, 0)), _MOST_AHEAD)
                room = at_once.get(size, 1) + ahead - len(self._sent[size])
                if cells and room > 0:
                    wanted = [cells[place] for place in range(min(room, len(cells)))]
                    mine = self._mine(wanted)
                    for _ in wanted:
                        cells.popleft()
                    self._sent[size] |= set(mine)
                    found.append((size, [self._jobs[cell_id][1] for cell_id in mine]))
        except LedgerError as error:
            self._fail(error)
        else:
            self._failing_since = None
        return found

    def close(self) -> None:
        """Hold nothing any more."""
        self._leases.close()

    def _mine(self, cell_ids: Sequence[str]) -> list[str]:
        """Take cells; leave those that others hold or have finished since they were planned."""
        taken = self._leases.take(cell_ids)
        done = set() if self._redo else taken & self._ok()
        for cell_id in done:
            self._leases.release(cell_id)
        self.elsewhere |= done
        if refused := set(cell_ids) - taken:
            self._held_elsewhere |= refused
            self._tell(refused)
        return [cell_id for cell_id in cell_ids if cell_id in taken - done]

    def _ok(self) -> set[str]:
        """Return the cells that are done by now, from one listing."""
        return {cell for cell, state in self._ledger.states().items() if state.status == "ok"}

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed > _RENEW_EVERY_S:
            self._renewed = now
            if gone := self._leases.renew():
                complain(
                    f"This run was held up for so long that another one took {len(gone)} of its "
                    "cells: they may have two attempts."
                )

    def _look_elsewhere(self) -> None:
        """See whether cells that other runs hold are finished or free by now."""
        now = time.monotonic()
        if not self._held_elsewhere or now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        free = self._held_elsewhere - self._leases.holders(self._held_elsewhere).keys()
        done = free & self._ok()
        self._held_elsewhere -= free
        self.elsewhere |= done
        for cell_id in sorted(free - done):
            self._open[self._jobs[cell_id][0]].append(cell_id)

    def _tell(self, refused: set[str]) -> None:
        """Say who holds cells of this run, when that changes."""
        holders = sorted(set(self._leases.holders(refused).values()))
        text = ", ".join(holders)
        if text and text != self._told:
            self._told = text
            say(
                f"Cells of this grid are held by {text}: this run takes the others, and waits for "
                "those."
            )

    def _fail(self, error: LedgerError) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            complain(f"{error} It is tried again.")
        elif now - self._failing_since > _PATIENCE_S:
            raise error
