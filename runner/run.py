"""The main job: plan a grid, run what is left, say how it went."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.data import make_ready
from runner.config import Grid
from runner.console import complain, console, generating, say
from runner.ledger import Ledger
from runner.needs import Sharding
from runner.outcome import Outcome
from runner.plan import data_root_of, make_plan, remarks_of, to_run
from runner.planned import PlannedCell
from runner.plugins import Plugin, installed
from runner.progress import ProgressDisplay
from runner.request import Request
from runner.resources import merged, wish
from runner.results import RESULT_COLUMNS
from runner.supervise import Report, supervise
from xmft.cache import check_writable
from xmft.errors import DataError, RequestError


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, as opposed to what: nothing here is part of a cell id.

    Attributes:
        workers: Processes that train one cell; None: what the grid says of its resources, or one.
        threads: CPU cores of each of them; None likewise.
        gpus_per_worker: GPUs of each of them; None likewise, or one where there are GPUs.
        sharding: How several workers share the model; None likewise, or `ddp`.
        cpus: Most CPU cores to use; None: all that the system grants.
        max_concurrent: Most cells at a time; None: as many as fit.
        address: Ray cluster to join; None: this machine.
    """

    workers: int | None = None
    threads: int | None = None
    gpus_per_worker: float | None = None
    sharding: Sharding | None = None
    cpus: int | None = None
    max_concurrent: int | None = None
    address: str | None = None
    retry_failed: bool = False
    fail_fast: bool = False
    force: bool = False
    keep_checkpoints: bool = False
    shared_results: bool = False
    timeout_s: float | None = None
    stall_timeout_s: float | None = 1800.0
    cluster_wait_s: float = 600.0
    max_infra_retries: int = 2
    verbose: bool = False

    @property
    def resources(self) -> dict[str, Any]:
        """What is said of the resources of all cells, fields of `Resources`."""
        return {
            "workers": self.workers,
            "cpus": self.threads,
            "gpus": self.gpus_per_worker,
            "sharding": self.sharding,
        }


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run went.

    Attributes:
        planned: Cells of the grid.
        skipped: Cells that were done before.
        outcomes: What became of the others.
        failed_before: Cells that failed earlier and were not run again.
        overhead_s: Wall time outside of fits per cell; None if nothing ran.
        wall_s: Wall time from starting Ray to the last cell.
        busy: Share of the resources in use while there was anything left to start.
        slots: Most cells that ran at once.
    """

    planned: int
    skipped: int
    outcomes: tuple[Outcome, ...]
    failed_before: int
    overhead_s: float | None
    wall_s: float
    busy: float | None = None
    slots: int = 1

    @property
    def failed(self) -> int:
        """Cells of the grid without a result, whenever they failed."""
        return self.failed_before + sum(outcome.status != "ok" for outcome in self.outcomes)


def run_grid(grid: Grid, ledger: Ledger, data_root: Path, options: RunOptions) -> RunSummary:
    """Run the cells of a grid that the ledger does not have yet.

    Raises:
        RequestError: the request is wrong; nothing ran.
    """
    planned = make_plan(grid, ledger, data_root)
    wishes = {item.cell.id: wish(merged(item.resources, options.resources)) for item in planned}
    _check_workers(planned, wishes)
    ledger.prepare()
    check_writable()
    chosen = to_run(planned, retry_failed=options.retry_failed, force=options.force)
    skipped = sum(item.state == "done" for item in planned) if not options.force else 0
    summary = {
        "planned": len(planned),
        "skipped": skipped,
        "failed_before": len(planned) - skipped - len(chosen),
    }
    failed = f", {summary['failed_before']} failed before" if summary["failed_before"] else ""
    say(
        f"{len(planned)} cells: {skipped} done before, {len(chosen)} to run{failed}. "
        f"Results: {ledger.shown}"
    )
    for remark in remarks_of(planned):
        say(remark)
    if not chosen:
        return RunSummary(**summary, outcomes=(), overhead_s=None, wall_s=0.0)
    chosen = _make_data_ready(chosen)
    if options.force:
        for item in chosen:
            ledger.drop_checkpoint(item.cell.id)
    start = time.perf_counter()
    plugins = installed(grid.plugins)
    root = data_root_of(grid, data_root)
    told = {"data": str(data_root), "miniature": grid.miniature, "plugins": grid.plugins}
    report = _fan_out(chosen, wishes, ledger, root, options, plugins, told)
    outcomes = list(report.outcomes.values())
    wall_s = time.perf_counter() - start
    _draw(planned, outcomes, ledger)
    busy_s = sum(outcome.busy_s for outcome in outcomes) / max(report.slots, 1)
    return RunSummary(
        **summary,
        outcomes=tuple(outcomes),
        overhead_s=(wall_s - busy_s) / len(chosen),
        wall_s=wall_s,
        busy=report.busy,
        slots=max(report.slots, 1),
    )


def _fan_out(
    chosen: list[PlannedCell],
    wishes: Mapping[str, dict[str, Any]],
    ledger: Ledger,
    data_root: Path,
    options: RunOptions,
    plugins: Sequence[Plugin],
    told: Mapping[str, Any],
) -> Report:
    jobs = [
        (
            wishes[item.cell.id],
            {
                "cell_id": item.cell.id,
                "job": {
                    "config_json": item.cell.config_json,
                    "data_root": str(data_root),
                    "results": ledger.uri,
                    "backbone": item.backbone,
                    "problem": item.problem,
                    "workers": wishes[item.cell.id]["workers"],
                    "sharding": wishes[item.cell.id]["sharding"],
                    "invocation": {
                        **told,
                        "backbone": item.backbone,
                        "workers": wishes[item.cell.id]["workers"],
                        "threads": wishes[item.cell.id]["cpus"],
                        "sharding": wishes[item.cell.id]["sharding"],
                    },
                    "timeout_s": options.timeout_s,
                    "keep_checkpoints": options.keep_checkpoints,
                },
            },
        )
        for item in chosen
    ]

    def request(run: str, folder: str, left: set[str]) -> Request:
        return Request(
            run=run,
            results=ledger.uri,
            jobs=[job for job in jobs if job[1]["cell_id"] in left],
            plugins=pickle.dumps(tuple(plugins)),
            folder=folder,
            address=options.address,
            cpus=options.cpus,
            most=options.max_concurrent,
            shared_results=options.shared_results,
            verbose=options.verbose,
            max_infra_retries=options.max_infra_retries,
            fail_fast=options.fail_fast,
            stall_s=options.stall_timeout_s,
        )

    return supervise(
        request,
        {item.cell.id for item in chosen},
        lambda slots: ProgressDisplay(console, chosen, slots),
        address=options.address,
        cluster_wait_s=options.cluster_wait_s,
    )


def _draw(planned: list[PlannedCell], outcomes: list[Outcome], ledger: Ledger) -> None:
    """Draw the tasks that have new results, with the grid's methods alone."""
    new = {outcome.cell_id for outcome in outcomes if outcome.status == "ok"}
    tasks = {item.cell.task for item in planned if item.cell.id in new}
    if not tasks:
        return
    cells = {item.cell.id for item in planned if item.cell.task in tasks}
    try:
        # Imported here: so that a drawing library that does not load stops nothing either.
        from runner.report.figures import pictures, write_figures

        folder, table = ledger.storage.within("figures"), ledger.rows(RESULT_COLUMNS)
        with console.status("drawing"):
            written = write_figures(pictures(table, ledger.examples, only=cells), folder)
    except Exception as error:  # the results are safe, and `xmft figures` draws them again
        complain(f"The figures could not be drawn ({type(error).__name__}: {error}).")
        return
    if written:
        say(f"{len(written)} figure(s) of predictions in {folder.shown}")


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


def _make_data_ready(chosen: list[PlannedCell]) -> list[PlannedCell]:
    """Generate what has to be generated, once and before any worker asks for it.

    Where that fails, the cells of the task get the reason as their problem.
    """
    seen: set[str] = set()
    problems: dict[str, str] = {}
    for item in chosen:
        source, name = item.source, item.cell.task
        if source is None or source.fingerprint in seen:
            continue
        seen.add(source.fingerprint)
        say(f"{name}: {source.note}")
        for line in source.warnings:
            complain(f"{name}: {line}")
        if not source.ready:
            try:
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
