"""`xmft list`: what there is to choose from."""

from __future__ import annotations

import typer

from runner.cli_options import example, guarded, plain_table
from runner.console import console

app = typer.Typer(help="What there is to choose from.", no_args_is_help=True)


@app.command("tasks", epilog=example("xmft list tasks"))
@guarded
def list_tasks() -> None:
    """List the tasks and their variants."""
    from benchmarks import catalog

    table = plain_table("task", "kind", "metric", "generated if missing", "variants")
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


@app.command("methods", epilog=example("xmft list methods"))
@guarded
def list_methods() -> None:
    """List the methods and their options."""
    from xmft.methods import methods

    table = plain_table("method", "what it does", "options and defaults")
    for name, method in methods.items():
        options = method.Config().model_dump()
        table.add_row(name, method.title, ", ".join(f"{k}={v}" for k, v in options.items()))
    console.print(table)


@app.command("backbones", epilog=example("xmft list backbones"))
@guarded
def list_backbones() -> None:
    """List the backbones that have names."""
    from xmft.weights import NAMED

    table = plain_table("backbone", "what it is")
    for name, what in NAMED.items():
        table.add_row(name, what)
    table.add_row("(hub id or folder)", "any sequence encoder that takes inputs_embeds")
    console.print(table)


@app.command("grids", epilog=example("xmft list grids"))
@guarded
def list_grids() -> None:
    """List the grids that come with the package."""
    from runner.config import load_grid, shipped_grids

    table = plain_table("grid", "cells", "what it is")
    for name in shipped_grids():
        grid = load_grid(name)
        cells = len(grid.tasks) * len(grid.methods) * len(grid.seeds)
        table.add_row(name, str(cells), grid.description)
    console.print(table)
