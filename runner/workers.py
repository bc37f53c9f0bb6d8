"""The processes of cells with several workers: Ray Train around the same training loop."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray.train import FailureConfig, Result, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from runner import stops
from runner.board import Board
from runner.execute import train_cell
from runner.job import CellJob, FinishedCell
from runner.plugins import Plugin, install
from runner.process_group import ProcessGroup
from runner.worker_session import WorkerSession
from xmft.errors import DivergedError, RequestError, StoppedError, XmftError

# How long the first worker waits for a cell before it tells the others that there is none yet.
_WAIT_S = 5.0
# How long a worker waits for another one that has nothing to do but answer.
_ANSWER_S = 60.0
# How often a worker looks whether it is still wanted, and how long it waits for the answer.
_LOOK_EVERY_S, _LOOK_AT_MOST_S = 2.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What the workers of a gang are told once.

    Attributes:
        workers: Processes.
        threads: CPU cores, and torch threads, of each worker.
        gpus: GPUs of each worker; 0 trains on CPUs.
        memory: Bytes of main memory of each worker that are set aside; 0: not looked at.
        plugins: What each of them imports first.
        board: Takes progress.
        storage: Path or URI for Ray Train's own files.
    """

    workers: int
    threads: int
    gpus: float
    memory: int
    plugins: Sequence[Plugin]
    board: Board | None
    storage: str


class _Group(ProcessGroup):
    """A process group of processes that take SIGTERM for a request to stop."""

    @property
    def backend_cls(self) -> Any:
        return type("Backend", (_HeedingSignals, super().backend_cls), {})


class _HeedingSignals:
    """Mixed into Ray Train's set-up of the workers."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        super().on_start(worker_group, backend_config)  # type: ignore[misc]
        # By the main threads, which alone may; the training has one of its own.
        worker_group.execute(stops.heed)


def train_together(crew: Crew, desk: Any, name: str) -> Result:
    """Run a gang's workers until the desk sends them home; blocks.

    Args:
        crew: The workers.
        desk: Handle to the actor that has their cells.
        name: Of Ray Train's run; unique, for a finished one would start at its end.
    """
    wanted = {"CPU": float(crew.threads), "GPU": crew.gpus, "memory": float(crew.memory)}
    resources = {name: amount for name, amount in wanted.items() if amount}
    return TorchTrainer(
        _work,
        train_loop_config={"crew": crew, "desk": desk},
        # NCCL refuses two workers on one GPU, where Gloo copies through main memory.
        torch_config=_Group(backend="nccl" if crew.gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=crew.workers, use_gpu=crew.gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=name,
            storage_path=crew.storage,
            # Ray Train would try again after any error, bad data and bugs included. The fan-out
            # does so after lost processes alone.
            failure_config=FailureConfig(max_failures=0),
        ),
    ).fit()


def _work(config: dict[str, Any]) -> None:
    """Run in every worker: train cells until there are no more."""
    crew: Crew = config["crew"]
    desk = config["desk"]
    install(crew.plugins)
    torch.set_num_threads(crew.threads)
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    threading.Thread(target=_watch, args=(desk,), daemon=True, name="watch").start()
    # Of its own, so that waiting for cells occupies no GPU and has its own limit.
    talk = _Talk(dist.new_group(backend="gloo", timeout=timedelta(seconds=_ANSWER_S)))
    done = 0
    while True:
        order = ray.get(desk.order.remote(done, _WAIT_S)) if talk.rank == 0 else None
        said = talk.each((order, stops.requested()))
        order = said[0][0]
        if order is None:
            if any(asked for _, asked in said):
                return
            continue
        done, job, micro_batch = order
        if job is None:
            return
        result = _attempt(job, micro_batch, crew, device, talk)
        if talk.rank == 0:
            ray.get(desk.finish.remote(done, result))
        if isinstance(result, StoppedError):
            return
        del result
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


class _Talk:
    """What the workers say to one another between cells."""

    def __init__(self, group: Any) -> None:
        self.rank = dist.get_rank()
        self._group = group

    def each(self, value: Any) -> list[Any]:
        """Return the value of every worker, in their order."""
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value, group=self._group)
        return values


def _attempt(
    job: CellJob, micro_batch: int | None, crew: Crew, device: torch.device, talk: _Talk
) -> FinishedCell | XmftError:
    """Train a cell; return an error that all workers have alike, raise any other.

    What one of them has alone leaves the others in the middle of their messages: then the
    processes are no longer of use.
    """
    session = WorkerSession(
        job.cell,
        job.results,
        device,
        crew.board,
        job.timeout_s,
        how=job.sharding,
        tensorboard=job.tensorboard,
    )
    try:
        return train_cell(job, session, micro_batch)
    except XmftError as error:
        alike = (DivergedError, StoppedError, RequestError)
        if session.began and not isinstance(error, alike):
            raise
        if len(set(talk.each((type(error).__name__, str(error))))) > 1:
            raise
        return error


def _watch(desk: Any) -> None:
    """End this process as soon as nobody wants it, wherever its training hangs."""
    pause = threading.Event()
    while not pause.wait(_LOOK_EVERY_S):
        try:
            word = ray.get(desk.word.remote(), timeout=_LOOK_AT_MOST_S)
        except Exception:  # of many classes: no answer, no actor, no Ray
            os._exit(1)
        if word == "stop":
            stops.request()
        elif word == "end":
            os._exit(1)
