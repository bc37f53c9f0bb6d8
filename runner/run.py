"""The main job: plan a grid, run what is left, say how it went."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from runner.compaction import AT_LEAST, compact
from runner.config import Grid
from runner.console import complain, console, say
from runner.feed import Feed, Job
from runner.ledger import Ledger
from runner.loggers import choice
from runner.loggers.scribe import Scribe, scribe
from runner.options import RunOptions
from runner.outcome import Outcome, Report
from runner.prepare import Ready
from runner.progress import ProgressDisplay
from runner.request import Request
from runner.results import RESULT_COLUMNS
from runner.rounds import Rounds
from runner.supervise import supervise
from runner.terminations import terminations
from xmft.errors import XmftError


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
        elsewhere: Cells that another run on the same results finished meanwhile.
    """

    planned: int
    skipped: int
    outcomes: tuple[Outcome, ...]
    failed_before: int
    overhead_s: float | None
    wall_s: float
    busy: float | None = None
    slots: int = 1
    elsewhere: int = 0

    @property
    def failed(self) -> int:
        """Cells of the grid without a result, whenever they failed."""
        return self.failed_before + sum(outcome.status != "ok" for outcome in self.outcomes)


def run_grid(grid: Grid, ledger: Ledger, data_root: Path, options: RunOptions) -> RunSummary:
    """Run the cells of a grid that the ledger does not have yet.

    Raises:
        RequestError: the request is wrong; nothing ran.
        LostError, LedgerError: Ray or the results were lost for good; what was finished is saved.
        Terminated, KeyboardInterrupt: asked to end; running cells keep a checkpoint.
    """
    options = replace(options, log=choice.chosen(options.log, ledger))
    with terminations():
        rounds = Rounds(grid, ledger, data_root, options)
    ready = rounds.ready
    skipped = len(ready.done) if not options.force else 0
    summary = {
        "skipped": skipped,
        "failed_before": len(ready.cells) - skipped - len(ready.chosen),
    }
    if not ready.chosen:
        cells = len(ready.cells)
        with scribe(ledger, options.log) as log:
            _tell_others(rounds, log)
        return RunSummary(**summary, planned=cells, outcomes=(), overhead_s=None, wall_s=0.0)
    start = time.perf_counter()
    with scribe(ledger, options.log) as log:
        _tell_others(rounds, log)
        report = _fan_out(rounds, ledger, options, log)
        wall_s = time.perf_counter() - start
        outcomes = list(report.outcomes.values())
        # Before the logs are waited for, which somebody may end.
        _compact(ledger)
        _draw(rounds.ready, outcomes, ledger)
    busy_s = sum(outcome.busy_s for outcome in outcomes) / max(report.slots, 1)
    return RunSummary(
        **summary,
        planned=len(rounds.ready.cells),
        outcomes=tuple(outcomes),
        overhead_s=(wall_s - busy_s) / max(len(outcomes), 1),
        wall_s=wall_s,
        busy=report.busy,
        slots=max(report.slots, 1),
        elsewhere=report.elsewhere,
    )


def _tell_others(rounds: Rounds, log: Scribe) -> None:
    """Tell loggers of the cells that are not run, be it that these failed: they may lack them."""
    chosen = {item.cell.id for item in rounds.ready.chosen}
    log.tell(sorted(rounds.ready.cells.keys() - chosen), new=False)


def _fan_out(rounds: Rounds, ledger: Ledger, options: RunOptions, log: Scribe) -> Report:
    runs = set[str]()
    plan_further = rounds.further

    def further() -> list[tuple[int, Job]]:
        assert plan_further is not None
        jobs = plan_further()
        _tell_others(rounds, log)
        return jobs

    def request(run: str, folder: str) -> Request:
        runs.add(run)
        return Request(
            run=run,
            results=ledger.uri,
            sizes=rounds.sizes,
            plugins=rounds.ready.plugins,
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

    try:
        return supervise(
            request,
            Feed(
                ledger,
                rounds.jobs(),
                redo=options.force,
                further=None if plan_further is None else further,
                finished=lambda cell_id: log.tell([cell_id]),
            ),
            lambda slots: ProgressDisplay(console, rounds.ready.chosen, slots),
            address=options.address,
            cluster_wait_s=options.cluster_wait_s,
        )
    finally:
        # Of those that died: on several nodes it lies beside the results.
        for run in runs if options.address is not None else ():
            with contextlib.suppress(OSError):
                ledger.drop_scratch(run)


def _compact(ledger: Ledger) -> None:
    """Gather finished attempts into one file, where there are many."""
    try:
        compact(ledger, at_least=AT_LEAST)
    except (OSError, XmftError) as error:  # the results are safe as they are
        complain(f"The results were not compacted ({ledger.storage.told(error)}).")


def _draw(ready: Ready, outcomes: list[Outcome], ledger: Ledger) -> None:
    """Draw the tasks that have new results, with the grid's methods alone."""
    new = {outcome.cell_id for outcome in outcomes if outcome.status == "ok"}
    tasks = {task for cell_id, task in ready.cells.items() if cell_id in new}
    if not tasks:
        return
    cells = {cell_id for cell_id, task in ready.cells.items() if task in tasks}
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
