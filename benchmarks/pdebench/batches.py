"""Solving batch by batch: on a GPU, on one core, or on all of them if that is worth it."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from xmft.cores import usable_cores

Arrays = dict[str, npt.NDArray[Any]]
SolveBatch = Callable[[int, torch.device], Arrays]

# Starting processes that import torch takes seconds.
WORTH_SECONDS = 15.0


def solved(solve: SolveBatch, count: int, *, workers: int | None) -> Iterator[Arrays]:
    """Yield the results of `solve(0, device)` ... `solve(count - 1, device)`, in order.

    The numbers are the same however many processes share the work: each solves with one thread.

    Args:
        solve: Solves one batch; must be picklable.
        count: Number of batches.
        workers: Most processes at work; None: one per core. On a GPU there is one process.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = time.perf_counter()
    with _one_thread():
        first = solve(0, device)
        left = (count - 1) * (time.perf_counter() - start)
        yield first
        processes = min(workers or usable_cores().count, count - 1)
        if device.type != "cpu" or processes < 2 or left < WORTH_SECONDS:
            for batch in range(1, count):
                yield solve(batch, device)
            return
    yield from _by_processes(solve, range(1, count), processes)


def _by_processes(solve: SolveBatch, batches: range, processes: int) -> Iterator[Arrays]:
    # Started afresh: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare
    )
    try:
        waiting: list[Future[Arrays]] = []
        for batch in batches:
            waiting.append(pool.submit(solve, batch, torch.device("cpu")))
            # Not all at once: what is solved stays in memory until it is written.
            if len(waiting) > 2 * processes:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare() -> None:
    # Ctrl-C is for the parent, which stops the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    threadpool_limits(1)


def _end_with_parent() -> None:
    # A parent that is killed stops no pool, and its processes would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def batch_count(samples: int, batch: int) -> int:
    """Return how many batches hold so many samples."""
    return math.ceil(samples / batch)


def generators(seed: int, first: int, count: int) -> list[np.random.Generator]:
    """Return the random streams of samples `first`, ...: each has its own, whatever the batch."""
    return [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first + i,)))
        for i in range(count)
    ]
