"""Checkpoints that are no use, and those that cannot be written: the cell is trained anyway."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.ledger import Ledger
from tests.runner.cells import Attempt, JobOf, PlanOne, rows_of, values_of
from tests.runner.test_interrupted_cells import stops_after

State = dict[str, Any]


def packed(saved: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


def changed(change: Callable[[State], Any]) -> Callable[[bytes], bytes]:
    """Return what makes another checkpoint of a good one."""

    def make(payload: bytes) -> bytes:
        saved = torch.load(io.BytesIO(payload), weights_only=True)
        change(saved["state"])
        return packed(saved)

    return make


def first(tensors: State) -> str:
    return next(iter(tensors))


def grow(tensors: State) -> None:
    key = first(tensors)
    tensors[key] = torch.zeros((*tensors[key].shape, 2))


def other_type(state: State) -> None:
    key = first(state["model"])
    state["model"][key] = state["model"][key].double()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda payload: b"",
    "zeros": lambda payload: bytes(len(payload)),
    "text": lambda payload: b"no checkpoint at all",
    **{
        f"cut_{part}": lambda payload, n=part: payload[: len(payload) * n // 10]
        for part in (1, 5, 9)
    },
    "cut_at_the_end": lambda payload: payload[:-1],
    "zeros_in_the_middle": lambda p: p[: len(p) // 2] + bytes(len(p) // 2),
    "not_a_dictionary": lambda payload: packed([1, 2]),
    "of_another_version": lambda payload: packed({"version": 1, "state": {}}),
    "of_something_else": lambda payload: packed({"weight": torch.zeros(3)}),
    "without_a_state": lambda payload: packed({"version": 3, "state": None}),
    "lacks_a_key": changed(lambda s: s.pop("optimizer")),
    "has_another_key": changed(lambda s: s.update(more=1)),
    "place_is_text": changed(lambda s: s["place"].update(epoch="third")),
    "place_of_another_stage": changed(lambda s: s["place"].update(stage=7)),
    "place_of_another_step": changed(lambda s: s["place"].update(step=1)),
    "lacks_a_parameter": changed(lambda s: s["model"].pop(first(s["model"]))),
    "has_another_parameter": changed(lambda s: s["model"].update(more=torch.zeros(2))),
    "other_shapes": changed(lambda s: grow(s["model"])),
    "other_types": changed(other_type),
    "parameter_is_a_number": changed(lambda s: s["model"].update({first(s["model"]): 1.0})),
    "best_of_other_shapes": changed(lambda s: grow(s["best"]["state"])),
    "best_without_parameters": changed(lambda s: s["best"]["state"].clear()),
    "optimizer_of_more": changed(lambda s: s["optimizer"]["param_groups"][0]["params"].append(99)),
    "optimizer_without_groups": changed(lambda s: s["optimizer"].clear()),
    "moments_of_other_shapes": changed(lambda s: grow(s["optimizer"]["state"][0])),
    "moments_of_sgd": changed(
        lambda s: s["optimizer"]["state"].update({0: {"momentum_buffer": None}})
    ),
    "curves_are_text": changed(lambda s: s["history"].update(curves="none")),
}


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What the first of the tests finds out, for all: a good checkpoint, and the scores."""
    return {}


@pytest.fixture
def good(
    kept: dict[str, Any],
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    tmp_path: Path,
) -> dict[str, Any]:
    if not kept:
        item = plan_one()
        with pytest.raises(KeyboardInterrupt):
            attempt(job_of(item), stops_after(1, KeyboardInterrupt()))
        kept["payload"] = ledger.load_checkpoint(item.cell.id)
        whole = Ledger(tmp_path / "whole")
        whole.prepare()
        attempt(job_of(item, results=whole.uri))
        kept["values"] = values_of(whole, item.cell.id)
    return kept


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_cell_starts_anew(
    damage: str,
    good: dict[str, Any],
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    item = plan_one()
    payload = DAMAGES[damage](good["payload"])
    assert payload != good["payload"]
    ledger.save_checkpoint(item.cell.id, payload)
    with caplog.at_level(logging.WARNING):
        outcome = attempt(job_of(item, keep_checkpoints=True))
    assert (outcome.status, outcome.resumed_epochs) == ("ok", 0)
    assert values_of(ledger, item.cell.id) == good["values"]
    (said,) = (r.getMessage() for r in caplog.records if r.name == "runner.sessions")
    assert "cannot be used" in said and "the cell starts anew" in said and "\n" not in said
    aside = Path(ledger.uri) / "checkpoints" / item.cell.id / "damaged-1.pt"
    assert str(aside) in said
    assert aside.read_bytes() == payload


def test_a_good_checkpoint_is_used(
    good: dict[str, Any], plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    item = plan_one()
    ledger.save_checkpoint(item.cell.id, good["payload"])
    assert attempt(job_of(item)).resumed_epochs == 1
    assert values_of(ledger, item.cell.id) == good["values"]


def test_no_more_than_three_are_kept(plan_one: PlanOne, ledger: Ledger) -> None:
    cell_id = plan_one().cell.id
    places = []
    for number in range(4):
        ledger.save_checkpoint(cell_id, b"%d" % number)
        places.append(ledger.set_checkpoint_aside(cell_id))
    assert [place and Path(place).read_bytes() for place in places] == [b"0", b"1", b"2", None]
    assert ledger.load_checkpoint(cell_id) is None
    assert ledger.set_checkpoint_aside(cell_id) is None  # there is nothing


def test_a_checkpoint_that_cannot_be_written_is_no_reason_to_stop(
    good: dict[str, Any],
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file where the folder should be: not even an administrator can write into it."""
    item = plan_one()
    blocked = Path(ledger.uri) / "checkpoints"
    shutil.rmtree(blocked, ignore_errors=True)
    blocked.write_text("")
    with caplog.at_level(logging.WARNING):
        outcome = attempt(job_of(item), stops_after(-1, KeyboardInterrupt()))  # tries each epoch
    assert outcome.status == "ok"
    assert values_of(ledger, item.cell.id) == good["values"]
    *_, said = (r.getMessage() for r in caplog.records if r.name == "runner.sessions")
    assert "cannot be kept" in said and f"cannot be written to {ledger.uri}" in said
    assert {row["status"] for row in rows_of(ledger, item.cell.id)} == {"ok"}
    assert blocked.read_text() == ""
    assert not list(Path(ledger.uri).rglob("*.tmp"))
