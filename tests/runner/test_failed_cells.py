"""Cells that fail, and what becomes of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import xmft.training
from benchmarks import catalog
from runner.execute import attempt_cell
from runner.failures import classify, samples_at_once
from runner.job import CellJob, FinishedCell
from runner.ledger import Ledger
from tests.files import write_miniature
from tests.runner.cells import (
    Attempt,
    JobOf,
    PlanOne,
    only_failure,
    rows_of,
    values_of,
)
from xmft.gradients import BatchMemoryError

Train = Callable[..., FinishedCell]


def test_missing_data(plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger) -> None:
    item = plan_one(tasks=["nasbench360/satellite"])
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "data"
    for part in ("satellite_train.npy", "xmft data fetch nasbench360/satellite --data"):
        assert part in row["error"]
    assert "Traceback" not in row["error"]
    assert (row["data_origin"], row["params"]) == (None, None)


@pytest.fixture
def hdf5(data_root: Path) -> Path:
    entry = catalog.get("pdebench/advection")
    return write_miniature(entry, data_root, samples=40, points=32)


def test_nan_in_a_file(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, hdf5: Path
) -> None:
    with h5py.File(hdf5, "a") as file:
        file["tensor"][20, 0, 7] = np.nan
    item = plan_one()
    assert item.problem is None  # planning does not read the fields
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "data"
    assert str(hdf5) in row["error"]
    assert "finite" in row["error"]
    assert "`xmft data fetch pdebench/advection --data" in row["error"]
    assert "Traceback" not in row["error"]


@pytest.mark.parametrize("when", ["before the plan", "after the plan"])
def test_a_truncated_file(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    hdf5: Path,
    when: str,
) -> None:
    whole = plan_one()
    hdf5.write_bytes(hdf5.read_bytes()[:5000])
    item = plan_one() if when == "before the plan" else whole
    assert (item.problem is None) == (when == "after the plan")
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "data"
    assert row["error"].startswith(str(hdf5))
    assert "found 5000 bytes, truncated or damaged, expected a whole file" in row["error"]
    assert "`xmft data fetch pdebench/advection --data" in row["error"]


def test_data_that_changed_since_the_plan(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, hdf5: Path
) -> None:
    item = plan_one()
    write_miniature(catalog.get("pdebench/advection"), hdf5.parent, samples=40, points=32, seed=1)
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "data"
    assert "changed since the grid was planned" in row["error"]


class Memory:
    """A device whose memory runs out the first `times` times."""

    def __init__(self, train: Train, job: CellJob, times: int) -> None:
        self.train, self.job, self.times = train, job, times
        self.micro_batches: list[int | None] = []

    def __call__(self, micro_batch: int | None) -> FinishedCell:
        self.micro_batches.append(micro_batch)
        if len(self.micro_batches) <= self.times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.train(self.job, micro_batch)


def test_out_of_memory_once(
    plan_one: PlanOne, job_of: JobOf, train: Train, attempt: Attempt, ledger: Ledger, tmp_path: Path
) -> None:
    job = job_of(plan_one())
    memory = Memory(train, job, times=1)
    outcome = attempt_cell(job, memory)
    assert outcome.status == "ok"
    assert memory.micro_batches == [None, 4]  # half of the batch of 8
    rows = rows_of(ledger, job.cell.id)
    assert [row["attempt"] for row in rows] == [1] + [2] * (len(rows) - 1)
    assert (rows[0]["status"], rows[0]["failure"]) == ("failed", "oom")
    assert "CUDA out of memory" in rows[0]["error"]
    assert {row["status"] for row in rows[1:]} == {"ok"}
    # The global batch is the same, so the numbers are, but for rounding.
    roomy = Ledger(tmp_path / "roomy")
    roomy.prepare()
    attempt(job_of(plan_one(), results=roomy.uri))
    assert values_of(ledger, job.cell.id) == pytest.approx(values_of(roomy, job.cell.id), rel=1e-3)


@pytest.mark.parametrize(
    "batch, tried", [(8, [None, 4, 1]), (1024, [None, 512, 128, 32, 8, 2, 1]), (3, [None, 1])]
)
def test_out_of_memory_down_to_single_samples(
    batch: int, tried: list[int], plan_one: PlanOne, job_of: JobOf, train: Train, ledger: Ledger
) -> None:
    job = job_of(plan_one(recipe={"batch_size": batch}))
    memory = Memory(train, job, times=9)
    outcome = attempt_cell(job, memory)
    assert (outcome.status, outcome.failure) == ("failed", "oom")
    assert memory.micro_batches == tried
    rows = rows_of(ledger, job.cell.id)
    assert [(r["attempt"], r["status"], r["failure"]) for r in rows] == [
        (number, "failed", "oom") for number in range(1, len(tried) + 1)
    ]


@pytest.mark.parametrize(
    "samples, tried", [((12, 3, 1), [None, 6, 1]), ((12, 6, 1, 1), [None, 6, 1]), ((1,), [None])]
)
def test_the_batch_that_ran_out_is_halved_whatever_that_of_fitting(
    samples: tuple[int, ...],
    tried: list[int | None],
    plan_one: PlanOne,
    job_of: JobOf,
    ledger: Ledger,
) -> None:
    """Batches of alignment have many samples also where those of fitting have one."""
    job = job_of(plan_one(methods=["recraft"], recipe={"batch_size": 1}))
    seen: list[int | None] = []

    def run(micro_batch: int | None) -> FinishedCell:
        seen.append(micro_batch)
        raise BatchMemoryError("CUDA out of memory.", samples[len(seen) - 1])

    outcome = attempt_cell(job, run)
    assert (outcome.status, outcome.failure) == ("failed", "oom")
    assert seen == tried
    assert "CUDA out of memory." in rows_of(ledger, job.cell.id)[-1]["error"]


def test_what_ran_out_of_memory_survives_being_sent() -> None:
    error = pickle.loads(pickle.dumps(BatchMemoryError("CUDA out of memory.", 12)))
    assert (str(error), error.samples, classify(error)) == ("CUDA out of memory.", 12, "oom")
    assert samples_at_once(RuntimeError("a worker failed")) is None


def test_a_batch_of_one_cannot_be_halved(
    plan_one: PlanOne, job_of: JobOf, train: Train, ledger: Ledger
) -> None:
    job = job_of(plan_one(recipe={"batch_size": 1}))
    memory = Memory(train, job, times=9)
    assert attempt_cell(job, memory).failure == "oom"
    assert memory.micro_batches == [None]


def test_another_failure_after_out_of_memory_is_told_as_what_it_is(
    plan_one: PlanOne, job_of: JobOf, ledger: Ledger
) -> None:
    job = job_of(plan_one())
    errors = iter([torch.OutOfMemoryError("CUDA out of memory"), ValueError("bug")])

    def run(_: int | None) -> FinishedCell:
        raise next(errors)

    assert attempt_cell(job, run).failure == "code"
    assert [row["failure"] for row in rows_of(ledger, job.cell.id)] == ["oom", "code"]


def test_a_bug_is_recorded_with_its_traceback(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless_fit(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(xmft.training, "fit", careless_fit)
    row = only_failure(ledger, attempt(job_of(plan_one())))
    assert row["failure"] == "code"
    assert row["error"].startswith("Traceback")
    assert "in careless_fit" in row["error"]
    assert row["error"].endswith("ZeroDivisionError: division by zero")


def test_a_cell_that_takes_too_long(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    row = only_failure(ledger, attempt(job_of(plan_one(), timeout_s=1e-9)))
    assert row["failure"] == "timeout"
    assert "pdebench/advection nft seed 0 took longer than" in row["error"]
    assert attempt(job_of(plan_one(seeds=[1]), timeout_s=600.0)).status == "ok"


def test_a_cell_that_diverges(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    item = plan_one(recipe={"learning_rate": 1e30, "epochs": 5})
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "diverged"
    assert "The losses in epoch 1 of stage 'fitting' are not finite" in row["error"]
    assert "learning_rate" in row["error"]


def test_the_other_cells_go_on_after_a_failure(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    attempt(job_of(plan_one(recipe={"learning_rate": 1e30})))
    item = plan_one()
    assert attempt(job_of(item)).status == "ok"
    assert {state.status for state in ledger.states().values()} == {"ok", "failed"}
