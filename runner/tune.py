"""The fan-out: Ray Tune over the cells that are left."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

# Ray reads these when it is imported. Workers keep the working directory, the SIGINT handler
# stays Python's own (Ctrl-C must end the run at once), and nothing phones home.
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}
for _key, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_key, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402

from runner.board import Board  # noqa: E402
from runner.execute import attempt_cell, local_runner  # noqa: E402
from runner.failures import classify  # noqa: E402
from runner.job import CellJob, Outcome  # noqa: E402
from runner.ledger import Ledger  # noqa: E402
from runner.record import failed_attempt  # noqa: E402
from xmft.errors import RequestError  # noqa: E402

_OBJECT_STORE_BYTES = 150 * 2**20


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many cells run at once, and what each of their workers gets.

    The number of threads is fixed and does not follow the number of cells: results must not
    depend on what else is running.
    """

    count: int
    workers: int
    threads: int
    gpus: float


class _Cell(tune.Trainable):
    """A warm actor: torch, the backbone and the prepared data stay loaded between cells."""

    def setup(self, config: dict[str, Any]) -> None:
        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        job = CellJob(**self._config["job"])
        run = local_runner(
            job, self._config["board"], self._config["threads"], self._config["gpus"]
        )
        return {"outcome": asdict(attempt_cell(job, run)), tune.result.DONE: True}


def _drive_workers(config: dict[str, Any]) -> None:
    """Tune function of a cell with several workers: the driver of its `TorchTrainer`."""
    from runner.train import distributed_runner

    job = CellJob(**config["job"])
    run = distributed_runner(
        job,
        config["board"],
        threads=config["threads"],
        gpus=config["gpus"],
        storage=config["storage"],
    )
    tune.report({"outcome": asdict(attempt_cell(job, run))})


@contextmanager
def cluster(address: str | None, *, verbose: bool) -> Iterator[None]:
    """Start Ray on this machine, or join the cluster at `address`; leave it at the end.

    Raises:
        RequestError: no cluster answers at `address`.
    """
    # What goes wrong in a cell is a row of the ledger and a line of ours.
    level = logging.INFO if verbose else logging.CRITICAL
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level}
    if address is not None:
        _check_answers(address)
    else:
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RequestError(
            f"No Ray cluster answers at {address or 'this machine'}: {error}. Since Ray 2.60 a "
            "cluster asks for a token: set RAY_AUTH_TOKEN, or RAY_AUTH_MODE=disabled on both sides."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Try the port first: Ray itself waits for minutes before it gives up."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdigit():  # `auto`
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise RequestError(f"No Ray cluster answers at {address} ({error}).") from None


def slots_of(cells: int, *, workers: int, threads: int, gpus_per_worker: float | None) -> Slots:
    """Share out the cluster: whole cells only, as many at once as fit.

    Raises:
        RequestError: not even one cell fits.
    """
    total = ray.cluster_resources()
    gpus = gpus_per_worker
    if gpus is None:
        gpus = 1.0 if total.get("GPU") else 0.0
    fits = int(total.get("CPU", 0) // (threads * workers))
    if gpus:
        fits = min(fits, int(total.get("GPU", 0) / (gpus * workers) + 1e-9))
    if fits < 1:
        raise RequestError(
            f"A cell needs {workers} workers with {threads} CPU cores"
            + (f" and {gpus:g} GPUs" if gpus else "")
            + f" each, but Ray has {total.get('CPU', 0):g} cores and {total.get('GPU', 0):g} "
            "GPUs. Lower --workers, --threads or --gpus-per-worker."
        )
    return Slots(count=min(fits, cells), workers=workers, threads=threads, gpus=gpus)


def check_storage(ledger: Ledger, address: str | None, *, shared: bool) -> None:
    """Refuse a folder of one machine when others would write to it.

    Raises:
        RequestError: it is one.
    """
    if shared or not ledger.is_local:
        return
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if (address or "").startswith("ray://") and not _is_here(str(address)):
        raise RequestError(
            f"The cluster at {address} is another machine, but results go to the folder "
            f"{ledger.uri} of this one. Use a URI (--results s3://bucket/results), or say "
            "--shared-results if both see that folder."
        )
    if len(nodes) > 1:
        raise RequestError(
            f"The cluster has {len(nodes)} nodes, but results go to the local folder "
            f"{ledger.uri}. Use a URI (--results s3://bucket/results), or say --shared-results "
            "if that folder is on a file system that all nodes share."
        )


def _is_here(address: str) -> bool:
    host = address.rpartition("//")[2].rpartition(":")[0]
    return host in ("localhost", "127.0.0.1", socket.gethostname())


def fan_out(
    jobs: Sequence[CellJob],
    slots: Slots,
    board: Board,
    *,
    max_infra_retries: int,
    fail_fast: bool,
) -> list[Outcome]:
    """Run the jobs and return what became of each; failures are rows of the ledger.

    A job whose process was lost is run again, from its checkpoint, after the others.
    """
    outcomes: dict[str, Outcome] = {}
    left = list(jobs)
    for _ in range(max_infra_retries + 1):
        for outcome in _round(left, slots, board, fail_fast=fail_fast):
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
) -> list[Outcome]:
    ledger = Ledger(jobs[0].results)
    alone = slots.workers == 1
    with _scratch(ledger) as storage:
        space = {
            "job": tune.grid_search([asdict(job) for job in jobs]),
            "board": board,
            "threads": slots.threads,
            "gpus": slots.gpus,
            "storage": storage,
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
            tune.with_resources(_Cell if alone else _drive_workers, resources),
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


@contextmanager
def _scratch(ledger: Ledger) -> Iterator[str]:
    """Give Ray a place for its own files, which nobody reads: gone afterwards.

    On several nodes Ray insists on one that all of them share.
    """
    if len(ray.nodes()) == 1:
        with tempfile.TemporaryDirectory(prefix="xmft-ray-") as folder:
            yield folder
    else:
        yield f"{ledger.uri}/ray"
        ledger.drop_scratch("ray")


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
