"""One cell from data to ledger, in whatever process it was put."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import catalog
from runner.cell import Cell
from runner.failures import classify, describe
from runner.ledger import Ledger
from runner.provenance import device_name, peak_memory_bytes, provenance
from runner.schema import Attempt, MetricValue
from runner.sessions import CellSession
from xmft.backbones import load_backbone
from xmft.errors import DataError
from xmft.fit import fit
from xmft.methods import Context, methods
from xmft.metrics import metrics
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.seeding import seed_everything
from xmft.task import Recipe, TaskData


@dataclass(frozen=True, kw_only=True)
class CellJob:
    """What a worker is told about a cell; plain values, every path absolute.

    Attributes:
        config_json: The cell.
        data_root: Folder with the data.
        results: Path or URI of the ledger.
        problem: Why the data are missing, if they were when the grid was planned.
        workers: Processes that train the cell together.
        timeout_s: Most seconds the cell may take; None for no limit.
        keep_checkpoints: Whether the last checkpoint stays when the cell is done.
    """

    config_json: str
    data_root: str
    results: str
    problem: str | None = None
    workers: int = 1
    timeout_s: float | None = None
    keep_checkpoints: bool = False

    @property
    def cell(self) -> Cell:
        """The cell as an object."""
        return Cell.from_json(self.config_json)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training with the facts that only the process that trained knows."""

    result: FitResult
    origin: str
    params: int
    trainable_params: int
    device: str
    peak_memory_bytes: int
    prepare_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt, small enough to send around."""

    cell_id: str
    status: str
    failure: str | None
    error: str | None
    fit_s: float
    wall_s: float
    resumed_epochs: int


def train_cell(job: CellJob, session: CellSession, micro_batch: int | None) -> Trained:
    """Load, build and fit one cell in this process; raises whatever goes wrong."""
    cell = job.cell
    if job.problem is not None:
        raise DataError(job.problem)
    recipe = Recipe.model_validate(cell.recipe)
    data = _load(cell, job, recipe)
    kind = methods[cell.method]
    method = kind(kind.Config.model_validate(cell.method_config))
    backbone = load_backbone(
        cell.backbone, layers=recipe.layers, pretrained=kind.pretrained, seed=cell.seed
    )
    seed_everything("model", cell.seed)
    model = CrossModalModel(backbone, data, recipe).to(session.device)
    context = Context(
        data=data,
        recipe=recipe,
        backbone=backbone,
        proxy=cell.source or "",
        seed=cell.seed,
        device=session.device,
        cache=catalog.cache_root(),
    )
    start = time.perf_counter()
    stages = method.stages(context)
    prepare_s = time.perf_counter() - start
    with closing(session):
        result = fit(model, stages, data, recipe, session, seed=cell.seed, micro_batch=micro_batch)
    parameters = list(model.parameters())
    return Trained(
        result=result,
        origin=data.origin,
        params=sum(p.numel() for p in parameters),
        # Counted after the last stage, when everything that may learn does.
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        device=device_name(session.device),
        peak_memory_bytes=peak_memory_bytes(session.device),
        prepare_s=prepare_s,
    )


def _load(cell: Cell, job: CellJob, recipe: Recipe) -> TaskData:
    data = catalog.load(
        cell.task, data_root=Path(job.data_root), recipe=recipe, protocol=cell.protocol
    )
    if data.fingerprint != cell.data:
        raise DataError(
            f"The data of {cell.task} ({data.source}) changed since the grid was planned. "
            "Run the same command again."
        )
    return data


def attempt_cell(job: CellJob, run: Callable[[int | None], Trained]) -> Outcome:
    """Run a cell once, twice if memory ran out, and write down what happened.

    Args:
        job: The cell and where it belongs.
        run: Trains the cell with a given micro-batch (None: the whole batch at once).
    """
    ledger, cell = Ledger(job.results), job.cell
    micro_batch: int | None = None
    while True:
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            trained = run(micro_batch)
        except Exception as error:
            failure = classify(error)
            outcome = Outcome(
                cell_id=cell.id,
                status="failed",
                failure=failure,
                error=describe(error),
                fit_s=0.0,
                wall_s=time.perf_counter() - clock,
                resumed_epochs=0,
            )
            ledger.write_attempt(failed_attempt(job, outcome, started))
            batch = int(cell.recipe["batch_size"]) // job.workers
            if failure == "oom" and micro_batch is None and batch > 1:
                # Same global batch, half the memory for activations.
                micro_batch = batch // 2
                continue
            return outcome
        outcome = Outcome(
            cell_id=cell.id,
            status="ok",
            failure=None,
            error=None,
            fit_s=trained.prepare_s + sum(trained.result.seconds.values()),
            wall_s=time.perf_counter() - clock,
            resumed_epochs=trained.result.resumed_epochs,
        )
        ledger.write_curves(cell.id, trained.result.curves)
        ledger.write_attempt(_ok_attempt(job, trained, started, outcome.wall_s))
        if not job.keep_checkpoints:
            ledger.drop_checkpoint(cell.id)
        return outcome


def failed_attempt(job: CellJob, outcome: Outcome, started: datetime) -> Attempt:
    """Return the ledger's record of a failure."""
    return Attempt(
        **_identity(job),
        data_origin=None,
        status="failed",
        failure=outcome.failure,
        error=outcome.error,
        wall_s=outcome.wall_s,
        device=None,
        started_at=started,
        finished_at=datetime.now(UTC),
    )


def _ok_attempt(job: CellJob, trained: Trained, started: datetime, wall_s: float) -> Attempt:
    seconds = trained.result.seconds
    return Attempt(
        **_identity(job),
        data_origin=trained.origin,
        status="ok",
        params=trained.params,
        trainable_params=trained.trainable_params,
        align_s=trained.prepare_s + seconds.get("alignment", 0.0),
        fit_s=seconds.get("fitting", 0.0),
        eval_s=seconds.get("eval", 0.0),
        wall_s=wall_s,
        peak_memory_bytes=trained.peak_memory_bytes,
        device=trained.device,
        started_at=started,
        finished_at=datetime.now(UTC),
        metrics=tuple(_metric_values(trained.result)),
    )


def _identity(job: CellJob) -> dict[str, Any]:
    cell, facts = job.cell, provenance()
    return {
        "cell_id": cell.id,
        "task": cell.task,
        "suite": cell.task.split("/", 1)[0],
        "task_version": cell.task_version,
        "method": cell.method,
        "method_version": cell.method_version,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "protocol": cell.protocol,
        "worker_count": job.workers,
        "precision": cell.recipe["precision"],
        "git_revision": facts.git_revision,
        "git_dirty": facts.git_dirty,
        "versions": facts.versions,
        "host": facts.host,
        "config_json": cell.config_json,
    }


def _metric_values(result: FitResult) -> list[MetricValue]:
    """Turn scores into rows, and the measured terms of a stage likewise.

    A measurement `alignment/before/w2` becomes metric `alignment_w2` of the training split with
    selection `before_alignment`.
    """
    rows = [
        MetricValue(
            split=score.split,
            selection=score.selection,
            metric=score.metric,
            metric_version=metrics[score.metric].version,
            direction=metrics[score.metric].direction,
            value=score.value,
            epoch=score.epoch,
        )
        for score in result.scores
    ]
    for key, value in result.measurements.items():
        stage, when, term = key.split("/")
        rows.append(
            MetricValue(
                split="train",
                selection=f"{when}_{stage}",
                metric=f"{stage}_{term}",
                metric_version=1,
                direction="min",
                value=value,
                epoch=0,
            )
        )
    losses = [p for p in result.curves if p.split == "train" and p.name == "fitting/loss"]
    if losses:
        rows.append(
            MetricValue(
                split="train",
                selection="last",
                metric="target_fit",
                metric_version=1,
                direction="min",
                value=losses[-1].value,
                epoch=losses[-1].epoch,
            )
        )
    return rows


def local_runner(job: CellJob, board: Any, threads: int) -> Callable[[int | None], Trained]:
    """Return a function that trains the cell in this process."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def run(micro_batch: int | None) -> Trained:
        session = CellSession(job.cell, job.results, device, board, job.timeout_s)
        return train_cell(job, session, micro_batch)

    return run
