"""Workers that stay between cells: a cell costs what it trains, not the start of processes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ray

from runner import stops
from runner.board import Board
from runner.failures import CellTimeoutError
from runner.job import CellJob, FinishedCell
from runner.plugins import Plugin
from runner.workers import Crew, train_together
from xmft.errors import RequestError

# How long the driver waits for a result before it looks whether the workers are there.
_LOOK_EVERY_S = 1.0
# Workers end a cell whose time is up themselves, unless they hang.
_GRACE_S = 30.0
# How long workers may take to end by themselves.
_CLOSE_S = 20.0

# What the workers are told: go on, keep where you are and stop, or end at once.
Word = Literal["", "stop", "end"]


class _Desk:
    """The actor between a driver and its workers; it goes with the driver."""

    def __init__(self) -> None:
        self._order: tuple[int, CellJob | None, int | None] | None = None
        self._taken = 0
        self._results: dict[int, Any] = {}
        self._word: Word = ""
        self._changed = asyncio.Condition()

    async def put(self, number: int, job: CellJob | None, micro_batch: int | None) -> None:
        """Lay out the next cell; None: there are no more."""
        async with self._changed:
            self._order = (number, job, micro_batch)
            self._changed.notify_all()

    async def order(self, after: int, wait_s: float) -> Any:
        """Return the next cell, None if there is none yet."""
        await self._until(lambda: self._order is not None and self._order[0] > after, wait_s)
        if self._order is None or self._order[0] <= after:
            return None
        self._taken = self._order[0]
        return self._order

    async def finish(self, number: int, result: Any) -> None:
        """Lay out what became of a cell."""
        async with self._changed:
            self._results[number] = result
            self._changed.notify_all()

    async def result(self, number: int, wait_s: float) -> tuple[bool, Any]:
        """Return whether a cell was taken, and what became of it, None if that is not known."""
        await self._until(lambda: number in self._results, wait_s)
        return self._taken >= number, self._results.pop(number, None)

    async def say(self, word: Word) -> None:
        """Tell the workers something."""
        self._word = word

    async def word(self) -> Word:
        """Return what the workers were told."""
        return self._word

    async def _until(self, ready: Callable[[], bool], wait_s: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(ready), wait_s)


class Gang:
    """Workers under one long run of Ray Train that train one cell after the other.

    Processes, process group, torch, backbone and prepared data stay. An error that all workers
    have alike goes to its cell and leaves the workers; after any other, or the loss of a worker,
    the next cell starts new ones. Workers whose driver is gone end by themselves.
    """

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        gpus: float,
        storage: str,
        memory: int = 0,
        plugins: Sequence[Plugin] = (),
        board: Board | None = None,
    ) -> None:
        """Prepare; the processes start with the first cell.

        Args:
            workers: Processes that train a cell together.
            threads: CPU cores, and torch threads, of each worker.
            gpus: GPUs of each worker; 0 trains on CPUs over gloo.
            storage: Path or URI for Ray Train's own files.
            memory: Bytes of main memory of each worker that are set aside; 0: not looked at.
            plugins: What every worker imports first.
            board: Takes progress.
        """
        self._crew = Crew(
            workers=workers,
            threads=threads,
            gpus=gpus,
            memory=memory,
            plugins=tuple(plugins),
            board=board,
            storage=storage,
        )
        self._number = 0
        self._desk: Any = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def runner(self, job: CellJob) -> Callable[[int | None], FinishedCell]:
        """Return a function that trains the cell with a given micro-batch and blocks meanwhile.

        Raises:
            RequestError: the cell is for another number of workers, or is to be divided among
                workers that share a GPU.
        """
        if job.workers != self._crew.workers:
            raise RequestError(
                f"{job.cell.label} is for {job.workers} workers, these are {self._crew.workers}."
            )
        if job.sharding == "fsdp" and 0 < self._crew.gpus < 1:
            raise RequestError(
                f"Workers with {self._crew.gpus} GPUs each may share one, and cannot divide the "
                "model among themselves then. Give each worker a GPU, or use sharding ddp."
            )

        def run(micro_batch: int | None) -> FinishedCell:
            with stops.heeded():
                result = self._train(job, micro_batch)
            if isinstance(result, BaseException):
                raise result
            trained: FinishedCell = result
            return trained

        return run

    def stop(self) -> None:
        """Ask the workers to keep where they are and to stop, as SIGTERM does."""
        if self._desk is not None:
            ray.get(self._desk.say.remote("stop"))

    def close(self) -> None:
        """Send the workers home and wait until they are gone."""
        if self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._desk.put.remote(self._number + 1, None, None))
            self._thread.join(_CLOSE_S)
        self._end()

    def _train(self, job: CellJob, micro_batch: int | None) -> Any:
        self._number += 1
        self._begin(job, micro_batch)
        limit, asked = None, False
        while True:
            taken, result = ray.get(self._desk.result.remote(self._number, _LOOK_EVERY_S))
            if result is not None:
                return result
            if stops.requested() and not asked:
                asked = True
                self.stop()
            if taken and limit is None and job.timeout_s is not None:
                limit = time.monotonic() + job.timeout_s + _GRACE_S
            if limit is not None and time.monotonic() > limit:
                self._end()
                raise CellTimeoutError(
                    f"{job.cell.label} took longer than {job.timeout_s:.0f} s, and its workers did "
                    "not answer. They were ended."
                )
            if self._thread is None or not self._thread.is_alive():
                error = self._error
                self._end()
                if error is not None:
                    raise error
                # They were asked to stop between two cells.
                self._begin(job, micro_batch)

    def _begin(self, job: CellJob, micro_batch: int | None) -> None:
        """Lay out a cell, for new workers where there are none."""
        if self._thread is None or not self._thread.is_alive():
            self._end()
            self._desk = ray.remote(num_cpus=0, max_concurrency=1000)(_Desk).remote()
            self._error = None
            self._thread = threading.Thread(
                target=self._run, args=(self._desk,), daemon=True, name="gang"
            )
            self._thread.start()
        ray.get(self._desk.put.remote(self._number, job, micro_batch))

    def _run(self, desk: Any) -> None:
        try:
            self._error = train_together(self._crew, desk, f"gang-{uuid.uuid4().hex[:12]}").error
        except BaseException as error:
            self._error = error

    def _end(self) -> None:
        """End the workers, also those that hang."""
        thread, desk, self._thread, self._desk = self._thread, self._desk, None, None
        if thread is not None and thread.is_alive():
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(desk.say.remote("end"))
            thread.join(_CLOSE_S)
        if desk is not None:
            ray.kill(desk)
