"""One worker of several, as its own process: python one_of_several.py RANK WORKERS FOLDER."""

from __future__ import annotations

import pickle
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from conftest import assemble_cell
from several import CELL, ask

from runner import sessions, stops, worker_session
from runner.sharding import whole
from runner.worker_session import WorkerSession
from xmft.errors import StoppedError
from xmft.source import stdlib_docs


def main(rank: int, workers: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=workers,
        # Also where many processes share few cores.
        timeout=timedelta(seconds=100),
    )
    how, jobs, passages = pickle.loads((folder / "jobs.pickle").read_bytes())
    # What is slow to start and beside the point: parsing the library's sources, and TensorBoard.
    stdlib_docs.stdlib_passages = lambda limit: passages
    sessions.EventLog = lambda *_: None
    worker_session._AGREE_EVERY_S = 0.0  # at each step
    for name, method, micro_batch, data, recipe in jobs:
        assembled = assemble_cell(folder / "cache", method, data, recipe)
        # Each job has a ledger of its own: none goes on from the checkpoint of another.
        (folder / f"results-{name}").mkdir(exist_ok=True)
        results = str(folder / f"results-{name}")
        session = WorkerSession(CELL, results, torch.device("cpu"), None, None, how=how)
        if name == "stopped" and rank == 1:
            # One of them alone is asked, behind its third step.
            ask(session, after=3)
        try:
            trained = assembled.fit(session, micro_batch=micro_batch)
        except StoppedError as error:
            torch.save({"said": str(error)}, folder / f"{name}-{rank}.pt")
            stops.clear()
            continue
        result = trained.result
        torch.save(
            {
                "model": whole(trained.model.state_dict(), keep=True),
                "divided": session.sharded,
                "resumed": result.resumed_epochs,
                "curves": [(p.split, p.name, p.epoch, p.value) for p in result.curves],
                "scores": [(s.split, s.selection, s.metric, s.value) for s in result.scores],
                "measurements": result.measurements,
                "flops": result.flops,
            },
            folder / f"{name}-{rank}.pt",
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
