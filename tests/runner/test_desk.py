"""The desk against a simulated cluster: what runs when, whatever the sizes and the deaths."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from runner.desk import WAIT, Desk
from runner.needs import Needs, fits

NARROW, WIDE, WIDEST = Needs(), Needs(workers=2), Needs(workers=4)
PLACE = ("node", 1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def job(cell: str) -> dict[str, Any]:
    return {"cell_id": cell}


class Simulated:
    """Slots that take cells of known lengths, and die at times."""

    def __init__(self, desk: Desk, clock: Clock, lengths: dict[str, float]) -> None:
        self.desk, self.clock, self.lengths = desk, clock, lengths
        self.slots: dict[str, tuple[Needs, str | None, float]] = {}
        self.ran: list[str] = []
        self.most = 0
        self.count = 0

    def held(self) -> list[Needs]:
        return [needs for needs, _, _ in self.slots.values()]

    def open_slots(self) -> None:
        while (needs := self.desk.next_slot(f"s{self.count}")) not in (None, "over"):
            assert isinstance(needs, Needs)
            self.slots[f"s{self.count}"] = (needs, None, self.clock.now)
            self.count += 1
        self.most = max(self.most, len(self.slots))

    def step(self, dies: float = 0.0, rng: random.Random | None = None) -> None:
        """Let a tenth of a second pass."""
        self.open_slots()
        self.clock.now += 0.1
        for name, (needs, cell, until) in list(self.slots.items()):
            if cell is not None and rng is not None and rng.random() < dies:
                del self.slots[name]
                self.desk.lost(name, "it was killed", "infra")
                continue
            if cell is not None and self.clock.now >= until:
                self.desk.done(name, {"cell_id": cell, "status": "ok"})
                self.ran.append(cell)
                self.slots[name] = (needs, None, 0.0)
            if self.slots[name][1] is None:
                taken = self.desk.take(name, PLACE)
                if taken is None:
                    del self.slots[name]
                elif taken != WAIT:
                    cell = str(taken["cell_id"])
                    self.slots[name] = (needs, cell, self.clock.now + self.lengths[cell])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [[4.0], [2.0, 2.0], [6.0, 3.0]])
def test_sixty_cells_of_mixed_sizes(seed: int, nodes: list[float]) -> None:
    rng, clock = random.Random(seed), Clock()
    desk = Desk([{"CPU": cpus} for cpus in nodes], clock=clock)
    lengths, cells = {}, []
    for number in range(60):
        needs = rng.choice([NARROW, NARROW, WIDE, WIDEST])
        cells.append((needs, f"c{number}"))
        lengths[f"c{number}"] = rng.uniform(1.0, 6.0)
    for needs, cell in sorted(cells, key=lambda item: -lengths[item[1]]):
        desk.bring(needs, [job(cell)])
    cluster = Simulated(desk, clock, lengths)
    busy = None
    while len(cluster.ran) < 60:
        cluster.step()
        # Never more than there is.
        held = cluster.held()
        assert all(fits([{"CPU": c} for c in nodes], held[:n], held[n]) for n in range(len(held)))
        busy = desk.news().busy or busy
        assert clock.now < 1000, "nothing goes on"
    assert sorted(cluster.ran) == sorted(lengths)
    assert busy is not None
    assert busy >= 0.9
    # Each size is opened once: changing it costs a start.
    assert cluster.count <= sum(nodes) + 2 * len(nodes) + 3


@pytest.mark.parametrize("seed", range(3))
def test_lost_cells_are_told_and_nothing_runs_twice(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    desk = Desk([{"CPU": 4.0}], clock=clock)
    lengths = {f"c{number}": rng.uniform(0.5, 3.0) for number in range(40)}
    sizes = {cell: rng.choice([NARROW, WIDE]) for cell in lengths}
    for cell, needs in sizes.items():
        desk.bring(needs, [job(cell)])
    cluster = Simulated(desk, clock, lengths)
    lost: Counter[str] = Counter()
    while len(cluster.ran) < 40:
        cluster.step(dies=0.02, rng=rng)
        for event in desk.news().events:
            if event[0] == "lost":
                lost[event[1]] += 1
                desk.bring(sizes[event[1]], [job(event[1])])
        assert clock.now < 1000
    assert lost
    assert Counter(cluster.ran) == Counter(dict.fromkeys(lengths, 1))


def test_a_wide_cell_that_comes_late_gets_its_room() -> None:
    clock = Clock()
    desk = Desk([{"CPU": 2.0}], clock=clock)
    lengths = {f"n{number}": 1.0 + number % 3 / 3 for number in range(200)} | {"wide": 1.0}
    desk.bring(NARROW, [job(cell) for cell in lengths if cell != "wide"])
    cluster = Simulated(desk, clock, lengths)
    for _ in range(20):
        cluster.step()
    desk.bring(WIDE, [job("wide")])
    for _ in range(60):
        cluster.step()
    assert "wide" in cluster.ran


def test_nodes_that_come_are_used_and_those_that_go_are_done_without() -> None:
    clock = Clock()
    desk = Desk([{"CPU": 1.0}], clock=clock)
    desk.bring(NARROW, [job(f"c{number}") for number in range(100)])
    cluster = Simulated(desk, clock, {f"c{number}": 1.0 for number in range(100)})
    cluster.step()
    assert len(cluster.slots) == 1
    desk.set_nodes([{"CPU": 1.0}, {"CPU": 3.0}])
    cluster.step()
    assert len(cluster.slots) == 4
    desk.set_nodes([{"CPU": 1.0}])
    for name in list(cluster.slots)[1:]:
        del cluster.slots[name]
        desk.lost(name, "its node died", "infra")
    while len(cluster.ran) < 97:
        cluster.step()
        assert len(cluster.slots) <= 1


def test_cells_that_fit_nowhere_are_told() -> None:
    desk = Desk([{"CPU": 2.0}])
    desk.bring(WIDEST, [job("a")])
    assert desk.next_slot("s") is None
    assert desk.news().idle == [WIDEST]
    desk.set_nodes([{"CPU": 2.0}, {"CPU": 2.0}])
    assert desk.news().idle == []
    assert desk.next_slot("s") == WIDEST


def test_slots_wait_for_cells_that_are_to_come() -> None:
    desk = Desk([{"CPU": 2.0}])
    desk.announce({NARROW: 1})
    assert desk.next_slot("s") == NARROW
    assert desk.next_slot("t") is None  # one is enough for one cell
    assert desk.take("s", PLACE) == WAIT
    desk.announce({})
    desk.bring(NARROW, [job("a")])
    assert desk.take("s", PLACE) == job("a")


def test_slots_wait_for_what_may_follow_while_nobody_needs_their_room() -> None:
    desk = Desk([{"CPU": 2.0}])
    desk.announce({}, more=True)
    desk.bring(WIDE, [job("a")])
    assert desk.next_slot("s") == WIDE
    assert desk.take("s", PLACE) == job("a")
    desk.done("s", {"cell_id": "a", "status": "ok"})
    assert desk.take("s", PLACE) == WAIT
    assert desk.next_slot("t") is None  # none is opened for what may never come
    desk.bring(NARROW, [job("b")])
    assert desk.take("s", PLACE) is None
    assert desk.next_slot("t") == NARROW
    assert desk.take("t", PLACE) == job("b")
    desk.done("t", {"cell_id": "b", "status": "ok"})
    desk.announce({}, more=False)
    assert desk.take("t", PLACE) is None


def test_stopping_starts_nothing_and_tells_the_slots() -> None:
    desk = Desk([{"CPU": 2.0}])
    desk.bring(NARROW, [job("a"), job("b")])
    desk.next_slot("s")
    desk.take("s", PLACE)
    desk.stop()
    assert desk.next_slot("t") is None
    assert desk.beat("s")[0]
    desk.done("s", {"cell_id": "a", "status": "stopped"})
    assert desk.take("s", PLACE) is None


def test_what_stands_still_and_what_froze() -> None:
    clock = Clock()
    desk = Desk([{"CPU": 2.0}], clock=clock)
    desk.bring(NARROW, [job("a")])
    desk.next_slot("s")
    desk.take("s", PLACE)
    clock.now = 10.0
    assert desk.beat("s") == (False, 10.0, 10.0)
    desk.note("a", "half")
    clock.now = 14.0
    assert desk.beat("s") == (False, 4.0, 14.0)
    assert desk.news().silent == []
    clock.now = 100.0
    assert desk.news().silent == [PLACE]
    desk.lost("s", "it slept", "timeout")
    assert desk.news().events[-1] == ("lost", "a", "it slept", "timeout")
    desk.lost("s", "and once more", "infra")
    assert desk.news().events == []


def test_no_more_slots_than_wanted() -> None:
    desk = Desk([{"CPU": 8.0}], most=2)
    desk.bring(NARROW, [job(str(number)) for number in range(9)])
    opened = [desk.next_slot(f"s{number}") for number in range(5)]
    assert opened == [NARROW, NARROW, None, None, None]
    desk.close()
    assert desk.next_slot("t") == "over"
