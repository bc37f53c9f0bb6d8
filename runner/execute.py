"""One cell from data to ledger, in whatever process it was put."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.data import load
from runner import stops
from runner.cell import Cell
from runner.deadline import GRACE_S, within
from runner.failures import classify, describe, is_stop, samples_at_once
from runner.job import CellJob, FinishedCell
from runner.ledger import Ledger
from runner.meters import Stopwatch, of_all_workers
from runner.outcome import Outcome
from runner.provenance import device_name, peak_memory_bytes, reset_peak_memory
from runner.record import failed_attempt, ok_attempt
from runner.sessions import CellSession
from xmft.backbones.weights import weights_fingerprint
from xmft.cache import cache_root
from xmft.errors import DataError
from xmft.floor import floor_of
from xmft.source import proxy_identity, proxy_name
from xmft.task import Recipe, TaskData
from xmft.training import Assembled, assemble

# What cells of methods without a pretrained model have in its place.
_NONE = "none"


def train_cell(job: CellJob, session: CellSession, micro_batch: int | None) -> FinishedCell:
    """Load, build and fit one cell in this process; raises whatever goes wrong."""
    reset_peak_memory(session.device)
    with closing(Stopwatch(session.device, rank=session.rank)) as watch:
        trained = _train(job, session, micro_batch)
        usage, peak = of_all_workers(
            watch.stop(
                peak_memory_bytes=peak_memory_bytes(session.device),
                # What it was: a model that cannot be divided is held whole by each.
                sharding=("fsdp" if session.sharded else "ddp") if job.workers > 1 else None,
            )
        )
    return replace(trained, usage=usage, peak_memory_bytes=peak)


def _train(job: CellJob, session: CellSession, micro_batch: int | None) -> FinishedCell:
    cell = job.cell
    with within(job.timeout_s, cell.label, grace_s=GRACE_S), stops.heeded():
        with session.preparing(), stops.at_once():
            if job.problem is not None:
                raise DataError(job.problem)
            assembled = _assembled(cell, job, session.device)
        trained = assembled.fit(session, micro_batch=micro_batch, until=cell.trial.get("until"))
    data = assembled.data
    return FinishedCell(
        result=trained.result,
        origin=data.origin,
        params=trained.params,
        # Counted after the last stage, when everything that may learn does.
        trainable_params=trained.trainable_params,
        device=device_name(session.device),
        peak_memory_bytes=None,
        prepare_s=trained.prepare_s,
        base_s=trained.base_s,
        floor=None if cell.trial else floor_of(data),
        channels=data.task.channels,
    )


def _assembled(cell: Cell, job: CellJob, device: torch.device) -> Assembled:
    recipe = Recipe.model_validate(cell.recipe)
    return assemble(
        _load(cell, job, recipe),
        cell.method.partition(":")[0],
        backbone=_backbone(cell, job),
        recipe=recipe,
        options=cell.method_config,
        source=_proxy(cell, job) or None,
        seed=cell.seed,
        device=device,
        cache=cache_root(),
        data_root=Path(job.data_root),
    )


def _load(cell: Cell, job: CellJob, recipe: Recipe) -> TaskData:
    data = load(cell.task, data_root=Path(job.data_root), recipe=recipe, protocol=cell.protocol)
    if data.fingerprint != cell.data:
        raise DataError(
            f"The data of {cell.task} ({data.source}) changed since the grid was planned. "
            "Run the same command again."
        )
    return data.without_test() if cell.trial else data


def _backbone(cell: Cell, job: CellJob) -> str:
    """Return where the cell's backbone is found; it must be as it was when it was planned."""
    place = job.backbone or cell.backbone
    if place != _NONE and weights_fingerprint(place) != cell.weights:
        raise DataError(
            f"The weights or the tokenizer of backbone '{place}' changed since the grid was "
            "planned, or are others on this machine. Run the same command again."
        )
    return place


def _proxy(cell: Cell, job: CellJob) -> str:
    """Return the name of the cell's source proxy, which must be as it was when it was planned."""
    name = proxy_name(cell.source)
    if name and proxy_identity(name, Path(job.data_root)) != cell.source:
        raise DataError(
            f"The source proxy '{name}' changed since the grid was planned, or is another one on "
            "this machine. Run the same command again."
        )
    return name


def attempt_cell(job: CellJob, run: Callable[[int | None], FinishedCell]) -> Outcome:
    """Run a cell, with ever smaller micro-batches if memory runs out; write down what happened.

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
            failure, stopped = classify(error), is_stop(error)
            outcome = Outcome(
                cell_id=cell.id,
                status="stopped" if stopped else "failed",
                failure=failure,
                error=describe(error),
                busy_s=time.perf_counter() - clock,
                wall_s=time.perf_counter() - clock,
                resumed_epochs=0,
            )
            if stopped:
                return outcome  # no failure, and no row: the cell goes on somewhere else
            ledger.write_attempt(failed_attempt(job, outcome, started))
            # The batch of the stage that ran out of memory, if that was in a step of one; methods
            # that train nothing have no batch to halve.
            batch = int(cell.recipe.get("batch_size", 1)) // job.workers
            most = samples_at_once(error) or micro_batch or batch
            if failure == "oom" and most > 1:
                # Same global batch, less memory for activations: half of it, then a quarter of that
                # each time, as published batches of a thousand images are gathered over passes.
                micro_batch = max(1, most // 2 if micro_batch is None else most // 4)
                continue
            return outcome
        outcome = Outcome(
            cell_id=cell.id,
            status="ok",
            failure=None,
            error=None,
            busy_s=trained.prepare_s + trained.base_s + trained.result.own_seconds,
            wall_s=time.perf_counter() - clock,
            resumed_epochs=trained.result.resumed_epochs,
        )
        ledger.write_curves(cell.id, trained.result.curves)
        if trained.result.examples is not None:
            ledger.write_examples(cell.id, trained.result.examples, trained.channels)
        ledger.write_attempt(ok_attempt(job, trained, started, outcome.wall_s))
        if not job.keep_checkpoints:
            _drop_checkpoints(ledger, cell)
        return outcome


def _drop_checkpoints(ledger: Ledger, cell: Cell) -> None:
    """Delete what no later cell goes on from; a paused trial may be promoted."""
    if not cell.trial or cell.trial["until"] == cell.recipe["epochs"]:
        ledger.drop_checkpoint(cell.id)
    if cell.goes_on_from is not None:
        ledger.drop_checkpoint(cell.goes_on_from)


def local_runner(
    job: CellJob, board: Any, threads: int, gpus: float
) -> Callable[[int | None], FinishedCell]:
    """Return a function that trains the cell in this process.

    Args:
        job: The cell.
        board: Takes progress.
        threads: Torch threads.
        gpus: GPUs that the process was given; with 0 it trains on the CPU, whatever it sees. Where
            they are Ray's word alone (`--num-gpus` on a machine without), it does so too.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if gpus and torch.cuda.is_available() else "cpu")

    def run(micro_batch: int | None) -> FinishedCell:
        session = CellSession(
            job.cell, job.results, device, board, job.timeout_s, tensorboard=job.tensorboard
        )
        return train_cell(job, session, micro_batch)

    return run
