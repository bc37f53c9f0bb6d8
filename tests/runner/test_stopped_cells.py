"""Cells that are asked to stop, and cells whose time is up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import runner.execute
from runner import stops
from runner.deadline import within
from runner.failures import CellTimeoutError
from runner.ledger import Ledger
from runner.sessions import CellSession
from tests.runner.cells import Attempt, JobOf, PlanOne, only_failure, values_of
from xmft.session import Progress, Request


@pytest.fixture(autouse=True)
def not_asked() -> Iterator[None]:
    yield
    stops.clear()


class Terminated(CellSession):
    """Its process gets SIGTERM at the third step."""

    steps = 0

    def asked(self) -> Request:
        self.steps += 1
        if self.steps == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().asked()


def test_sigterm_stops_a_cell_where_it_is(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, tmp_path: Path
) -> None:
    item, before = plan_one(methods=["recraft"]), signal.getsignal(signal.SIGTERM)
    outcome = attempt(job_of(item), Terminated)
    assert (outcome.status, outcome.failure) == ("stopped", "infra")
    assert "Asked to stop after 2 steps of epoch 1" in (outcome.error or "")
    assert ledger.states() == {}  # no row: nothing has failed
    assert signal.getsignal(signal.SIGTERM) == before
    # The process stays asked: the next cell ends before it has begun, and keeps what is there.
    payload = ledger.load_checkpoint(item.cell.id)
    assert payload is not None
    assert attempt(job_of(item)).status == "stopped"
    assert ledger.load_checkpoint(item.cell.id) == payload
    stops.clear()
    whole = Ledger(tmp_path / "whole")
    whole.prepare()
    assert attempt(job_of(item, results=whole.uri)).status == "ok"
    assert attempt(job_of(item)).status == "ok"
    assert values_of(ledger, item.cell.id) == values_of(whole, item.cell.id)
    assert ledger.curves(item.cell.id).equals(whole.curves(item.cell.id))


def test_sigterm_in_the_preparation_ends_it_at_once(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(runner.execute, "assemble", endless)
    start = time.monotonic()
    assert attempt(job_of(plan_one())).status == "stopped"
    assert time.monotonic() - start < 10
    assert ledger.states() == {}


def test_a_long_epoch_keeps_checkpoints_on_the_way(
    plan_one: PlanOne, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("runner.sessions.time.monotonic", lambda: clock[0])
    session = CellSession(plan_one().cell, ledger.uri, torch.device("cpu"), None, None)
    asked = []
    for _ in range(5):
        clock[0] += 25
        asked.append(session.asked())
        if asked[-1]:
            session.save(dict, force=True)
    assert asked == ["", "", "save", "", ""]

    def slow() -> dict[str, Any]:
        return {}

    def takes(seconds: float) -> Callable[..., None]:
        def write(*_: Any) -> None:
            clock[0] += seconds

        return write

    # Where writing takes ten seconds, a checkpoint each 200 seconds is a twentieth of the time.
    monkeypatch.setattr(Ledger, "save_checkpoint", takes(10))
    session.save(slow, force=True)
    clock[0] += 150
    assert session.asked() == ""
    clock[0] += 51
    assert session.asked() == "save"


@pytest.mark.parametrize("where", ["assemble", "report"])
def test_a_cell_that_only_sleeps_is_ended_when_its_time_is_up(
    where: str,
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Sleeping(CellSession):
        def report(self, progress: Progress) -> None:
            time.sleep(60)

    if where == "assemble":
        monkeypatch.setattr(runner.execute, "assemble", lambda *_, **__: time.sleep(60))
    start = time.monotonic()
    outcome = attempt(job_of(plan_one(), timeout_s=1.0), Sleeping)
    assert time.monotonic() - start < 20
    row = only_failure(ledger, outcome)
    assert row["failure"] == "timeout"
    assert "took longer than 1 s" in row["error"]


def test_a_limit_is_for_the_thread_that_sets_it() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            with within(0.2, "a thread"):
                while True:
                    time.sleep(0.01)
        except CellTimeoutError as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert [str(error) for error in found] == ["a thread took longer than 0 s."]


def test_what_ends_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGRTMIN)
    with within(0.3, "a moment"):
        time.sleep(0.01)
    time.sleep(0.5)
    with within(None, "whatever"):
        pass
    assert signal.getsignal(signal.SIGRTMIN) == before
