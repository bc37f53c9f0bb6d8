"""`xmft diff`: what changed between two ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from runner.cli.list_command import ListCommand
from runner.cli.options import (
    MethodFilter,
    Protocol,
    SeedFilter,
    Selection,
    TaskFilter,
    choice,
    concluded,
    example,
    globs,
    guarded,
    opened,
    whole_numbers,
)
from runner.console import complain, console, hand_over
from xmft.errors import RequestError

# More of one kind are told in number; the table has them all.
_MOST = 20


@guarded
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="folder, URI or submitted file")],
    second: Annotated[str, typer.Argument(metavar="B", help="what to compare with it")],
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    protocol: Protocol = "clean",
    selection: Selection = "best_val",
    tolerance: Annotated[
        float,
        typer.Option(metavar="X", min=0, help="relative change that one seed alone may have"),
    ] = 0.01,
    format_: Annotated[
        str, choice("--format", "table", "md", "csv", "json", metavar="FORMAT")
    ] = "table",
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="exit code 1 where B is worse than A")
    ] = False,
) -> int:
    """Say which cells changed between two ledgers, and whether by more than the seeds' spread.

    Cells are paired by their id, and what is left by task, method, backbone, seed and origin. An
    entry is worse on a task where its mean over the seeds that both have got worse by more than
    their spread, sqrt((std_A^2 + std_B^2) / 2), or where there is none by more than --tolerance. A
    cell that was ok and fails is worse too. Other versions of tasks and metrics are not compared.
    --fail-if-worse also exits with 1 if an entry of A on a task has nothing comparable in B; what B
    is not meant to have, leave out with --tasks, --methods and --seeds. Single cells that B lacks
    are told.
    """
    from runner.report.diff import compare_ledgers
    from runner.report.diff_formats import DIFF_FORMATS
    from runner.report.diff_terminal import DiffView
    from runner.report.select import chosen
    from runner.results import RESULT_COLUMNS, results
    from runner.schema import SELECTIONS
    from xmft.registry import nearest

    for what, value, known in (
        ("format", format_, DIFF_FORMATS),
        ("selection", selection, SELECTIONS),
        ("protocol", protocol, ("clean", "released")),
    ):
        if value not in known:
            raise RequestError(f"Unknown {what} '{value}'. {nearest(value, known)}")
    both = [opened([first]), opened([second])]
    found = []
    for ledger in both:
        table = ledger.rows(RESULT_COLUMNS)
        cells = [one for one in results(table, selection=selection) if one.protocol == protocol]
        if not cells:
            raise RequestError(
                f"{ledger.shown} holds no results of the protocol {protocol}: there is nothing to "
                "compare."
            )
        found.append(cells)
    # A filter has to fit one of them; what it leaves out of both is no difference.
    wanted = chosen(
        [*found[0], *found[1]],
        tasks=globs(tasks),
        methods=globs(methods),
        seeds=whole_numbers(seeds),
    )
    kept = {id(cell) for cell in wanted}
    before, after = ([cell for cell in cells if id(cell) in kept] for cells in found)
    difference = compare_ledgers(before, after, tolerance=tolerance)
    names = [ledger.shown for ledger in both]
    writer = DIFF_FORMATS[format_]
    if writer is None:
        console.print(DiffView(difference, names))
    else:
        hand_over(writer(difference, names))
    code = concluded(*both)
    if not fail_if_worse:
        return code
    # Before what fails: a mean over fewer seeds is no reason to, and should be known.
    if difference.lost:
        complain(f"Not in B: {_some(difference.lost)}")
    if difference.incomparable:
        complain(f"Nothing in B to compare with: {_some(difference.incomparable)}")
    if not difference.compared:
        complain("Nothing could be compared, so nothing says that B is not worse.")
    if difference.worse:
        complain(f"Worse in B: {_some(difference.worse)}")
    failed = difference.worse or difference.incomparable or not difference.compared
    return 1 if failed else code


def _some(told: Sequence[str]) -> str:
    """Return what is told of many things, in one line."""
    more = f"; and {len(told) - _MOST} more" if len(told) > _MOST else ""
    return "; ".join(told[:_MOST]) + more


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft diff results-main results-branch --fail-if-worse",
            "xmft diff results lab.parquet --methods orca recraft --format md",
        ),
    )(diff)
