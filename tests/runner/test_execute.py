from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import runner.execute
from benchmarks import catalog
from benchmarks import data as task_data
from runner.execute import attempt_cell
from runner.job import CellJob, FinishedCell, Outcome
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan
from runner.sessions import CellSession
from tests.files import write_miniature
from xmft.methods import METHODS

PlanOne = Callable[..., PlannedCell]
JobOf = Callable[..., CellJob]
Train = Callable[..., FinishedCell]
Attempt = Callable[..., Outcome]

METRICS = (
    "nrmse",
    "nrmse_pdebench",
    "rmse",
    "max_error",
    "crmse",
    "brmse",
    "frmse_low",
    "frmse_mid",
    "frmse_high",
)
BOUND = (
    "w1",
    "w2",
    "distortion",
    "target_entropy",
    "source_entropy",
    "source_gradient_norm",
    "lipschitz_violations",
    "source_accuracy",
    "source_given_target",
    "target_violations",
    "target_fit",
)
FLOOR = ("test", "reference", "error_floor")
SCORED = set(itertools.product(("val", "test"), ("last", "best_val"), METRICS))


def rows_of(ledger: Ledger, cell_id: str) -> list[dict[str, Any]]:
    return [row for row in ledger.read().to_pylist() if row["cell_id"] == cell_id]


def values_of(ledger: Ledger, cell_id: str) -> dict[tuple[str, str, str], float]:
    """Split, selection and metric to value, of the ok attempt."""
    return {
        (row["split"], row["selection"], row["metric"]): row["value"]
        for row in rows_of(ledger, cell_id)
        if row["status"] == "ok"
    }


def only_failure(ledger: Ledger, outcome: Outcome) -> dict[str, Any]:
    """Return the one row of a failed attempt after checking it against what was returned."""
    (row,) = rows_of(ledger, outcome.cell_id)
    assert (row["status"], row["value"], row["metric"]) == ("failed", None, None)
    assert (outcome.status, outcome.failure) == ("failed", row["failure"])
    assert outcome.error == row["error"]
    assert ledger.states()[outcome.cell_id].status == "failed"
    return row


def test_a_cell_leaves_its_scores(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    item = plan_one()
    before = datetime.now(UTC)
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.failure, outcome.error) == ("ok", None, None)
    assert outcome.resumed_epochs == 0
    values = values_of(ledger, item.cell.id)
    assert set(values) == SCORED | {("train", "last", "target_fit"), FLOOR}
    assert all(math.isfinite(value) and value > 0 for value in values.values())
    for split, selection, _ in SCORED:
        # One channel in one frame: the two definitions say the same.
        assert values[split, selection, "nrmse"] == pytest.approx(
            values[split, selection, "nrmse_pdebench"], rel=1e-6
        )
    assert values["val", "best_val", "nrmse"] <= values["val", "last", "nrmse"]
    for row in rows_of(ledger, item.cell.id):
        assert row["direction"] == "min"
        assert row["metric_version"] == (2 if row["metric"] == "rmse" else 1)
        if row["selection"] == "reference":
            assert row["epoch"] == 0
        else:
            assert 1 <= row["epoch"] <= 2
            assert row["selection"] == "best_val" or row["epoch"] == 2
        assert (row["task"], row["suite"]) == ("pdebench/advection", "pdebench")
        assert (row["method"], row["backbone"], row["seed"]) == ("nft", "tiny-sequence", 0)
        assert (row["data_origin"], row["protocol"]) == ("generated", "clean")
        assert (row["attempt"], row["worker_count"]) == (1, 1)
        assert row["config_json"] == item.cell.config_json
        assert before <= row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
        assert 0 < row["fit_s"] + row["eval_s"] + row["align_s"] <= row["wall_s"]
        assert 0 < row["trainable_params"] <= row["params"]
    assert ledger.states()[item.cell.id].status == "ok"


def test_scores_are_those_of_the_predictions(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    fit = runner.execute.fit

    def spied(model: Any, stages: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        seen[:] = [model, data]
        return fit(model, stages, data, *args, **kwargs)

    monkeypatch.setattr(runner.execute, "fit", spied)
    item = plan_one()
    attempt(job_of(item))
    model, data = seen
    values = values_of(ledger, item.cell.id)
    # The model is left with the parameters that were scored last: the best ones.
    with torch.inference_mode():
        predicted = model(torch.from_numpy(np.array(data.test.inputs))).numpy().astype(float)
    target = np.array(data.test.targets, dtype=float)
    norm = np.sqrt((target**2).sum(axis=(1, 2)))
    error = np.sqrt(((predicted - target) ** 2).sum(axis=(1, 2)))
    assert values["test", "best_val", "nrmse"] == pytest.approx((error / norm).mean(), rel=1e-5)
    assert values["test", "best_val", "rmse"] == pytest.approx(
        (error / math.sqrt(32)).mean(), rel=1e-5
    )


def test_recraft_leaves_the_terms_of_its_bound(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    item = plan_one(methods=["recraft"])
    assert attempt(job_of(item)).status == "ok"
    values = values_of(ledger, item.cell.id)
    terms = {
        ("train", f"{when}_alignment", f"alignment_{term}")
        for when in ("before", "after")
        for term in BOUND
    }
    assert set(values) == SCORED | {("train", "last", "target_fit"), FLOOR} | terms

    def term(when: str, name: str) -> float:
        return values["train", f"{when}_alignment", f"alignment_{name}"]

    for when in ("before", "after"):
        assert 0 < term(when, "w1") <= term(when, "w2")  # Jensen
        # H(Z') of three clusters, and conditioning never adds to it.
        assert 0 < term(when, "target_entropy") <= math.log(3) + 1e-6
        assert 0 <= term(when, "distortion") <= term(when, "target_entropy") + 1e-6
        assert 0 <= term(when, "source_accuracy") <= 1
        assert 0 <= term(when, "lipschitz_violations") <= 1
    assert term("before", "target_entropy") == term("after", "target_entropy")
    assert term("before", "w2") != term("after", "w2")
    (row, *_) = rows_of(ledger, item.cell.id)
    assert row["align_s"] > 0
    assert row["fit_s"] > 0


def test_what_the_model_takes_is_part_of_stage_one(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = METHODS["nft"].model

    def slow(self: Any, context: Any) -> Any:
        time.sleep(0.5)  # as a source predictor would take
        return make(self, context)

    monkeypatch.setattr(METHODS["nft"], "model", slow)
    item = plan_one()
    outcome = attempt(job_of(item))
    (row, *_) = rows_of(ledger, item.cell.id)
    assert row["align_s"] >= 0.5
    assert outcome.busy_s >= 0.5


def test_a_variant_runs_and_all_of_its_stages_are_in_the_times(
    plan_one: PlanOne,
    tiny_content: Callable[..., dict[str, Any]],
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
) -> None:
    quick = {
        "alignment_steps": 2,
        "alignment_batch": 8,
        "label_epochs": 1,
        "predictor": {"plain_steps": 2},
    }
    options = {**tiny_content()["options"], "recraft:released": quick}
    item = plan_one(methods=["recraft:released"], options=options)
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.error) == ("ok", None)
    (row, *_) = rows_of(ledger, item.cell.id)
    assert row["method"] == "recraft:released"
    assert row["align_s"] + row["fit_s"] + row["eval_s"] == pytest.approx(outcome.busy_s)
    folder = ledger.local_root / "tensorboard" / "pdebench" / "advection" / "recraft_released"
    assert [path.name for path in folder.iterdir()] == ["0"]


def test_curves_are_written(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    item = plan_one(methods=["recraft"], recipe={"epochs": 3})
    attempt(job_of(item))
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for point in ledger.curves(item.cell.id).to_pylist():
        curves.setdefault((point["split"], point["name"]), {})[point["epoch"]] = point["value"]
    # 12 steps of alignment are two epochs of ten at most; epochs count on from there.
    assert {key: list(points) for key, points in curves.items()} == {
        **{("train", f"alignment/{name}"): [1, 2] for name in ("loss", "distance", "distortion")},
        ("train", "fitting/loss"): [3, 4, 5],
        **{("val", name): [3, 4, 5] for name in METRICS[:3]},
    }
    values = values_of(ledger, item.cell.id)
    assert values["val", "last", "nrmse"] == curves["val", "nrmse"][5]
    assert values["val", "best_val", "nrmse"] == min(curves["val", "nrmse"].values())
    assert values["train", "last", "target_fit"] == curves["train", "fitting/loss"][5]


def test_tensorboard_gets_the_losses(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    item = plan_one()
    attempt(job_of(item))
    assert ledger.local_root is not None
    folder = ledger.local_root / "tensorboard" / "pdebench" / "advection" / "nft" / "0"
    (path,) = folder.iterdir()
    points = [
        (value.tag, event.step, value.tensor.float_val[0])
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    losses = [
        point["value"]
        for point in ledger.curves(item.cell.id).to_pylist()
        if point["name"] == "fitting/loss"
    ]
    batches = -(
        -len(
            task_data.load(
                "pdebench/advection",
                data_root=ledger.local_root.parent / "data",
                recipe=runner.execute.Recipe.model_validate(item.cell.recipe),
            ).train
        )
        // 8
    )
    assert [(tag, step) for tag, step, _ in points] == [
        ("fitting/loss", batches),
        ("fitting/loss", 2 * batches),
    ]
    assert [value for _, _, value in points] == pytest.approx(losses, rel=1e-6)


def test_a_finished_cell_leaves_no_thread_behind(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt
) -> None:
    # A warm worker goes through hundreds of cells.
    attempt(job_of(plan_one()))
    before = threading.active_count()
    for seed in (1, 2, 3):
        attempt(job_of(plan_one(seeds=[seed])))
    assert threading.active_count() <= before


@pytest.mark.parametrize("keep", [False, True])
def test_the_checkpoint_of_a_done_cell(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, keep: bool
) -> None:
    item = plan_one()
    attempt(job_of(item, keep_checkpoints=keep))
    assert (ledger.load_checkpoint(item.cell.id) is not None) == keep
    assert ledger.local_root is not None
    assert (ledger.local_root / "checkpoints" / item.cell.id).exists() == keep


def test_a_seed_gives_the_same_numbers_again(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, tmp_path: Path
) -> None:
    item, other = plan_one(), plan_one(seeds=[1])
    again = Ledger(tmp_path / "again")
    attempt(job_of(item))
    attempt(job_of(other))
    attempt(job_of(item, results=again.uri))
    assert values_of(ledger, item.cell.id) == values_of(again, item.cell.id)
    assert values_of(ledger, item.cell.id) != values_of(ledger, other.cell.id)


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
    attempt(job_of(plan_one(), results=roomy.uri))
    assert values_of(ledger, job.cell.id) == pytest.approx(values_of(roomy, job.cell.id), rel=1e-3)


def test_out_of_memory_twice(
    plan_one: PlanOne, job_of: JobOf, train: Train, ledger: Ledger
) -> None:
    job = job_of(plan_one())
    memory = Memory(train, job, times=9)
    outcome = attempt_cell(job, memory)
    assert (outcome.status, outcome.failure) == ("failed", "oom")
    assert memory.micro_batches == [None, 4]
    rows = rows_of(ledger, job.cell.id)
    assert [(r["attempt"], r["status"], r["failure"]) for r in rows] == [
        (1, "failed", "oom"),
        (2, "failed", "oom"),
    ]


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

    monkeypatch.setattr(runner.execute, "fit", careless_fit)
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
    assert "stage 'fitting', step 0 of" in row["error"]
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


def stops_after(saves: int, error: BaseException) -> type[CellSession]:
    """A session that keeps a checkpoint after every epoch and dies after a number of them."""

    class Dying(CellSession):
        saved = 0

        def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
            super().save(state, force=True)
            self.saved += 1
            if self.saved == saves:
                raise error

    return Dying


@pytest.mark.parametrize(
    ("method", "saves"),
    [
        *((method, n) for method in ("nft", "fno", "unet") for n in (1, 2)),
        *(("recraft", n) for n in (1, 2, 3, 4)),
    ],
)
def test_an_interrupted_cell_goes_on_and_ends_the_same(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    tmp_path: Path,
    method: str,
    saves: int,
) -> None:
    item = plan_one(methods=[method])
    with pytest.raises(KeyboardInterrupt):
        attempt(job_of(item), stops_after(saves, KeyboardInterrupt()))
    assert ledger.states() == {}  # an interruption is no failure
    assert ledger.load_checkpoint(item.cell.id) is not None
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.resumed_epochs) == ("ok", saves)
    assert ledger.load_checkpoint(item.cell.id) is None
    whole = Ledger(tmp_path / "whole")
    assert attempt(job_of(item, results=whole.uri)).resumed_epochs == 0
    assert values_of(ledger, item.cell.id) == values_of(whole, item.cell.id)
    assert ledger.curves(item.cell.id).equals(whole.curves(item.cell.id))


def test_a_failed_cell_goes_on_from_its_checkpoint(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, tmp_path: Path
) -> None:
    item = plan_one()
    failed = attempt(job_of(item), stops_after(1, OSError(28, "No space left on device")))
    assert (failed.failure, failed.resumed_epochs) == ("code", 0)
    assert "No space left on device" in (failed.error or "")
    assert attempt(job_of(item)).resumed_epochs == 1
    whole = Ledger(tmp_path / "whole")
    attempt(job_of(item, results=whole.uri))
    assert values_of(ledger, item.cell.id) == values_of(whole, item.cell.id)
    assert {r["attempt"]: r["status"] for r in rows_of(ledger, item.cell.id)} == {
        1: "failed",
        2: "ok",
    }


def test_checkpoints_are_seconds_apart_unless_forced(
    plan_one: PlanOne, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("runner.sessions.time.monotonic", lambda: clock[0])
    session = CellSession(plan_one().cell, ledger.uri, torch.device("cpu"), None, None)
    written: list[int] = []

    def kept(number: int, *, force: bool = False) -> dict[str, Any] | None:
        session.save(lambda: written.append(number) or {"number": number}, force=force)  # type: ignore[func-returns-value]
        return session.restore()

    assert kept(1) is None
    assert written == []  # the state is not even collected
    assert kept(2, force=True) == {"number": 2}
    clock[0] += 60
    assert kept(3) == {"number": 3}
    assert kept(4) == {"number": 3}


def test_a_checkpoint_of_another_version_is_not_used(plan_one: PlanOne, ledger: Ledger) -> None:
    import io

    cell = plan_one().cell
    buffer = io.BytesIO()
    torch.save({"version": 0, "state": {"number": 1}}, buffer)
    ledger.save_checkpoint(cell.id, buffer.getvalue())
    session = CellSession(cell, ledger.uri, torch.device("cpu"), None, None)
    assert session.restore() is None


def test_scores_that_are_not_finite_are_no_result(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger
) -> None:
    # One step: its loss is still that of the untrained model.
    recipe = {"learning_rate": 1e30, "epochs": 1, "batch_size": 64}
    row = only_failure(ledger, attempt(job_of(plan_one(recipe=recipe))))
    assert row["failure"] == "diverged"
    assert "scores on val after epoch 1 are not finite" in row["error"]


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].uses_backbone])
def test_methods_without_a_backbone_leave_their_scores(
    name: str,
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unwanted(*_: object, **__: object) -> None:
        pytest.fail("a backbone was loaded")

    monkeypatch.setattr(runner.execute, "load_backbone", unwanted)
    item = plan_one(methods=[name])
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.error) == ("ok", None)
    values = values_of(ledger, item.cell.id)
    rows = rows_of(ledger, item.cell.id)
    trivial = name in ("identity", "mean")
    assert (("train", "last", "target_fit") in values) != trivial
    assert {row["backbone"] for row in rows} == {"none"}
    assert {row["epoch"] for row in rows if row["split"] == "val"} <= ({0} if trivial else {1, 2})
    assert (rows[0]["trainable_params"] == 0) == trivial
    assert (ledger.curves(item.cell.id).num_rows == 0) == trivial
    again = plan_one(methods=[name])
    assert again.state == "done"


@pytest.mark.parametrize("name", ["identity", "mean"])
def test_what_trains_nothing_scores_the_same_under_every_seed(
    name: str,
    tiny_grid: Callable[..., Any],
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    data_root: Path,
) -> None:
    planned = make_plan(tiny_grid(methods=[name], seeds=[0, 1]), ledger, data_root)
    assert [attempt(job_of(item)).status for item in planned] == ["ok", "ok"]
    first, second = (values_of(ledger, item.cell.id) for item in planned)
    assert first == second
