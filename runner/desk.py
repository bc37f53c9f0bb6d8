"""The desk: where the slots of a run take their cells and leave word of how they go.

A slot is a process that serves cells of one size, one after the other. What runs when is decided
here, from the resources of the nodes and what is left to run:

* The widest cells come first, and beside them whatever fits; those of one size in the order in
  which they were brought, longest expected first. So a slot seldom has to change its size, which
  costs a start, and wide cells need not wait for many narrow ones to end at the same time.
* A slot without a cell of its size left ends, and its room goes to others; where nothing is left
  but more may follow, as in a search, it waits. One that keeps a wider cell from its first slot
  ends as well: nothing starves.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.needs import Needs, Node, fits

# A slot that beats every other second and was not heard of for so long has frozen.
_SILENT_S = 45.0

Job = dict[str, Any]
WAIT: Literal["wait"] = "wait"


@dataclass
class _Slot:
    needs: Needs
    heard: float
    cell: str | None = None
    started: float = 0.0
    place: tuple[str, int] | None = None


@dataclass
class _Queue:
    """Cells of one size: those at hand, and how many of them more are to come."""

    jobs: deque[Job] = field(default_factory=deque)
    to_come: int = 0

    @property
    def left(self) -> int:
        return len(self.jobs) + self.to_come


@dataclass(frozen=True, kw_only=True)
class News:
    """What happened since the last look.

    Attributes:
        events: `("taken", cell id, started)`, `("done", outcome as a mapping)` and `("lost",
            cell id, reason, failure)`, in their order.
        notes: Latest progress of running cells, for the display.
        silent: Host and process id of slots that froze.
        idle: Sizes that have cells left but no slot, and do not fit on any node there is.
        running: Cells at work.
        slots: Slots that are there, those on their way included.
        busy: Share of the resources in use while there was anything left to start.
        wanted: How many slots of each size the run could use.
    """

    events: list[tuple[Any, ...]]
    notes: dict[str, Any]
    silent: list[tuple[str, int]]
    idle: list[Needs]
    running: int
    slots: int
    busy: float | None
    wanted: dict[Needs, int]


class Desk:
    """Keeps the queue; one object for a run, called by one at a time."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the desk.

        Args:
            nodes: Resources of each node by Ray's names.
            most: Most slots at once; None: as many as fit.
            clock: Seconds.
        """
        self._nodes = list(nodes)
        self._most = most
        self._clock = clock
        self._queues: dict[Needs, _Queue] = {}
        self._slots: dict[str, _Slot] = {}
        self._events: list[tuple[Any, ...]] = []
        self._notes: dict[str, Any] = {}
        self._noted: dict[str, float] = {}
        self._stopping = self._over = self._more = False
        self._used_s = self._there_s = 0.0
        self._looked = clock()

    # What the watcher says.

    def announce(self, to_come: Mapping[Needs, int], more: bool = False) -> None:
        """Say how many cells of each size are not at hand yet.

        Args:
            to_come: Their numbers.
            more: Whether others may follow on these: slots that nothing needs wait for them.
        """
        self._account()
        self._more = more
        for queue in self._queues.values():
            queue.to_come = 0
        for needs, count in to_come.items():
            self._queues.setdefault(needs, _Queue()).to_come = count

    def bring(self, needs: Needs, jobs: Sequence[Job]) -> None:
        """Bring cells of one size, which stand behind those that are there."""
        self._account()
        self._queues.setdefault(needs, _Queue()).jobs.extend(jobs)

    def set_nodes(self, nodes: Sequence[Node]) -> None:
        """Say what there is by now: nodes come and go."""
        self._account()
        self._nodes = list(nodes)

    def stop(self) -> None:
        """Start nothing more; running cells keep a checkpoint and end."""
        self._stopping = True

    def close(self) -> None:
        """Say that nothing is left to do."""
        self._over = True

    def news(self) -> News:
        """Return what happened since the last call."""
        self._account()
        now = self._clock()
        running = [slot for slot in self._slots.values() if slot.cell is not None]
        silent = [slot.place for slot in running if slot.place and now - slot.heard > _SILENT_S]
        waiting = [needs for needs, queue in self._queues.items() if queue.left]
        held = {slot.needs for slot in self._slots.values()}
        events, self._events = self._events, []
        return News(
            events=events,
            notes=dict(self._notes),
            silent=silent,
            idle=[n for n in waiting if n not in held and not fits(self._nodes, (), n)],
            running=len(running),
            slots=len(self._slots),
            busy=self._used_s / self._there_s if self._there_s else None,
            wanted=dict(
                Counter(slot.needs for slot in self._slots.values() if slot.cell is not None)
                + Counter({needs: queue.left for needs, queue in self._queues.items()})
            ),
        )

    # What Ray Tune's searcher asks.

    def next_slot(self, slot_id: str) -> Needs | Literal["over"] | None:
        """Open a slot where one is wanted and fits; `over`: none will be wanted any more."""
        if self._over:
            return "over"
        full = self._most is not None and len(self._slots) >= self._most
        if self._stopping or full:
            return None
        self._account()
        for needs in self._widest_first():
            queue = self._queues[needs]
            same = [slot for slot in self._slots.values() if slot.needs == needs]
            on_their_way = sum(slot.cell is None for slot in same)
            if queue.left > on_their_way and self._fits(needs):
                now = self._clock()
                self._slots[slot_id] = _Slot(needs, heard=now)
                return needs
        return None

    # What searcher and slots say.

    def lost(self, slot_id: str, reason: str, failure: str) -> None:
        """Take note of a slot that ended or is about to: a cell in its hand is lost with it.

        Args:
            slot_id: The slot; one that was lost before is not lost again.
            reason: For the ledger.
            failure: Class of the failure.
        """
        self._account()
        slot = self._slots.pop(slot_id, None)
        if slot is not None and slot.cell is not None:
            self._forget(slot.cell)
            self._events.append(("lost", slot.cell, reason, failure))

    def take(self, slot_id: str, place: tuple[str, int]) -> Job | Literal["wait"] | None:
        """Return the next cell for a slot; None: it is not needed any more.

        Args:
            slot_id: The slot.
            place: Node and process id of the slot.
        """
        self._account()
        slot = self._slots.get(slot_id)
        if slot is None or self._stopping or self._over:
            self._slots.pop(slot_id, None)
            return None
        slot.cell = None
        slot.place, slot.heard = place, self._clock()
        queue = self._queues.get(slot.needs, _Queue())
        kept = self._more and not any(one.left for one in self._queues.values())
        if not (queue.left or kept) or self._must_give_way(slot):
            del self._slots[slot_id]
            return None
        if not queue.jobs:
            return WAIT
        job = queue.jobs.popleft()
        slot.cell, slot.started = str(job["cell_id"]), self._clock()
        self._noted[slot.cell] = slot.started
        self._events.append(("taken", slot.cell, time.time()))
        return job

    def beat(self, slot_id: str) -> tuple[bool, float, float]:
        """Hear that a slot is alive; say whether it has to stop, and how its cell is.

        Returns:
            Whether to stop; seconds since the cell's last progress; seconds since it was taken.
        """
        slot = self._slots.get(slot_id)
        if slot is None or slot.cell is None:
            return self._stopping, 0.0, 0.0
        now = slot.heard = self._clock()
        return self._stopping, now - self._noted.get(slot.cell, now), now - slot.started

    def stopping(self) -> bool:
        """Tell whether running cells have to stop."""
        return self._stopping

    def note(self, cell_id: str, note: Any) -> None:
        """Take note of a cell's progress."""
        self._noted[cell_id] = self._clock()
        self._notes[cell_id] = note

    def done(self, slot_id: str, outcome: Mapping[str, Any]) -> None:
        """Hear what became of the cell of a slot."""
        self._account()
        slot = self._slots.get(slot_id)
        if slot is not None and slot.cell == outcome["cell_id"]:
            slot.cell = None
        self._forget(str(outcome["cell_id"]))
        self._events.append(("done", dict(outcome)))

    def _widest_first(self) -> list[Needs]:
        return sorted(self._queues, key=lambda needs: needs.size, reverse=True)

    def _fits(self, needs: Needs) -> bool:
        return fits(self._nodes, [slot.needs for slot in self._slots.values()], needs)

    def _must_give_way(self, slot: _Slot) -> bool:
        """Tell whether a wider cell has no slot because of narrower ones like this."""
        served = {one.needs for one in self._slots.values()}

        def is_kept_out(wide: Needs) -> bool:
            wider = [one.needs for one in self._slots.values() if one.needs.size >= wide.size]
            return not self._fits(wide) and fits(self._nodes, wider, wide)

        return any(
            needs.size > slot.needs.size
            and queue.left
            and needs not in served
            and is_kept_out(needs)
            for needs, queue in self._queues.items()
        )

    def _forget(self, cell_id: str) -> None:
        self._notes.pop(cell_id, None)
        self._noted.pop(cell_id, None)

    def _account(self) -> None:
        """Add up what was there and what was in use, as long as there is something to start."""
        now = self._clock()
        passed, self._looked = now - self._looked, now
        if not any(queue.left for queue in self._queues.values()):
            return
        unit = "GPU" if any(needs.gpus for needs in self._queues) else "CPU"
        there = sum(node.get(unit, 0.0) for node in self._nodes)
        used = sum(
            slot.needs.bundle.get(unit, 0.0) * slot.needs.workers
            for slot in self._slots.values()
            if slot.cell is not None
        )
        self._there_s += passed * there
        self._used_s += passed * min(used, there)
