"""The conductor: a process of its own that starts Ray or joins it, and runs the cells there.

The process that a person started has no Ray in it: what dies with Ray, or hangs with it, is this
one, and it is started again (`runner.supervise`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runner import cluster, tune  # sets Ray's environment before Ray is imported

# isort: split
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from runner.board import Board
from runner.ledger import Ledger
from runner.needs import Needs
from runner.outcome import Outcome
from runner.request import Request
from xmft.cores import Cores
from xmft.errors import RequestError, XmftError

_LOOK_S = 0.25
_NODES_EVERY_S = 3.0
# How often an autoscaler is told what could be used, and how many cells of a size at most.
_ASK_EVERY_S, _MOST_ASKED = 10.0, 64


@dataclass
class _Account:
    """What the conductor knows of its cells."""

    sizes: list[Needs]
    jobs: dict[str, tuple[Needs, dict[str, Any]]] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)
    started: dict[str, float] = field(default_factory=dict)


class _Watcher(threading.Thread):
    """Looks at desk, nodes and Ray's processes, and tells the driver."""

    def __init__(
        self, request: Request, line: Connection, board: Board, account: _Account, cores: Cores
    ) -> None:
        super().__init__(daemon=True)
        self._request, self._line, self._board = request, line, board
        self._account, self._cores = account, cores
        self._ledger = Ledger(request.results)
        self._ending: set[tuple[str, int]] = set()
        self._stopping = self._over = False
        self.finished = threading.Event()

    def run(self) -> None:
        try:
            self._watch()
        except (ray.exceptions.RayError, OSError, EOFError) as error:
            self._break(f"Ray does not answer ({type(error).__name__})")
        except Exception as error:  # without this thread nothing would go on
            self._break(f"{type(error).__name__}: {error}")

    def _watch(self) -> None:
        looked, asked = time.monotonic(), 0.0
        while not self.finished.is_set():
            self._hear()
            self._check_processes()
            if time.monotonic() - looked > _NODES_EVERY_S:
                looked = time.monotonic()
                self._board.set_nodes(cluster.alive_nodes(self._cores))
            news = self._board.news()
            if self._request.address is not None and time.monotonic() - asked > _ASK_EVERY_S:
                asked = time.monotonic()
                cluster.ask_for({n: min(c, _MOST_ASKED) for n, c in news.wanted.items()})
            for event in news.events:
                self._handle(event)
            for place in news.silent:
                self._end_frozen(*place)
            self._line.send(
                ("news", news.notes, news.running, news.slots, news.busy, list(map(str, news.idle)))
            )
            if self._over or (self._stopping and not news.running):
                self._board.finish()
                if self._request.address is not None:
                    cluster.ask_for({})
                self._line.send(("end",))
                return
            time.sleep(_LOOK_S)

    def _hear(self) -> None:
        """Do what the driver says; without a driver there is nothing left to do."""
        while self._line.poll():
            kind, *facts = self._line.recv()
            if kind == "stop":
                self._stop()
            elif kind == "over":
                self._over = True
            elif kind == "sizes":
                try:
                    self._account.sizes = _sizes(self._request, facts[0], self._cores, self._line)
                except RequestError as error:
                    self._end("refused", str(error))
            elif kind == "cells":
                number, jobs = facts
                needs = self._account.sizes[number]
                self._account.jobs |= {job["cell_id"]: (needs, job) for job in jobs}
                self._board.bring(needs, jobs)
            elif kind == "to come":
                counts: Counter[Needs] = Counter()
                for number, count in facts[0].items():
                    counts[self._account.sizes[number]] += count
                self._board.announce(counts, more=facts[1])

    def _stop(self) -> None:
        self._stopping = True
        self._board.stop()

    def _check_processes(self) -> None:
        """Look at what Ray runs for this process: it does not notice itself that these died."""
        node = ray._private.worker._global_node
        for name, processes in (node.all_processes if node else {}).items():
            for process in processes:
                if name in ("raylet", "gcs_server") and process.process.poll() is not None:
                    self._break(f"Ray's {name} died (exit code {process.process.returncode})")

    def _break(self, why: str) -> None:
        if not self.finished.is_set():
            self._end("broken", why)

    def _end(self, kind: str, why: str) -> None:
        with contextlib.suppress(OSError):
            self._line.send((kind, why))
        os._exit(3)

    def _handle(self, event: tuple[Any, ...]) -> None:
        kind, *facts = event
        if kind == "taken":
            cell_id, started = facts
            self._account.started[cell_id] = started
            self._line.send(("taken", cell_id))
            return
        if kind == "lost" and self._stopping:
            return  # it ended before its cell had anything to keep
        outcome = facts[0] if kind == "done" else self._lost(*facts)
        cell_id = outcome["cell_id"]
        if outcome["status"] == "stopped":
            if not self._stopping:  # its process alone was asked, by a node that leaves
                self._again(outcome)
            return
        if outcome["failure"] == "infra" and not self._request.fail_fast:
            self._account.losses[cell_id] += 1
            if self._account.losses[cell_id] <= self._request.max_infra_retries:
                self._again(outcome)
                return
        self._line.send(("done", outcome))
        if outcome["status"] != "ok" and self._request.fail_fast:
            self._stop()

    def _again(self, outcome: dict[str, Any]) -> None:
        """Have a cell go on from its checkpoint, after the others."""
        self._line.send(("again", outcome))
        needs, job = self._account.jobs[outcome["cell_id"]]
        self._board.bring(needs, [job])

    def _lost(self, cell_id: str, reason: str, failure: str) -> dict[str, Any]:
        """Write the row that a process which died could not write."""
        from runner.job import CellJob
        from runner.record import failed_attempt

        started = self._account.started.get(cell_id, time.time())
        outcome = Outcome(
            cell_id=cell_id,
            status="failed",
            failure=failure,
            error=reason,
            busy_s=0.0,
            wall_s=time.time() - started,
            resumed_epochs=0,
        )
        job = CellJob(**self._account.jobs[cell_id][1]["job"])
        attempt = failed_attempt(job, outcome, datetime.fromtimestamp(started, UTC))
        try:
            self._ledger.write_attempt(attempt)
        except (OSError, XmftError) as error:
            self._line.send(("complaint", f"A lost attempt could not be written down ({error})."))
        return vars(outcome)

    def _end_frozen(self, node: str, pid: int) -> None:
        """End a slot that has not been heard of: it holds a cell, and does not go on."""
        if (node, pid) in self._ending:
            return
        self._ending.add((node, pid))
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(pid)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _conduct(request: Request, line: Connection) -> None:
    ledger, folder = Ledger(request.results), Path(request.folder)
    with cluster.connected(
        request.address, cpus=request.cpus, verbose=request.verbose, folder=folder
    ) as cores:
        # Ray has put handlers of its own in their place.
        _mute_signals()
        cluster.check_storage(ledger, request.address, shared=request.shared_results)
        sizes = _sizes(request, request.sizes, cores, line)
        nodes = cluster.alive_nodes(cores)
        board = Board.open(request.run, nodes, most=request.most)
        watcher = _Watcher(request, line, board, _Account(sizes), cores)
        watcher.start()
        try:
            with cluster.scratch_folder(ledger, folder, request.run) as storage:
                common = {
                    "plugins": request.plugins,
                    "storage": storage,
                    "stall_s": request.stall_s,
                }
                tune.fan_out(board, storage, common)
                watcher.join(timeout=10)
        finally:
            # What is wrong here is the reason; the watcher would only see that Ray has gone.
            watcher.finished.set()


def _sizes(
    request: Request, wishes: Sequence[dict[str, Any]], cores: Cores, line: Connection
) -> list[Needs]:
    """Make of wishes what cells need here, and tell the driver how many of each fit at once.

    Raises:
        RequestError: one is too large for this machine.
    """
    nodes = cluster.alive_nodes(cores)
    gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0
    sizes = [
        Needs(**{**wish, "gpus": gpus if wish["gpus"] is None else wish["gpus"]}) for wish in wishes
    ]
    for needs in sizes if request.address is None else ():
        # A cluster may have room later.
        cluster.check_fits(needs, nodes, cores)
    at_once = [cluster.how_many(nodes, needs) for needs in sizes]
    line.send(("ready", str(cores), list(map(str, sizes)), at_once))
    return sizes


def _mute_signals() -> None:
    # The driver is told what to do, and tells it on.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Take a request from the open file that the command line numbers, and carry it out."""
    line = Connection(int(sys.argv[1]))
    _mute_signals()
    request: Request = line.recv()
    try:
        _conduct(request, line)
    except RequestError as error:
        line.send(("refused", str(error)))
    except Exception as error:  # of Ray, of many classes; the driver starts again
        line.send(("broken", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"))
    # Nothing that Ray leaves behind may keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
