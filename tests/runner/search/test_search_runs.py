"""Searches to the end, cells in this process: resumed as uninterrupted, blind to the test split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import execute
from runner.config import Grid
from runner.ledger import Ledger
from runner.options import RunOptions
from runner.outcome import Report
from runner.report.compare import build
from runner.results import results
from runner.rounds import Rounds
from runner.run import run_grid
from tests.runner.commands import Attempt, JobOf, output_of
from xmft.split import Split

SPACE = {"*": {"learning_rate": {"log_uniform": [1.0e-5, 1.0e-1]}}}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, job_of: JobOf, attempt: Attempt) -> list[int]:
    """Run cells in this process; a run ends, as if it were killed, after as many as this says."""
    left = [1000]

    def fan_out(rounds: Rounds, *_: Any) -> Report:
        report, jobs = Report(slots=1), rounds.jobs()
        while jobs:
            for item in rounds.ready.chosen:
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                report.outcomes[item.cell.id] = attempt(job_of(item))
            jobs = rounds.further() if rounds.further else []
        return report

    monkeypatch.setattr("runner.run._fan_out", fan_out)
    return left


def rows_of(ledger: Ledger) -> list[tuple[Any, ...]]:
    names = ("cell_id", "split", "selection", "metric", "value", "epoch", "config_json")
    rows = ledger.read().to_pylist()
    return sorted(tuple(row[name] for name in names) for row in rows)


@pytest.fixture
def searching(tiny_grid: Callable[..., Grid]) -> Callable[..., Grid]:
    def grid(**changes: Any) -> Grid:
        told = {"trials": 4, "eta": 2, "space": SPACE, **changes.pop("search", {})}
        return tiny_grid(recipe={"epochs": 4}, seeds=[0, 1], search=told, **changes)

    return grid


def trials_of(ledger: Ledger) -> list[dict[str, Any]]:
    found = {row["cell_id"]: row for row in ledger.read().to_pylist()}
    configs = [json.loads(row["config_json"]) for row in found.values()]
    return [config for config in configs if config.get("trial")]


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_a_search_that_is_killed_goes_on_as_if_it_was_not(
    here: list[int],
    searching: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    tmp_path: Path,
    algorithm: str,
) -> None:
    grid = searching(search={"algorithm": algorithm, "batch": 2})
    summary = run_grid(grid, ledger, data_root, RunOptions())
    assert summary.failed == 0
    quiet = rows_of(ledger)
    trials = trials_of(ledger)
    # 4 trials to epoch 1, 2 of them to epoch 2, one to epoch 4.
    assert sorted(config["trial"]["until"] for config in trials) == [1, 1, 1, 1, 2, 2, 4]
    cells = results(ledger.read())
    assert sorted(cell.seed for cell in cells) == [0, 1]
    assert {cell.config["tuned"]["trials"] for cell in cells} == {4}
    assert not list(Path(ledger.uri).glob("checkpoints/*/*"))
    ledger.local_root.rename(tmp_path / "quiet")  # type: ignore[union-attr]
    ledger.prepare()
    for _ in range(20):
        here[0] = 1
        try:
            run_grid(grid, ledger, data_root, RunOptions())
        except KeyboardInterrupt:
            continue
        break
    assert rows_of(ledger) == quiet


def test_the_best_by_validation_is_chosen_and_the_same_numbers_come_without_a_pause(
    here: list[int], searching: Callable[..., Grid], ledger: Ledger, data_root: Path, tmp_path: Path
) -> None:
    run_grid(searching(search={"scheduler": "none"}), ledger, data_root, RunOptions())
    val = {cell.cell_id: cell for cell in results(ledger.read(), split="val", trials=True)}
    best = min(val.values(), key=lambda cell: cell.value or 1e9)
    (rate,) = {cell.config["recipe"]["learning_rate"] for cell in results(ledger.read())}
    assert rate == best.config["recipe"]["learning_rate"]
    whole = {cell.config["recipe"]["learning_rate"]: cell.value for cell in val.values()}
    # In the same place it would be found: a trial is one whoever asks for it.
    ledger.local_root.rename(tmp_path / "whole")  # type: ignore[union-attr]
    ledger.prepare()
    run_grid(searching(), ledger, data_root, RunOptions())
    paused = [
        cell
        for cell in results(ledger.read(), split="val", trials=True)
        if cell.config["trial"]["until"] == 4 and cell.config["trial"]["since"]
    ]
    assert paused
    for cell in paused:
        assert cell.value == whole[cell.config["recipe"]["learning_rate"]]


class _Untouchable(Split):
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was touched: {name}")


def test_a_trial_never_sees_the_test_split(
    here: list[int],
    searching: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = execute.load

    def blind(*arguments: Any, **named: Any) -> Any:
        data = load(*arguments, **named)
        object.__setattr__(data, "test", object.__new__(_Untouchable))
        return data

    monkeypatch.setattr(execute, "load", blind)
    summary = run_grid(searching(), ledger, data_root, RunOptions())
    found = ledger.read().to_pylist()
    ok = [json.loads(row["config_json"]) for row in found if row["status"] == "ok"]
    assert ok and all(config.get("trial") for config in ok)
    assert {row["split"] for row in found if row["status"] == "ok"} == {"val", "train"}
    # The cells that follow do look at it.
    assert summary.failed == 2


def test_tuned_and_untuned_are_two_entries_and_trials_are_none(
    here: list[int], searching: Callable[..., Grid], ledger: Ledger, data_root: Path
) -> None:
    grid = searching()
    run_grid(grid, ledger, data_root, RunOptions())
    run_grid(grid.model_copy(update={"search": None}), ledger, data_root, RunOptions())
    (board,) = build(ledger.read())
    assert [line.label for line in board.by_label] == ["nft", "nft (tuned, 4 trials)"]
    assert [len(line.cells) for line in board.by_label] == [2, 2]
    text = output_of("status", "--results", ledger.uri)
    (line,) = (line for line in text.splitlines() if "nft" in line)
    parts = [part.strip() for part in line.replace("│", "|").split("|") if part.strip()]
    # 4 x 1 + 2 x 1 + 1 x 2 epochs
    assert parts[0] == "pdebench/advection" and parts[3:5] == ["4", "8"]


def test_all_trials_failing_leaves_nothing_to_run(
    here: list[int],
    searching: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(execute, "assemble", broken)
    summary = run_grid(searching(), ledger, data_root, RunOptions())
    assert summary.failed == 4 == summary.planned
