"""Runs and their loggers, cells in this process: what is told, and what a run without has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from runner import run
from runner.feed import Feed
from runner.job import CellJob
from runner.ledger import Ledger
from runner.loggers import scribe
from runner.outcome import Report
from tests.runner.attempts import attempt_of
from tests.runner.commands import Attempt, PlanOne, WriteGrid, output_of, refused, xmft


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, attempt: Attempt) -> None:
    """Run the cells of a run one by one in this process."""

    def supervise(_request: Any, feed: Feed, *_: Any, **__: Any) -> Report:
        report = Report(slots=1)
        while not feed.is_over():
            if feed.is_through():
                feed.go_on()
            for _size, jobs in feed.next({}):
                for job in jobs:
                    outcome = attempt(CellJob(**job["job"]))
                    report.outcomes[outcome.cell_id] = outcome
                    feed.done(outcome.cell_id)
        feed.close()
        return report

    monkeypatch.setattr(run, "supervise", supervise)


class Recorder:
    """Takes what a run tells its loggers."""

    def __init__(self) -> None:
        self.new: list[str] = []
        self.others: list[str] = []

    def tell(self, cell_ids: Sequence[str], *, new: bool = True) -> None:
        (self.new if new else self.others).extend(cell_ids)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()

    @contextmanager
    def record(_ledger: Ledger, _names: Sequence[str]) -> Iterator[Recorder]:
        yield found

    monkeypatch.setattr(run, "scribe", record)
    return found


SEARCH = {"trials": 2, "eta": 2, "space": {"*": {"learning_rate": {"uniform": [1e-4, 1e-3]}}}}


def test_the_same_command_tells_the_cells_of_every_round_of_a_search(
    write_grid: WriteGrid, tmp_path: Path, recorder: Recorder
) -> None:
    command = ["run", write_grid(search=SEARCH), "--results", tmp_path / "results"]
    output_of(*command)
    cells = set(Ledger(tmp_path / "results").states())
    assert len(cells) > 3
    assert (set(recorder.new), len(recorder.new)) == (cells, len(cells))
    recorder.new, recorder.others = [], []
    output_of(*command)
    assert (recorder.new, set(recorder.others)) == ([], cells)


def test_cells_that_failed_before_and_are_not_run_again_are_told(
    write_grid: WriteGrid, plan_one: PlanOne, ledger: Ledger, recorder: Recorder
) -> None:
    failed = plan_one().cell
    ledger.write_attempt(attempt_of(failed, failure="diverged"))
    command = ["run", write_grid(seeds=[0, 1]), "--results", ledger.uri]
    output_of(*command, code=1)
    (ok,) = set(ledger.states()) - {failed.id}
    assert (recorder.new, recorder.others) == ([ok], [failed.id])
    output_of(*command, code=1)
    assert (recorder.new, set(recorder.others[1:])) == ([ok], {ok, failed.id})
    output_of(*command, "--retry-failed")
    assert recorder.new == [ok, failed.id]


@pytest.mark.parametrize("options", [[], ["--log", "tensorboard"], ["--log", "none"]])
def test_a_run_starts_no_process_for_loggers_that_it_was_not_asked_for(
    write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(scribe.Scribe, "_start", None)
    monkeypatch.setattr(subprocess, "Popen", None)
    for name in ("mlflow", "wandb"):  # which another test of this process may have imported
        monkeypatch.setitem(sys.modules, name, None)
    results = tmp_path / "results"
    output_of("run", write_grid(), "--results", results, *options)
    assert not (results / "mlflow").exists() and not (results / "wandb").exists()


HANGS = """
import sys, time
from runner.loggers import writer

writer.LOGS = {"wandb": lambda folder: time.sleep(600)}
writer.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_the_wait_for_loggers_has_a_run_that_is_done(
    write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    happened: list[str] = []

    def say(text: str) -> None:
        happened.append(text)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(scribe, "_TELL_AFTER_S", 0.1)
    monkeypatch.setattr(scribe, "say", say)
    monkeypatch.setattr(
        scribe, "module_command", lambda _, number: [sys.executable, "-c", HANGS, number]
    )
    for name in ("compact", "_draw"):
        monkeypatch.setattr(run, name, lambda *_, n=name, **__: happened.append(n))
    results = tmp_path / "results"
    done = xmft("run", write_grid(), "--results", results, "--log", "wandb")
    assert done.exit_code == 0
    assert happened == [
        "compact",
        "_draw",
        "Waiting until wandb has the last cells. Ctrl-C leaves them to the next run.",
    ]
    assert "1 of 1 cells finished" in done.stdout
    assert "Next: xmft leaderboard" in done.stdout
    assert click.unstyle(done.stderr) == (
        "wandb is not waited for. The same command with --log wandb makes up for it.\n"
    )


@pytest.mark.parametrize(
    "names", ["tensorboard,wandbb", "tensorboard wandbb", "tensorboard, wandbb"]
)
def test_a_logger_that_there_is_not(write_grid: WriteGrid, tmp_path: Path, names: str) -> None:
    text = refused(tmp_path, "run", write_grid(), "--log", *names.split(), "--cpus", "1")
    assert "There is no logger 'wandbb'. Did you mean 'wandb'?" in text


def test_several_loggers_are_named_with_blanks_or_commas(
    write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    asked: list[tuple[str, ...]] = []
    chosen = run.choice.chosen

    def choose(names: Sequence[str], ledger: Ledger) -> tuple[str, ...]:
        asked.append(chosen(names, ledger))
        return asked[-1]

    monkeypatch.setattr(run.choice, "chosen", choose)
    grid = write_grid()
    for form in (
        ["tensorboard", "mlflow"],
        ["tensorboard,mlflow"],
        ["tensorboard", "--log=mlflow"],
    ):
        output_of("run", grid, "--results", tmp_path / "results", "--log", *form)
    assert asked == [("tensorboard", "mlflow")] * 3
    help_text = " ".join(output_of("run", "--help").replace("│", " ").split())
    assert "where to log: tensorboard mlflow wandb, or a,b, or none" in help_text
