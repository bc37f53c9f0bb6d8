"""Before anything runs: the plan of a grid, and its data made ready."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.config import Grid
from runner.console import complain, generating, say
from runner.footprints import gpu_peaks, own_gpu_bytes, shared
from runner.ledger import Ledger
from runner.options import RunOptions
from runner.planned import PlannedCell
from runner.plugins import Plugin, installed
from runner.resources import merged, wish
from xmft.cache import check_writable
from xmft.errors import DataError, RequestError


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What is to run, in plain values that need no torch.

    Attributes:
        cells: Ids of all cells of the grid, with their tasks.
        done: Ids of those that the ledger has.
        chosen: Those that are to run, longest expected first.
        wishes: What they need, see `runner.resources.wish`, by id.
        plugins: What every process imports first.
        data_root: Where the cells look for their data.
        told: What the ledger keeps of how the run was asked for, to make a cell again.
    """

    cells: dict[str, str]
    done: set[str]
    chosen: list[PlannedCell]
    wishes: dict[str, dict[str, Any]]
    plugins: tuple[Plugin, ...]
    data_root: str
    told: dict[str, Any]


def prepare(
    grid: Grid,
    results: str,
    data_root: Path,
    options: RunOptions,
    tried: Collection[str] = frozenset(),
) -> Ready:
    """Plan a grid, say so, and generate what has to be generated.

    Args:
        grid: What to run.
        results: Path or URI of the ledger.
        data_root: Folder with the data.
        options: How to run.
        tried: Ids of cells that this run has had already: of a search, that goes round by round.

    Raises:
        RequestError: the request is wrong.
    """
    # Imported here: this needs torch, and the process that only drives a run does not.
    from runner.plan import data_root_of, make_plan, remarks_of, to_run

    ledger = Ledger(results)
    planned = make_plan(grid, ledger, data_root)
    wishes = _wishes(planned, ledger, options)
    _check_workers(planned, wishes)
    ledger.prepare()
    check_writable()
    chosen = to_run(planned, retry_failed=options.retry_failed, force=options.force)
    chosen = [item for item in chosen if item.cell.id not in tried]
    done = {item.cell.id for item in planned if item.state == "done"}
    skipped = 0 if options.force and not tried else len(done)
    failed = len(planned) - skipped - len(chosen)
    say(
        f"{len(planned)} cells: {skipped} done before, {len(chosen)} to run"
        f"{f', {failed} failed before' if failed else ''}. Results: {ledger.shown}"
    )
    for remark in remarks_of(planned):
        say(remark)
    if options.force:
        for item in chosen:
            ledger.drop_checkpoint(item.cell.id)
    for item in planned:
        if item.spent and item.state == "done" and not options.keep_checkpoints:
            ledger.drop_checkpoint(item.cell.id)
    return Ready(
        cells={item.cell.id: item.cell.task for item in planned},
        done=done,
        chosen=[replace(item, source=None) for item in _make_data_ready(chosen, told=bool(tried))],
        wishes={item.cell.id: wishes[item.cell.id] for item in chosen},
        plugins=tuple(installed(grid.plugins)),
        data_root=str(data_root_of(grid, data_root) if chosen else data_root),
        told={"data": str(data_root), "miniature": grid.miniature, "plugins": grid.plugins},
    )


def _wishes(
    planned: list[PlannedCell], ledger: Ledger, options: RunOptions
) -> dict[str, dict[str, Any]]:
    # A cluster's GPUs are not seen from here: there, grids say what shares one.
    gpu_bytes = own_gpu_bytes() if options.address is None else None
    peaks = gpu_peaks(ledger) if gpu_bytes else {}
    wishes = {}
    for item in planned:
        said = merged(item.resources, options.resources)
        shared(said, (item.cell.task, item.cell.backbone), peaks, gpu_bytes)
        wishes[item.cell.id] = wish(said)
    return wishes


def _check_workers(planned: list[PlannedCell], wishes: Mapping[str, dict[str, Any]]) -> None:
    """Refuse batches that cannot be shared evenly."""
    for item in planned:
        cell, workers = item.cell, wishes[item.cell.id]["workers"]
        sizes = {
            "batch_size": cell.recipe.get("batch_size", workers),
            f"{cell.method}.alignment_batch": cell.method_config.get("alignment_batch", workers),
        }
        for name, size in sizes.items():
            if size % workers:
                raise RequestError(
                    f"The global batch of {size} samples ({name}, {cell.task}) does not divide "
                    f"among {workers} workers. Choose --workers or {name} accordingly."
                )


def _make_data_ready(chosen: list[PlannedCell], *, told: bool = False) -> list[PlannedCell]:
    """Generate what has to be generated, once and before any worker asks for it.

    Where that fails, the cells of the task get the reason as their problem. Where an earlier round
    has told of the data, it is not told again.
    """
    seen: set[str] = set()
    problems: dict[str, str] = {}
    for item in chosen:
        source, name = item.source, item.cell.task
        if source is None or source.fingerprint in seen:
            continue
        seen.add(source.fingerprint)
        if not told:
            say(f"{name}: {source.note}")
        for line in source.warnings if not told else ():
            complain(f"{name}: {line}")
        if not source.ready:
            try:
                from benchmarks.data import make_ready

                with generating(name) as progress:
                    make_ready(source, progress=progress)
            except DataError as error:
                problems[source.fingerprint] = str(error)
    return [
        replace(item, problem=problems[item.source.fingerprint])
        if item.source and item.source.fingerprint in problems
        else item
        for item in chosen
    ]
