"""Cells with several workers: Ray Train around the same training loop."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from runner.execute import train_cell
from runner.job import CellJob, FinishedCell
from runner.plugins import Plugin, install
from runner.process_group import ProcessGroup
from runner.sessions import WorkerSession


def distributed_runner(
    job: CellJob,
    board: Any,
    *,
    threads: int,
    gpus: float,
    storage: str,
    plugins: Sequence[Plugin] = (),
) -> Callable[[int | None], FinishedCell]:
    """Return a function that trains the cell under `TorchTrainer` and blocks until it is done.

    Args:
        job: The cell.
        board: Takes progress.
        threads: CPU cores, and torch threads, of each worker.
        gpus: GPUs of each worker; 0 trains on CPUs over gloo.
        storage: Path or URI for Ray Train's own files.
        plugins: What every worker imports first.
    """

    def run(micro_batch: int | None) -> FinishedCell:
        resources = {"CPU": float(threads)} | ({"GPU": gpus} if gpus else {})
        result = TorchTrainer(
            _worker,
            train_loop_config={
                "job": job,
                "board": board,
                "threads": threads,
                "micro_batch": micro_batch,
                "plugins": plugins,
            },
            torch_config=ProcessGroup(),
            scaling_config=ScalingConfig(
                num_workers=job.workers, use_gpu=gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                # Unique, because a finished run of the same name would start at its end.
                name=f"{job.cell.id}-{uuid.uuid4().hex[:8]}",
                storage_path=storage,
                # Ray Train would try again after any error, bad data and bugs included. The
                # fan-out does so after lost processes alone.
                failure_config=FailureConfig(max_failures=0),
            ),
        ).fit()
        if result.error is not None:
            raise result.error
        trained: FinishedCell = result.return_value
        return trained

    return run


def _worker(config: dict[str, Any]) -> FinishedCell:
    """Run in every worker; rank 0's return value is the cell's."""
    install(config["plugins"])
    torch.set_num_threads(config["threads"])
    job: CellJob = config["job"]
    session = WorkerSession(job.cell, job.results, get_device(), config["board"], job.timeout_s)
    return train_cell(job, session, config["micro_batch"])
