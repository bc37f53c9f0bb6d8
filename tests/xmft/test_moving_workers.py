"""Cells that stop and go on with another number of workers, divided or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner import sessions, stops
from runner.sessions import CellSession
from tests.xmft.several import CELL, ask, load, run_workers
from xmft.errors import StoppedError
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.task import Recipe, TaskData

pytestmark = pytest.mark.slow

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=3e-3, max_tokens=8)
PLACE = "after 3 steps of epoch 1 in stage 1"


@pytest.fixture(autouse=True)
def not_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sessions, "EventLog", lambda *_: None)
    yield
    stops.clear()


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_a_cell_goes_on_with_more_workers_or_fewer(
    how: str,
    tmp_path: Path,
    dense_data: TaskData,
    train: Callable[..., tuple[CrossModalModel, FitResult]],
) -> None:
    """What one keeps in mid-epoch two finish, and what two keep, of whom one was asked, one."""
    data = replace(dense_data, task=replace(dense_data.task, metrics=("nrmse",)))
    _, whole = train("nft", data, RECIPE)
    curves = [point.value for point in whole.curves]

    def session(name: str) -> CellSession:
        folder = tmp_path / f"results-{name}"
        folder.mkdir(exist_ok=True)
        return CellSession(CELL, str(folder), torch.device("cpu"), None, None)

    alone = session("continued")
    ask(alone, after=3)
    with pytest.raises(StoppedError, match=PLACE):
        train("nft", data, RECIPE, session=alone)
    stops.clear()
    session("stopped")

    jobs = [(name, "nft", None, data, RECIPE) for name in ("continued", "stopped")]
    run_workers(tmp_path, how, jobs)

    first, second = (load(tmp_path, "continued", rank) for rank in range(2))
    assert first["curves"] == second["curves"]
    assert first["divided"] == (how == "fsdp")
    assert [value for *_, value in first["curves"]] == pytest.approx(curves, rel=1e-5)

    for rank in range(2):
        assert PLACE in load(tmp_path, "stopped", rank)["said"]
    taken: list[int] = []
    last = session("stopped")
    inherited = last.asked
    last.asked = lambda: taken.append(1) or inherited()  # type: ignore[func-returns-value, method-assign]
    _, result = train("nft", data, RECIPE, session=last)
    # A question before each step that is left, 9 of 12, and one at each scoring: val, val and test.
    assert len(taken) == 9 + 4
    assert [point.value for point in result.curves] == pytest.approx(curves, rel=1e-5)
