"""The command line: `xmft`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xmft.errors import DataError, RequestError

app = typer.Typer(
    name="xmft",
    help="Cross-modal fine-tuning benchmarks: data, grids of cells on Ray, ranked tables.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(
    help="Look at, fetch, generate and check the data of tasks.", no_args_is_help=True
)
list_app = typer.Typer(help="What there is to choose from.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(list_app, name="list")

console = Console()
errors = Console(stderr=True)

GridName = Annotated[str, typer.Argument(metavar="GRID", help="a shipped grid or a YAML file")]
Tasks = Annotated[list[str], typer.Argument(metavar="TASKS...", help="names; * and ? match")]
Results = Annotated[str, typer.Option("--results", metavar="DIR", help="folder or URI of results")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="data root [$XMFT_DATA or ~/.cache/xmft]"),
]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="change the grid; repeatable")
]
TaskFilter = Annotated[
    list[str], typer.Option("--tasks", metavar="GLOB", help="only these; repeatable, or a,b")
]
MethodFilter = Annotated[
    list[str], typer.Option("--methods", metavar="GLOB", help="only these; repeatable, or a,b")
]
SeedFilter = Annotated[
    list[str], typer.Option("--seeds", metavar="N", help="these seeds; repeatable, or 0,1,2")
]


def _example(*lines: str) -> str:
    return "**Example**\n\n" + "\n\n".join(f"`{line}`" for line in lines)


def _guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors made for people into one sentence and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except (RequestError, DataError) as error:
            errors.print(
                f"xmft: {error}", style="red", highlight=False, soft_wrap=True, markup=False
            )
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `xmft ... | head`
            sys.stderr.close()
            raise typer.Exit(0) from None
        raise typer.Exit(code or 0)

    return run


def _data_root(data: Path | None) -> Path:
    from benchmarks import catalog

    root = catalog.default_data_root() if data is None else data.expanduser()
    if data is not None and not root.is_dir():
        raise RequestError(f"The data root {root} given with --data is not a folder.")
    return root.absolute()


def _grid(
    name: str, settings: list[str], tasks: list[str], methods: list[str], seeds: list[str]
) -> Any:
    from runner.config import load_grid, select

    grid = load_grid(name, settings)
    changes: dict[str, Any] = {
        "tasks": select(grid.tasks, tasks, kind="task"),
        "methods": select(grid.methods, methods, kind="method"),
    }
    if seeds:
        try:
            changes["seeds"] = [int(s) for part in seeds for s in part.split(",") if s]
        except ValueError:
            raise RequestError(f"--seeds takes whole numbers, found '{' '.join(seeds)}'.") from None
    return grid.model_copy(update=changes)


@app.command(
    epilog=_example(
        "xmft run quick",
        "xmft run quick --data ~/pdebench --methods orca,recraft --set epochs=20",
    )
)
@_guarded
def run(
    grid: GridName,
    results: Results = "results",
    data: Data = None,
    tasks: TaskFilter = [],  # noqa: B006 - typer copies defaults
    methods: MethodFilter = [],  # noqa: B006
    seeds: SeedFilter = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    workers: Annotated[int, typer.Option(min=1, help="processes that train one cell")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU cores of each process")] = 1,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="GPUs of each process [1 if there are GPUs]")
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
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="keep the last checkpoint of done cells")
    ] = False,
    shared_results: Annotated[
        bool, typer.Option("--shared-results", help="the results folder is shared by all nodes")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="show Ray's own output")] = False,
) -> int:
    """Run the cells of a grid that are not done yet; run it again to go on."""
    from runner.ledger import Ledger
    from runner.run import RunOptions, run_grid

    chosen = _grid(grid, settings, tasks, methods, seeds)
    ledger = Ledger(results)
    options = RunOptions(
        workers=workers,
        threads=threads,
        gpus_per_worker=gpus_per_worker,
        address=address,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        force=force,
        keep_checkpoints=keep_checkpoints,
        shared_results=shared_results,
        timeout_s=timeout,
        verbose=verbose,
    )
    try:
        summary = run_grid(chosen, ledger, _data_root(data), options, console)
    except KeyboardInterrupt:
        errors.print(
            "\nInterrupted. Finished cells are saved and the running ones have checkpoints; "
            "run the same command again to go on.",
            highlight=False,
        )
        return 130
    return _conclude(summary, ledger.uri)


def _conclude(summary: Any, results: str) -> int:
    for outcome in summary.outcomes:
        if outcome.status != "ok":
            last = (outcome.error or "").strip().splitlines()[-1:]
            errors.print(
                f"{outcome.failure}: cell {outcome.cell_id}: {''.join(last)}",
                style="red",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
    if summary.outcomes:
        ok = sum(outcome.status == "ok" for outcome in summary.outcomes)
        console.print(
            f"{ok} of {len(summary.outcomes)} cells finished in {summary.wall_s:.0f} s; "
            f"overhead {summary.overhead_s:.2f} s per cell (wall time outside of training, "
            "Ray's start included)",
            highlight=False,
        )
    if summary.failed:
        errors.print(
            f"{summary.failed} cells failed. See xmft status --results {results}; "
            "run again with --retry-failed when the cause is mended.",
            highlight=False,
            soft_wrap=True,
        )
        return 1
    console.print(f"Next: xmft leaderboard --results {results}", highlight=False, soft_wrap=True)
    return 0


@app.command(epilog=_example("xmft plan quick", "xmft plan quick --set epochs=50"))
@_guarded
def plan(
    grid: GridName,
    results: Results = "results",
    data: Data = None,
    tasks: TaskFilter = [],  # noqa: B006
    methods: MethodFilter = [],  # noqa: B006
    seeds: SeedFilter = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show the cells of a grid, their state, missing data and expected time; run nothing."""
    from runner.ledger import Ledger
    from runner.plan import make_plan
    from runner.plan_table import plan_table

    chosen = _grid(grid, settings, tasks, methods, seeds)
    planned = make_plan(chosen, Ledger(results), _data_root(data))
    for part in plan_table(planned):
        console.print(part, highlight=False)


@app.command(epilog=_example("xmft status", "xmft status --results s3://bucket/results"))
@_guarded
def status(results: Results = "results") -> None:
    """Count the cells of the ledger by task and outcome, and name the failed ones."""
    from runner.ledger import Ledger
    from runner.report.status import status_table

    console.print(status_table(Ledger(results).read()))


@app.command(epilog=_example("xmft show 3f2a", "xmft show 3f2a91c0d4e5b677 --results results"))
@_guarded
def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="cell id, or how it begins")],
    results: Results = "results",
) -> None:
    """Show everything about one cell: scores, configuration, provenance, failure."""
    from runner.ledger import Ledger
    from runner.report.status import show_cell

    ledger = Ledger(results)
    cell_id = ledger.find(cell)
    console.print(show_cell(ledger.read(), ledger.curves(cell_id), cell_id))


@app.command(epilog=_example("xmft export --to results.parquet", "xmft export --to results.csv"))
@_guarded
def export(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="*.parquet or *.csv")],
    results: Results = "results",
) -> None:
    """Write all rows of the ledger to one Parquet or CSV file."""
    from runner.ledger import Ledger
    from runner.report.rows import export_rows

    table = Ledger(results).read()
    export_rows(table, to)
    console.print(f"{table.num_rows} rows written to {to}", highlight=False, soft_wrap=True)


@app.command(
    epilog=_example(
        "xmft leaderboard", "xmft leaderboard --format md --published --out leaderboard.md"
    )
)
@_guarded
def leaderboard(
    results: Results = "results",
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, md, csv or arrow")
    ] = "table",
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="file [standard output]")] = None,
    protocol: Annotated[str, typer.Option(help="clean or released")] = "clean",
    selection: Annotated[str, typer.Option(help="best_val or last")] = "best_val",
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="published numbers underneath")
    ] = False,
) -> None:
    """Rank the methods of the ledger: mean and std over seeds, rank per task, average rank."""
    from runner.ledger import Ledger
    from runner.report import build, to_csv, to_markdown, to_terminal, write
    from runner.report.export import FORMATS
    from xmft.registry import nearest

    if format_ not in FORMATS:
        raise RequestError(f"Unknown format '{format_}'. {nearest(format_, FORMATS)}")
    ledger = Ledger(results)
    boards = build(ledger.read(), protocol=protocol, selection=selection)
    if format_ == "table" and out is None:
        console.print(to_terminal(boards, published=published))
        return
    if out is None and ledger.local_root is not None:
        out = ledger.local_root / f"leaderboard.{format_}"
    elif out is None:
        raise RequestError("Results are not on this machine: name a file with --out.")
    write(boards, out, format=format_, ledger=ledger.uri, published=published)
    if format_ == "md":
        typer.echo(to_markdown(boards, ledger=ledger.uri, published=published))
    elif format_ == "csv":
        typer.echo(to_csv(boards, published=published), nl=False)
    errors.print(f"written to {out}", highlight=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


@list_app.command("tasks", epilog=_example("xmft list tasks"))
@_guarded
def list_tasks() -> None:
    """List the tasks and their variants."""
    from benchmarks import catalog

    table = _table("task", "kind", "metric", "generated if missing", "variants")
    for name in catalog.names():
        entry = catalog.get(name)
        variants = ", ".join(v.partition(":")[2] for v in catalog.variants(name))
        table.add_row(
            name,
            entry.task.kind,
            entry.task.metrics[0],
            "yes" if entry.generatable else "no",
            variants,
        )
    console.print(table)


@list_app.command("methods", epilog=_example("xmft list methods"))
@_guarded
def list_methods() -> None:
    """List the methods and their options."""
    from xmft.methods import methods

    table = _table("method", "what it does", "options and defaults")
    for name, method in methods.items():
        options = method.Config().model_dump()
        table.add_row(name, method.title, ", ".join(f"{k}={v}" for k, v in options.items()))
    console.print(table)


@list_app.command("backbones", epilog=_example("xmft list backbones"))
@_guarded
def list_backbones() -> None:
    """List the backbones that have names."""
    from xmft.backbones import NAMED

    table = _table("backbone", "what it is")
    for name, what in NAMED.items():
        table.add_row(name, what)
    table.add_row("(hub id or folder)", "any sequence encoder that takes inputs_embeds")
    console.print(table)


@list_app.command("grids", epilog=_example("xmft list grids"))
@_guarded
def list_grids() -> None:
    """List the grids that come with the package."""
    from runner.config import load_grid, shipped_grids

    table = _table("grid", "cells", "what it is")
    for name in shipped_grids():
        grid = load_grid(name)
        cells = len(grid.tasks) * len(grid.methods) * len(grid.seeds)
        table.add_row(name, str(cells), grid.description)
    console.print(table)


def _named_tasks(patterns: list[str]) -> list[str]:
    """Expand patterns over base names; a full name or variant stands for itself."""
    from benchmarks import catalog
    from runner.config import select

    found: list[str] = []
    for pattern in patterns:
        if any(c in pattern for c in "*?["):
            found += select(catalog.names(), [pattern], kind="task")
        else:
            catalog.get(pattern)
            found.append(pattern)
    return found


@data_app.command("status", epilog=_example("xmft data status --data ~/pdebench"))
@_guarded
def data_status(
    tasks: Annotated[list[str], typer.Argument(metavar="[TASKS...]")] = [],  # noqa: B006
    data: Data = None,
) -> None:
    """Say for each task where its data are, or what is missing."""
    from benchmarks import catalog
    from xmft.task import Recipe

    root = _data_root(data)
    table = _table("task", "origin", "")
    for name in _named_tasks(tasks or ["*"]):
        try:
            source = catalog.locate(name, data_root=root, recipe=Recipe())
            table.add_row(name, source.origin, source.note)
        except DataError as error:
            table.add_row(name, "missing", str(error))
    console.print(table)


@data_app.command("fetch", epilog=_example("xmft data fetch pdebench/advection --data ~/pdebench"))
@_guarded
def data_fetch(tasks: Tasks, data: Data = None) -> None:
    """Download the official files, checked against their published checksums."""
    from benchmarks import catalog

    for name in _named_tasks(tasks):
        for path in catalog.fetch(name, data_root=_data_root(data)):
            console.print(f"{name}: {path}", highlight=False, soft_wrap=True)


@data_app.command(
    "generate", epilog=_example("xmft data generate pdebench/darcy:beta1.0 --samples 640")
)
@_guarded
def data_generate(
    tasks: Tasks,
    data: Data = None,
    samples: Annotated[int | None, typer.Option(min=10, help="samples [the task's own]")] = None,
    resolution: Annotated[int | None, typer.Option(min=4, help="points per axis")] = None,
) -> None:
    """Compute samples with our own solvers, in the official file layout."""
    from benchmarks import catalog
    from xmft.task import Recipe

    recipe = Recipe(samples=samples, resolution=resolution)
    for name in _named_tasks(tasks):
        if not catalog.get(name).generatable:
            raise RequestError(f"The data of {name} cannot be generated: xmft data fetch {name}")
        with console.status(f"generating {name}"):
            source = catalog.make_ready(name, data_root=_data_root(data), recipe=recipe)
        console.print(f"{name}: {source.note}", highlight=False, soft_wrap=True)


@data_app.command("verify", epilog=_example("xmft data verify 'pdebench/*' --data ~/pdebench"))
@_guarded
def data_verify(tasks: Tasks, data: Data = None) -> int:
    """Check files in full: layout, values, checksum where one is published."""
    from benchmarks import catalog

    bad = 0
    for name in _named_tasks(tasks):
        try:
            for line in catalog.verify(name, data_root=_data_root(data)):
                console.print(f"{name}: {line}", highlight=False, soft_wrap=True)
        except DataError as error:
            bad += 1
            errors.print(f"{name}: {error}", style="red", highlight=False, soft_wrap=True)
    return 1 if bad else 0
