"""`xmft plots`: what a paper shows of the ledger, as PNG and SVG."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.options import (
    HERE,
    ListCommand,
    MethodFilter,
    Readings,
    SeedFilter,
    TaskFilter,
    concluded,
    example,
    folder_for,
    globs,
    guarded,
    opened,
    whole_numbers,
)
from runner.console import console, remark, say
from runner.report.plots.plot import KINDS, NotDrawn
from xmft.errors import RequestError


@guarded
def plots(
    results: Readings = HERE,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    protocol: Annotated[str, typer.Option(help="clean or released")] = "clean",
    selection: Annotated[str, typer.Option(help="best_val or last")] = "best_val",
    kinds: Annotated[
        list[str], typer.Option("--kinds", metavar="KIND", help=f"only these: {', '.join(KINDS)}")
    ] = [],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder or URI [plots, in the results]")
    ] = None,
) -> int:
    """Draw plots of the leaderboards and of the cells behind them, as PNG and SVG.

    What cannot be drawn is named with the reason. Each file says in its description what it shows.
    """
    from runner.report.compare import Query, build
    from runner.report.plots.collect import plots_and_reasons
    from runner.report.plots.files import write_plot

    ledger = opened(results)
    query = Query(
        protocol=protocol,
        selection=selection,
        tasks=globs(tasks),
        methods=globs(methods),
        seeds=whole_numbers(seeds),
    )
    table = ledger.rows()
    boards = build(table, query)
    folder = folder_for(ledger, "plots", out)
    reasons, written = [], 0
    with console.status("drawing"):
        for found in plots_and_reasons(boards, table, ledger, globs(kinds)):
            if isinstance(found, NotDrawn):
                reasons.append(str(found))
                continue
            for path in write_plot(found, folder):
                say(folder.shown_of(path))
                written += 1
    if not written:
        raise RequestError(f"Nothing of what was asked for can be drawn: {'; '.join(reasons)}.")
    for reason in reasons:
        remark(f"not drawn: {reason}")
    return concluded(ledger)


def add_to(app: typer.Typer) -> None:
    """Add the command, without a name in front of it."""
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft plots",
            "xmft plots --kinds errors critical-difference --tasks 'pdebench/*' --out pics",
        ),
    )(plots)
