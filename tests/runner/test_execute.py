"""What a cell leaves in the ledger."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import runner.execute
import xmft.training
from benchmarks import data as task_data
from runner.ledger import Ledger
from tests.runner.cells import Attempt, JobOf, PlanOne, rows_of, values_of
from xmft.methods import METHODS

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
    "w2_source",
    "distortion",
    "distortion_chance",
    "distortion_corrected",
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
        second = row["metric"] in ("rmse", "error_floor") or row["metric"].startswith("frmse")
        assert row["metric_version"] == (2 if second else 1)
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
    fit = xmft.training.fit

    def spied(model: Any, stages: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        seen[:] = [model, data]
        return fit(model, stages, data, *args, **kwargs)

    monkeypatch.setattr(xmft.training, "fit", spied)
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


@pytest.mark.parametrize("method, column", [("recraft", "align_s"), ("kernel", "fit_s")])
def test_what_the_model_takes_is_part_of_the_first_stage(
    method: str,
    column: str,
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = METHODS[method].model

    def slow(self: Any, context: Any) -> Any:
        time.sleep(0.5)  # as a source predictor would take, or a closed form
        return make(self, context)

    monkeypatch.setattr(METHODS[method], "model", slow)
    item = plan_one(methods=[method])
    outcome = attempt(job_of(item))
    (row, *_) = rows_of(ledger, item.cell.id)
    assert row[column] >= 0.5
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
    parts = ("loss", "distance", "distortion", "task")
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for point in ledger.curves(item.cell.id).to_pylist():
        curves.setdefault((point["split"], point["name"]), {})[point["epoch"]] = point["value"]
    # 12 steps of alignment are two epochs of ten at most; epochs count on from there.
    assert {key: list(points) for key, points in curves.items()} == {
        **{("train", f"alignment/{name}"): [1, 2] for name in parts},
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
    (path,) = (folder / item.cell.id).iterdir()
    points = [
        (value.tag, event.step, value.tensor.float_val[0])
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "scalars"
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
    again.prepare()
    attempt(job_of(item))
    attempt(job_of(other))
    attempt(job_of(item, results=again.uri))
    assert values_of(ledger, item.cell.id) == values_of(again, item.cell.id)
    assert values_of(ledger, item.cell.id) != values_of(ledger, other.cell.id)
