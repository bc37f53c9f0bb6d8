"""Two runs on one ledger: no cell is held twice, and none for ever."""

import multiprocessing
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import runner.leases
from runner.leases import Leases
from runner.ledger import Ledger, LedgerError
from runner.process_identity import ProcessIdentity
from runner.storage import Storage
from tests.runner.ledgers import raiser

CELLS = [f"{number:016x}" for number in range(6)]


def work(uri, marks, rounds):
    """Take cells, mark each as run here while it is held; a mark that is there is a cell twice."""
    taken = 0
    leases = Leases(Ledger(uri))
    for _ in range(rounds):
        # Others may hold all three for a while.
        tries = (leases.take(random.sample(CELLS, 3)) or time.sleep(0.001) for _ in range(1000))
        for cell in next(filter(None, tries), ()):
            mark = Path(marks) / cell
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            time.sleep(random.uniform(0, 0.01))
            mark.unlink()
            leases.release(cell)
            taken += 1
    leases.close()
    return taken


def test_runs_that_race_hold_no_cell_twice(either, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        taken = pool.starmap(work, [(either.uri, str(marks), 6)] * 4)
    assert all(taken)
    assert either.storage.names("leases") == []


def test_slow_stores_change_nothing(ledger, tmp_path, monkeypatch):
    """Each request takes its time, so that all orders of writing and looking come up."""
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in ("write", "read", "modified", "touch"):
        original = getattr(Storage, name)

        def late(self, *args, original=original, **kwargs):
            time.sleep(random.choice((0, 0, 0.002, 0.01)))
            found = original(self, *args, **kwargs)
            time.sleep(random.choice((0, 0, 0.002)))
            return found

        monkeypatch.setattr(Storage, name, late)
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: work(ledger.uri, str(marks), 8), range(6)))
    assert sum(taken) > 6


def test_what_one_holds_the_other_does_not_get(either):
    with Leases(either, "xmft run quick") as one, Leases(either) as other:
        assert one.take(CELLS[:3]) == set(CELLS[:3]) == one.held
        assert other.take(CELLS) == set(CELLS[3:])
        assert one.take(CELLS) == set(CELLS[:3])
        told = other.holders(CELLS)
        assert set(told) == set(CELLS[:3])
        assert (
            f"xmft run quick on {ProcessIdentity.own().host}, process {os.getpid()}, since"
            in (told[CELLS[0]])
        )
        one.release(CELLS[0])
        assert other.take(CELLS[:2]) == {CELLS[0]}
        one.close()
        assert other.take(CELLS) == set(CELLS)
        assert other.renew() == set()
    assert either.storage.names("leases") == []


def hold(uri, taken):
    Leases(Ledger(uri)).take(CELLS)
    taken.set()
    signal.pause()


def test_a_run_of_this_machine_that_was_killed_is_over_at_once(ledger):
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    process = context.Process(target=hold, args=(ledger.uri, taken))
    process.start()
    assert taken.wait(60)
    with Leases(ledger) as leases:
        assert leases.take(CELLS[:1]) == set()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie is no process
        start = time.monotonic()
        assert leases.take(CELLS) == set(CELLS)
        assert time.monotonic() - start < 5
        assert len(ledger.storage.names("leases")) == 2
    process.join()


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(runner.leases, "LEASE_S", 0.5)
    monkeypatch.setattr(runner.leases, "_TRUSTED_S", 0.3)


def elsewhere(ledger):
    """The leases of a run on another machine."""
    leases = Leases(ledger)
    leases._facts |= {"host": "node-7", "pid": 1}
    return leases


def test_another_machine_has_a_minute_whatever_its_clock(ledger, short, monkeypatch):
    gone, alive = elsewhere(ledger), elsewhere(ledger)
    gone.take(CELLS[:2])
    alive.take(CELLS[2:4])
    monkeypatch.setattr("time.time", lambda: 0.0)  # nobody asks the own clock
    with Leases(ledger) as leases:
        assert leases.take(CELLS) == set(CELLS[4:])
        assert "node-7" in leases.holders(CELLS)[CELLS[0]]
        for _ in range(6):
            time.sleep(0.12)
            assert alive.renew() == set()
        assert leases.take(CELLS) == {*CELLS[:2], *CELLS[4:]}
        # It wakes up, and is told what it lost; what nobody took it still has.
        assert leases.holders(CELLS).keys() == set(CELLS[2:4])
        assert gone.renew() == set(CELLS[:2])
        assert gone.held == frozenset()
        assert alive.renew() == set()


def test_a_run_that_was_stopped_keeps_what_nobody_took(ledger, short):
    leases = elsewhere(ledger)
    leases.take(CELLS)
    time.sleep(0.6)
    assert leases.renew() == set()
    assert leases.held == set(CELLS)
    with Leases(ledger) as other:
        assert other.take(CELLS) == set()


def test_what_is_left_of_others_is_no_hindrance(either):
    for name, content in (("a.alive", b"garbage"), ("b.alive", b"[]"), ("b.cells", b"{")):
        either.storage.write(f"leases/{name}", content)
    with Leases(either) as leases:
        assert leases.take(CELLS) == set(CELLS)
        assert leases.holders(CELLS) == {}


def test_a_folder_that_cannot_be_written_is_told(ledger, short, monkeypatch):
    leases = Leases(ledger)
    leases.take(CELLS[:1])
    monkeypatch.setattr(Storage, "touch", raiser(OSError(30, "Read-only file system")))
    monkeypatch.setattr(Storage, "write", raiser(OSError(30, "Read-only file system")))
    assert leases.renew() == set()  # there is time left
    time.sleep(0.4)
    with pytest.raises(LedgerError, match=r"Read-only file system.*run the same command again"):
        leases.renew()
    with pytest.raises(LedgerError, match="Read-only file system"):
        Leases(ledger).take(CELLS)


def test_renewing_from_a_thread_while_taking(ledger):
    leases, over = Leases(ledger), threading.Event()

    def watch():
        while not over.is_set():
            assert leases.renew() == set()

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        for cell in CELLS:
            assert leases.take([cell]) == {cell}
        over.set()
        watching.result()
    assert leases.held == set(CELLS)
