"""`xmft report`: a page of what the ledger holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.budget import MostFlops, MostSeconds
from runner.cli.list_command import ListCommand
from runner.cli.options import (
    HERE,
    MethodFilter,
    Overall,
    Protocol,
    Readings,
    SeedFilter,
    Selection,
    TaskFilter,
    concluded,
    example,
    guarded,
    opened,
    query_of,
)
from runner.console import console, remark, say


@guarded
def report(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="folder of the page: new, or one before")
    ],
    results: Readings = HERE,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    protocol: Protocol = "clean",
    selection: Selection = "best_val",
    overall: Overall = False,
    most_flops: MostFlops = None,
    most_seconds: MostSeconds = None,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="published numbers underneath")
    ] = True,
    plots: Annotated[
        bool | None,
        typer.Option(
            "--plots/--no-plots", help="plots on the page, which take a while [not with --watch]"
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="serve it on this machine, and follow the results")
    ] = False,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="port to serve it on; 0: any [8417]")
    ] = None,
) -> int:
    """Write a page of the leaderboards, of every cell, and of how each number was made.

    It needs no network: open index.html from a disk, or put the folder on any web server.
    """
    from runner.report.site.building import INDEX, Builder, Wanted
    from runner.report.site.folder import check_folder, write_page
    from runner.report.site.serving import PORT
    from runner.report.site.serving import watch as follow
    from xmft.errors import RequestError

    if port is not None and not watch:
        raise RequestError("--port is where --watch serves the page: add --watch, or leave it out.")
    folder = out.expanduser()
    check_folder(folder)
    ledger = opened(results)
    query = query_of(
        ledger,
        tasks=tasks,
        methods=methods,
        seeds=seeds,
        protocol=protocol,
        selection=selection,
        overall=overall,
        most_flops=most_flops,
        most_seconds=most_seconds,
    )
    wanted = Wanted(query=query, published=published, plots=not watch if plots is None else plots)
    builder = Builder(ledger, wanted)
    if watch:
        follow(builder, folder, PORT if port is None else port, remark)
        return concluded(ledger)
    with console.status("making the page"):
        write_page(builder.files(), folder)
    say(f"The page is {folder / INDEX}")
    return concluded(ledger)


def add_to(app: typer.Typer) -> None:
    """Add the command, without a name in front of it."""
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft report --out site/",
            "xmft report --results s3://bucket/results --tasks 'pdebench/*' --out site/ --watch",
        ),
    )(report)
