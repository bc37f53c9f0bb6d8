"""The fan-out: Ray Tune over the cells that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from runner.cluster import Slots, scratch_folder  # sets Ray's environment before Ray is imported

# isort: split
from ray import tune

from runner.execute import attempt_cell, local_runner
from runner.failures import classify
from runner.job import CellJob, Outcome
from runner.ledger import Ledger
from runner.plugins import Plugin, install
from runner.progress_actor import Board
from runner.record import failed_attempt


class _CellActor(tune.Trainable):
    """A warm actor: torch, the backbone and the prepared data stay loaded between cells."""

    def setup(self, config: dict[str, Any]) -> None:
        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        install(self._config["plugins"])
        job = CellJob(**self._config["job"])
        run = local_runner(
            job, self._config["board"], self._config["threads"], self._config["gpus"]
        )
        return {"outcome": asdict(attempt_cell(job, run)), tune.result.DONE: True}


def _drive_workers(config: dict[str, Any]) -> None:
    """Tune function of a cell with several workers: the driver of its `TorchTrainer`."""
    from runner.workers import distributed_runner

    install(config["plugins"])
    job = CellJob(**config["job"])
    run = distributed_runner(
        job,
        config["board"],
        threads=config["threads"],
        gpus=config["gpus"],
        storage=config["storage"],
        plugins=config["plugins"],
    )
    tune.report({"outcome": asdict(attempt_cell(job, run))})


def fan_out(
    jobs: Sequence[CellJob],
    slots: Slots,
    board: Board,
    *,
    max_infra_retries: int,
    fail_fast: bool,
    plugins: Sequence[Plugin] = (),
) -> list[Outcome]:
    """Run the jobs and return what became of each; failures are rows of the ledger.

    Every process imports the plug-ins before it looks up a name.

    A job whose process was lost is run again, from its checkpoint, after the others.
    """
    outcomes: dict[str, Outcome] = {}
    left = list(jobs)
    for _ in range(max_infra_retries + 1):
        for outcome in _round(left, slots, board, fail_fast=fail_fast, plugins=plugins):
            outcomes[outcome.cell_id] = outcome
        if fail_fast and any(outcome.status == "failed" for outcome in outcomes.values()):
            break
        lost = {cell_id for cell_id, outcome in outcomes.items() if outcome.failure == "infra"}
        left = [job for job in left if job.cell.id in lost]
        if not left:
            break
    return list(outcomes.values())


def _round(
    jobs: Sequence[CellJob],
    slots: Slots,
    board: Board,
    *,
    fail_fast: bool,
    plugins: Sequence[Plugin],
) -> list[Outcome]:
    ledger = Ledger(jobs[0].results)
    alone = slots.workers == 1
    with scratch_folder(ledger) as storage:
        space = {
            "job": tune.grid_search([asdict(job) for job in jobs]),
            "board": board,
            "threads": slots.threads,
            "gpus": slots.gpus,
            "storage": storage,
            "plugins": tuple(plugins),
        }
        # The driver of a cell with workers only waits, on the head node; its workers ask for their
        # own resources. Tune does not take an empty request, so it asks for a sliver of the node.
        resources = (
            {"CPU": slots.threads, "GPU": slots.gpus}
            if alone
            else {"node:__internal_head__": 0.001}
        )
        stop = _StopAtFailure() if fail_fast else None
        tuner = tune.Tuner(
            tune.with_resources(_CellActor if alone else _drive_workers, resources),
            param_space=space,
            tune_config=tune.TuneConfig(
                max_concurrent_trials=slots.count,
                reuse_actors=alone,
                trial_name_creator=_cell_id,
                trial_dirname_creator=_cell_id,
            ),
            run_config=tune.RunConfig(
                name="cells",
                storage_path=storage,
                verbose=0,
                stop=stop,
                # The cell's own checkpoints are in the ledger; Tune has nothing to keep.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        results = tuner.fit()
    outcomes = []
    for result in results:
        metrics = result.metrics or {}
        if "outcome" in metrics:
            outcomes.append(Outcome(**metrics["outcome"]))
        elif result.error is not None:
            outcomes.append(_lost(CellJob(**result.config["job"]), result.error))
    return outcomes


def _cell_id(trial: Any) -> str:
    return CellJob(**trial.config["job"]).cell.id


class _StopAtFailure(tune.Stopper):
    def __init__(self) -> None:
        self._failed = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._failed |= result["outcome"]["status"] == "failed"
        return False

    def stop_all(self) -> bool:
        return self._failed


def _lost(job: CellJob, error: Exception) -> Outcome:
    """Write the row that a process which died could not write."""
    failure = classify(error)
    outcome = Outcome(
        cell_id=job.cell.id,
        status="failed",
        failure=failure,
        error=f"The process of the cell was lost: {error}" if failure == "infra" else str(error),
        busy_s=0.0,
        wall_s=0.0,
        resumed_epochs=0,
    )
    Ledger(job.results).write_attempt(failed_attempt(job, outcome, datetime.now(UTC)))
    return outcome
