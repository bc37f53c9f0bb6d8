"""The process that tells loggers: it starts when it is needed, is waited for, and never stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runner.console import console, errors
from runner.ledger import Ledger
from runner.loggers import scribe as module
from runner.loggers.scribe import scribe
from runner.processes import MARK, module_environment
from runner.terminations import Terminated
from tests.runner.attempts import attempt_of, cell_of, score_of

CELLS = [cell_of(seed=seed).id for seed in range(40)]

# The process with another log, which takes seconds for each cell; another process belongs to it.
SLOW = """
import pathlib, subprocess, sys, time
from runner.loggers import writer

class Slow:
    def __init__(self, folder):
        self.folder = folder
        subprocess.Popen(["sleep", "600"], start_new_session=True)

    def known(self):
        return {}

    def write(self, record):
        (self.folder / f"told-{record.cell_id}").touch()
        time.sleep(float(sys.argv[2]))

writer.LOGS = {"wandb": Slow}
writer.main()
"""


@pytest.fixture
def full(ledger: Ledger) -> Ledger:
    for seed in range(len(CELLS)):
        ledger.write_attempt(attempt_of(cell_of(seed=seed), score_of(0.5)))
    return ledger


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How many seconds the log takes for a cell."""
    seconds = ["600"]

    def command(_: str, number: str) -> list[str]:
        return [sys.executable, "-c", SLOW, number, *seconds]

    monkeypatch.setattr(module, "module_command", command)
    return seconds


def of_logs() -> list[psutil.Process]:
    """Return the processes of logs that this one has started, be they its children or not."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                mark = process.environ().get(MARK, "")
                found += [process] if mark in MARKS else []
        except psutil.Error:
            continue
    return found


MARKS: set[str] = set()


@pytest.fixture(autouse=True)
def all_gone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However a test ends, no process of its logs is left."""
    MARKS.clear()
    make = module.secrets.token_hex

    def token_hex(size: int) -> str:
        token = make(size)
        MARKS.add(f"xmft-log-{token}")
        return token

    monkeypatch.setattr(module.secrets, "token_hex", token_hex)
    yield
    assert of_logs() == []


def wait_for(place: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(place.glob("told-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("names", [(), ("tensorboard",)])
def test_without_loggers_no_process_starts(
    full: Ledger, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with scribe(full, names) as log:
        log.tell(CELLS)


def test_who_ends_a_run_early_waits_some_seconds_for_all_cells_together(
    full: Ledger, takes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes[0] = "0.2"
    monkeypatch.setattr(module, "_SHORT_S", 1.0)
    assert full.local_root is not None
    with errors.capture() as said:
        with pytest.raises(KeyboardInterrupt), scribe(full, ["wandb"]) as log:
            log.tell(CELLS)
            wait_for(full.local_root)
            assert len(of_logs()) == 2
            begun = time.monotonic()
            raise KeyboardInterrupt
        assert time.monotonic() - begun < 4  # a slow machine's, of which 1 s is waited
    assert said.get().replace("\n", " ").strip() == (
        "wandb is not waited for any longer (1 s). The same command with --log wandb makes up for "
        "it."
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_logs_are_waited_for_ends_the_waiting_alone(
    full: Ledger, takes: list[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(module, "_TELL_AFTER_S", 0.2)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(module, "say", say)
    with (
        errors.capture() as complained,
        console.capture() as told,
        scribe(full, ["wandb"]) as log,
    ):
        log.tell(CELLS)
    assert told.get() == (
        "Waiting until wandb has the last cells. Ctrl-C leaves them to the next run.\n"
    )
    assert complained.get() == (
        "wandb is not waited for. The same command with --log wandb makes up for it.\n"
    )


def test_who_is_asked_to_end_meanwhile_leaves_no_process(full: Ledger, takes: list[str]) -> None:
    assert full.local_root is not None
    with errors.capture(), pytest.raises(Terminated), scribe(full, ["wandb"]) as log:
        log.tell(CELLS)
        wait_for(full.local_root)
        # An impatient person: the short wait is ended as well.
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert time.monotonic() - begun < 4


DRIVER = """
import sys
from runner.loggers import scribe

code, results, *cells = sys.argv[1:]
scribe.module_command = lambda _, number: [sys.executable, "-c", code, number, "600"]
with scribe.scribe(scribe.Ledger(results), ["wandb"]) as log:
    log.tell(cells)
    print(log._mark, flush=True)
"""


def test_a_run_that_is_killed_leaves_no_process_though_the_log_hangs(full: Ledger) -> None:
    assert full.local_root is not None
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, SLOW, full.uri, *CELLS[:2]],
        env=module_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with driver:
        assert driver.stdout is not None
        MARKS.add(driver.stdout.readline().strip())
        wait_for(full.local_root)
        # It waits for the end; the other process waits for its log.
        assert re.match(r"Waiting until wandb has", driver.stdout.readline())
        assert len(of_logs()) == 2
        driver.kill()
    deadline = time.monotonic() + 15
    while of_logs():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_that_cannot_be_started_is_said_once(
    full: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def no_memory(*_: object, **__: object) -> None:
        tried.append(1)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_memory)
    with errors.capture() as said, scribe(full, ["mlflow", "wandb"]) as log:
        for cell_id in CELLS:
            log.tell([cell_id])
    assert said.get() == (
        "mlflow and wandb cannot be told of more cells ([Errno 11] Resource temporarily "
        "unavailable). The same command with --log mlflow,wandb makes up for it.\n"
    )
    assert len(tried) == 1


def test_a_process_that_is_ended_is_said_and_ends_nothing(full: Ledger, takes: list[str]) -> None:
    assert full.local_root is not None
    with errors.capture() as said, scribe(full, ["wandb"]) as log:
        log.tell(CELLS[:1])
        wait_for(full.local_root)
        assert log._process is not None
        log._process.kill()
        log._process.wait()
        for cell_id in CELLS:
            log.tell([cell_id])
    assert said.get().count("wandb cannot be told of more cells") == 1
    assert "The same command with --log wandb makes up for it." in said.get()
