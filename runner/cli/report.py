"""`xmft status`, `show`, `export`, `leaderboard`, `figures`: what the ledger holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    choice,
    concluded,
    either,
    example,
    folder_for,
    globs,
    guarded,
    opened,
    query_of,
)
from runner.console import complain, console, hand_over, remark, say
from runner.report.export import (
    BOARD_FORMATS,
    ROW_FORMATS,
    board_format,
    write_boards,
    write_rows,
)
from xmft.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

    from runner.ledgers import Results as Opened


@guarded
def status(results: Readings = HERE) -> int:
    """Count the cells of the ledger by task and outcome, and name the failed ones."""
    from runner.report.status import overview

    ledger, table = _opened(results)
    for part in overview(table):
        console.print(part)
    return concluded(ledger)


@guarded
def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="cell id, or how it begins")],
    results: Readings = HERE,
) -> int:
    """Show everything about one cell: scores, configuration, provenance, failure."""
    from runner.repeat import recorded, way_again
    from runner.report.status import show_cell

    ledger = opened(results)
    cell_id = ledger.find(cell)
    console.print(show_cell(ledger.read(cell_id=cell_id), ledger.curves(cell_id), cell_id))
    console.print("\nmade again by", style="bold")
    try:
        say(way_again(ledger, recorded(ledger, cell_id)))
    except RequestError as error:
        complain(str(error))
    return concluded(ledger)


_ENDINGS = [f"*{ending}" for ending in ROW_FORMATS]


@guarded
def export(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help=either(_ENDINGS))],
    results: Readings = HERE,
) -> int:
    """Write all rows of the ledger to one file."""
    ledger = opened(results)
    table = ledger.read()
    write_rows(table, to)
    say(f"{table.num_rows} rows written to {to}")
    return concluded(ledger)


@guarded
def leaderboard(
    results: Readings = HERE,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    format_: Annotated[str, choice("--format", *BOARD_FORMATS, metavar="FORMAT")] = "table",
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="file [table: shown; others: in the results]"),
    ] = None,
    protocol: Protocol = "clean",
    selection: Selection = "best_val",
    overall: Overall = False,
    most_flops: MostFlops = None,
    most_seconds: MostSeconds = None,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="published numbers underneath")
    ] = False,
) -> int:
    """Rank the methods of the ledger, with what the ranks can and cannot show.

    Per suite and over all suites: mean and std over seeds, rank per task, average rank with its
    interval, win rate, coverage, time.
    """
    from runner.report.compare import build
    from runner.report.terminal import to_terminal
    from runner.results import RESULT_COLUMNS

    chosen = board_format(format_)
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
    boards = build(ledger.rows(RESULT_COLUMNS), query)
    if format_ == "table" and out is None:
        console.print(to_terminal(boards, published=published))
        return concluded(ledger)
    if out is None and ledger.local_root is not None:
        out = ledger.local_root / f"leaderboard.{format_}"
    elif out is None:
        raise RequestError(
            "There is no one folder of results on this machine to write to: name a file with --out."
        )
    content = write_boards(boards, out, format=format_, ledger=ledger.shown, published=published)
    if chosen.ends is not None:
        hand_over(content.decode("utf-8") + chosen.ends)
    remark(f"written to {out}")
    return concluded(ledger)


@guarded
def figures(
    results: Readings = HERE,
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="seed of the cells [the lowest there is]")
    ] = None,
    sample: Annotated[
        str,
        typer.Option(
            metavar="N", help="place in the test split, of the 3 or fewer kept; worst or median"
        ),
    ] = "0",
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder or URI [figures, in the results]")
    ] = None,
) -> int:
    """Draw input, truth, prediction and error of a test sample.

    There is one picture for each dense task, origin of its data and protocol.
    """
    from runner.report.figures import pictures, sample_named, write_figures

    wanted = sample_named(sample)
    ledger, table = _opened(results)
    folder = folder_for(ledger, "figures", out)
    shown = pictures(
        table, ledger.examples, tasks=globs(tasks), methods=globs(methods), seed=seed, sample=wanted
    )
    with console.status("drawing"):
        written = write_figures(shown, folder)
    if not written:
        raise RequestError(
            f"None of the chosen cells keeps its prediction of sample {wanted}: finished cells of "
            "dense tasks keep those of the first few. "
            "Cells from before there were pictures get theirs with `xmft run GRID --force`."
        )
    for path in written:
        say(folder.shown_of(path))
    return concluded(ledger)


def _opened(results: list[str]) -> tuple[Opened, pa.Table]:
    """Return the results and what `results` takes of its rows.

    Raises:
        RequestError: it has none.
    """
    from runner.results import RESULT_COLUMNS

    ledger = opened(results)
    table = ledger.rows(RESULT_COLUMNS)
    if not table.num_rows:
        raise RequestError("The ledger holds no results. `xmft run quick` fills it.")
    return ledger, table


def add_to(app: typer.Typer) -> None:
    """Add the commands, without a name in front of them."""
    for command, *examples in (
        (status, "xmft status", "xmft status --results s3://bucket/results"),
        (show, "xmft show 3f2a", "xmft show 3f2a91c0d4e5b677 --results results"),
        (export, "xmft export --to results.parquet", "xmft export --to results.csv"),
    ):
        app.command(cls=ListCommand, epilog=example(*examples))(command)
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft leaderboard",
            "xmft leaderboard --tasks 'pdebench/*' --seeds 0 1 --format md --out leaderboard.md",
            "xmft leaderboard --most-flops 1e15",
        ),
    )(leaderboard)
    app.command(
        cls=ListCommand,
        epilog=example(
            "xmft figures", "xmft figures --tasks '*darcy*' --methods nft fno --out pics"
        ),
    )(figures)
