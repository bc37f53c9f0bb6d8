"""`xmft plots`: what a paper shows of the ledger, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from runner.cli import completion
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
    folder_for,
    globs,
    guarded,
    opened,
    query_of,
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
    protocol: Protocol = "clean",
    selection: Selection = "best_val",
    overall: Overall = False,
    most_flops: MostFlops = None,
    most_seconds: MostSeconds = None,
    kinds: Annotated[
        list[str],
        typer.Option(
            "--kinds",
            metavar="KIND",
            help=f"only these: {', '.join(KINDS)}",
            autocompletion=completion.one_of(*KINDS),
        ),
    ] = [],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder or URI [plots, in the results]")
    ] = None,
) -> int:
    """Draw plots of the leaderboards and of the cells behind them, as PNG and SVG.

    What cannot be drawn is named with the reason. Each file says in its description what it shows.
    """
    from runner.report.compare import build
    from runner.report.plots.collect import plots_and_reasons
    from runner.report.plots.files import write_plot

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
    table = ledger.rows()
    boards = build(table, query)
    folder = folder_for(ledger, "plots", out)
    reasons: list[NotDrawn] = []
    written = 0
    with console.status("drawing"):
        for found in plots_and_reasons(boards, table, ledger, globs(kinds)):
            if isinstance(found, NotDrawn):
                reasons.append(found)
                continue
            for path in write_plot(found, folder):
                say(folder.shown_of(path))
                written += 1
    if not written:
        told = "; ".join(_told(reasons))
        raise RequestError(f"Nothing of what was asked for can be drawn: {told}.")
    for reason in _told(reasons):
        remark(f"not drawn: {reason}")
    return concluded(ledger)


def _told(reasons: Sequence[NotDrawn]) -> list[str]:
    """Say each reason once, with the tasks that it holds for."""
    tasks: dict[tuple[str, str, str], list[str]] = {}
    for one in reasons:
        tasks.setdefault((one.kind, one.board, one.reason), []).append(one.task or "")
    return [
        f"{kind} ({board}{', ' if own[0] else ''}{', '.join(own)}): {reason}"
        for (kind, board, reason), own in tasks.items()
    ]


def add_to(app: typer.Typer) -> None:
    """Add the command, without a name in front of it."""
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft plots",
            "xmft plots --kinds errors critical-difference --tasks 'pdebench/*' --out pics",
        ),
    )(plots)
