"""Cells with several workers: Ray Train around the same training loop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from runner.execute import CellJob, Trained, train_cell
from runner.sessions import WorkerSession


def distributed_runner(
    job: CellJob, board: Any, *, threads: int, gpus: float, storage: str, max_failures: int
) -> Callable[[int | None], Trained]:
    """Return a function that trains the cell under `TorchTrainer` and blocks until it is done.

    Args:
        job: The cell.
        board: Takes progress.
        threads: CPU cores, and torch threads, of each worker.
        gpus: GPUs of each worker; 0 trains on CPUs over gloo.
        storage: Path or URI for Ray Train's own files.
        max_failures: How often a lost worker is replaced; the cell goes on from its checkpoint.
    """

    def run(micro_batch: int | None) -> Trained:
        name = f"{job.cell.id}-{micro_batch or 'whole'}"
        if "://" not in storage:
            # A finished run of the same name would start at its end.
            shutil.rmtree(Path(storage) / name, ignore_errors=True)
        resources = {"CPU": float(threads)} | ({"GPU": gpus} if gpus else {})
        result = TorchTrainer(
            _worker,
            train_loop_config={
                "job": job,
                "board": board,
                "threads": threads,
                "micro_batch": micro_batch,
            },
            scaling_config=ScalingConfig(
                num_workers=job.workers, use_gpu=gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name=name,
                storage_path=storage,
                failure_config=FailureConfig(max_failures=max_failures),
            ),
        ).fit()
        if result.error is not None:
            raise result.error
        trained: Trained = result.return_value
        return trained

    return run


def _worker(config: dict[str, Any]) -> Trained:
    """Run in every worker; rank 0's return value is the cell's."""
    torch.set_num_threads(config["threads"])
    job: CellJob = config["job"]
    session = WorkerSession(job.cell, job.results, get_device(), config["board"], job.timeout_s)
    return train_cell(job, session, config["micro_batch"])
