"""The command line: `xmft`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from runner.cli import about, completion
from runner.cli import compact as compact_commands
from runner.cli import data as data_commands
from runner.cli import diff as diff_commands
from runner.cli import list as list_commands
from runner.cli import plots as plot_commands
from runner.cli import report as report_commands
from runner.cli import share as share_commands
from runner.cli import site as site_commands
from runner.cli.data_root import data_root
from runner.cli.list_command import ListCommand
from runner.cli.options import (
    Data,
    GridName,
    MethodFilter,
    Plugins,
    Results,
    SeedFilter,
    Settings,
    TaskFilter,
    checked_cell,
    chosen_grid,
    example,
    guarded,
)
from runner.console import complain, console, plain_streams, say
from xmft.cache import lend_home

if TYPE_CHECKING:
    from runner.ledger import Ledger
    from runner.run import RunSummary


class _Commands(TyperGroup):
    """All commands, on any machine: what they print, help and errors included, can be shown."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line."""
        plain_streams()
        lend_home()
        return super().main(*args, **kwargs)


app = typer.Typer(
    name="xmft",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands.app, name="data")
app.add_typer(list_commands.app, name="list")


@app.command(
    cls=ListCommand,
    epilog=example(
        "xmft run quick",
        "xmft run quick --data ~/pdebench --methods orca recraft --set epochs=20 seeds=[0,1,2]",
    ),
)
@guarded
def run(
    grid: GridName,
    results: Results = "results",
    data: Data = None,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    settings: Settings = [],
    plugin: Plugins = [],
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="processes that train one cell [the grid's resources, or 1]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU cores of each process [the grid's, or 1]")
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of each process [the grid's, or 1 if there are GPUs]"),
    ] = None,
    sharding: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="ddp or fsdp, for several workers [the grid's, or ddp]",
            autocompletion=completion.one_of("ddp", "fsdp"),
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="most CPU cores to use [all that this process may use]"
        ),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="most cells at a time [as many as fit]")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join (auto, ray://...) [this machine]")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="run cells again that failed before")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="stop at the first failure")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="run cells again that are done")] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="most time for one cell")
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="most time of a cell without progress"),
    ] = 1800.0,
    cluster_wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="most time to wait for a lost cluster"),
    ] = 600.0,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="keep the last checkpoint of done cells")
    ] = False,
    shared_results: Annotated[
        bool, typer.Option("--shared-results", help="the results folder is shared by all nodes")
    ] = False,
    log: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="where to log: tensorboard mlflow wandb, or a,b, or none",
            autocompletion=completion.one_of("tensorboard", "mlflow", "wandb", "none"),
        ),
    ] = ["tensorboard"],
    verbose: Annotated[bool, typer.Option("--verbose", help="show Ray's own output")] = False,
) -> int:
    """Run the cells of a grid that are not done yet; run it again to go on."""
    from runner.ledger import Ledger, LedgerError
    from runner.options import RunOptions
    from runner.resources import checked_sharding
    from runner.run import run_grid
    from runner.supervise import LostError
    from runner.terminations import Terminated

    chosen = chosen_grid(grid, settings, tasks, methods, seeds, plugin, results)
    ledger, root = Ledger(results), data_root(data)
    cell_id = checked_cell(grid, chosen, ledger, root)
    options = RunOptions(
        workers=workers,
        threads=threads,
        gpus_per_worker=gpus_per_worker,
        sharding=checked_sharding(sharding),
        cpus=cpus,
        max_concurrent=max_concurrent,
        address=address,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        force=force,
        keep_checkpoints=keep_checkpoints,
        shared_results=shared_results,
        timeout_s=timeout,
        stall_timeout_s=stall_timeout,
        cluster_wait_s=cluster_wait,
        verbose=verbose,
        log=tuple(log),
    )
    try:
        summary = run_grid(chosen, ledger, root, options)
    except KeyboardInterrupt:
        complain(
            "Interrupted. Finished cells are saved and the running ones have checkpoints; "
            "run the same command again to go on."
        )
        return 130
    except (LostError, LedgerError) as error:
        complain(str(error))
        return 1
    except Terminated as error:
        complain(
            f"Ended by {error}. Finished cells are saved and the running ones have checkpoints; "
            "run the same command again to go on."
        )
        return 143
    if cell_id is not None:
        _compare(summary, ledger, cell_id)
    return _conclude(summary, ledger.shown)


def _compare(summary: RunSummary, ledger: Ledger, cell_id: str) -> None:
    """Say whether a cell that was made again has the numbers that it had."""
    from runner.repeat import compared

    if any(outcome.status == "ok" for outcome in summary.outcomes):
        say(compared(ledger, cell_id))
    elif not summary.outcomes:
        say(f"Cell {cell_id} is done. Say --force to make it again.")


def _conclude(summary: RunSummary, results: str) -> int:
    for outcome in summary.outcomes:
        if outcome.status != "ok":
            last = (outcome.error or "").strip().splitlines()[-1:]
            complain(f"{outcome.failure}: cell {outcome.cell_id}: {''.join(last)}")
    if summary.outcomes:
        ok = sum(outcome.status == "ok" for outcome in summary.outcomes)
        say(
            f"{ok} of {len(summary.outcomes)} cells finished in {summary.wall_s:.0f} s; "
            f"overhead {summary.overhead_s:.2f} s per cell (wall time outside of aligning, "
            "fitting and scoring; Ray's start included)"
        )
        if summary.busy is not None and len(summary.outcomes) > 2 * summary.slots:
            say(f"{summary.busy:.0%} of the slots were busy while there were cells to start")
        resumed = sum(outcome.resumed_epochs > 0 for outcome in summary.outcomes)
        if resumed:
            say(f"{resumed} cells went on from their checkpoints")
    if summary.elsewhere:
        say(f"{summary.elsewhere} cells were finished by another run on the same results")
    if summary.failed:
        complain(
            f"{summary.failed} cells failed. See: xmft status --results {results}. "
            "Run again with --retry-failed when the cause is mended."
        )
        return 1
    say(f"Next: xmft leaderboard --results {results}")
    return 0


@app.command(cls=ListCommand, epilog=example("xmft plan quick", "xmft plan quick --set epochs=50"))
@guarded
def plan(
    grid: GridName,
    results: Results = "results",
    data: Data = None,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    settings: Settings = [],
    plugin: Plugins = [],
) -> None:
    """Show the cells of a grid, their state, missing data and expected time; run nothing."""
    from runner.ledger import Ledger
    from runner.plan import make_plan
    from runner.plan_table import plan_table

    chosen = chosen_grid(grid, settings, tasks, methods, seeds, plugin, results)
    ledger, root = Ledger(results), data_root(data)
    checked_cell(grid, chosen, ledger, root)
    planned = make_plan(chosen, ledger, root)
    for part in plan_table(planned):
        console.print(part, highlight=False)


report_commands.add_to(app)
plot_commands.add_to(app)
site_commands.add_to(app)
compact_commands.add_to(app)
diff_commands.add_to(app)
share_commands.add_to(app)
about.add_to(app)
