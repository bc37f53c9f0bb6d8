"""What the commands share: options, the console, errors as sentences."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from runner.cli import completion
from runner.console import complain, remark
from xmft.errors import DataError, RequestError

if TYPE_CHECKING:
    from runner.config import Grid
    from runner.ledger import Ledger
    from runner.ledgers import Results as Opened
    from runner.report.query import Query
    from runner.storage import Storage

GridName = Annotated[
    str,
    typer.Argument(
        metavar="GRID",
        help="a shipped grid, a YAML file or cell:ID",
        autocompletion=completion.grids,
    ),
]
Results = Annotated[str, typer.Option("--results", metavar="DIR", help="folder or URI of results")]
Readings = Annotated[
    list[str],
    typer.Option(
        "--results",
        metavar="DIR",
        help="folders, URIs or submitted files, read as one: a b",
        show_default=False,
    ),
]
# What those read who name none.
HERE = ["results"]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="data root [$XMFT_DATA or ~/.cache/xmft]"),
]
Settings = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="change the grid")]
Plugins = Annotated[
    list[str],
    typer.Option("--plugin", metavar="MODULE", help="module or .py file of your own; repeatable"),
]
TaskFilter = Annotated[
    list[str],
    typer.Option(
        "--tasks",
        metavar="GLOB",
        help="only these: a b, or a,b",
        autocompletion=completion.tasks,
    ),
]
MethodFilter = Annotated[
    list[str],
    typer.Option(
        "--methods",
        metavar="GLOB",
        help="only these: a b, or a,b",
        autocompletion=completion.methods,
    ),
]
SeedFilter = Annotated[
    list[str], typer.Option("--seeds", metavar="N", help="these seeds: 0 1 2, or 0,1,2")
]


def either(words: Sequence[str]) -> str:
    """Return `a, b or c`."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def choice(name: str, *words: str, metavar: str | None = None) -> Any:
    """Return an option of one of a few words; its help names them and a shell completes them."""
    proposed = completion.one_of(*words)
    return typer.Option(name, metavar=metavar, help=either(words), autocompletion=proposed)


Protocol = Annotated[str, choice("--protocol", "clean", "released")]
Selection = Annotated[str, choice("--selection", "best_val", "last")]
Overall = Annotated[
    bool, typer.Option("--overall", help="one more table, over tasks of different origin")
]


def example(*lines: str) -> str:
    """Return the epilog of a command's help."""
    return "**Example**\n\n" + "\n\n".join(f"`{line}`" for line in lines)


def guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors made for people into one sentence and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except (RequestError, DataError) as error:
            complain(f"xmft: {error}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `xmft ... | head`
            sys.stderr.close()
            raise typer.Exit(0) from None
        raise typer.Exit(code or 0)

    return run


def opened(results: list[str]) -> Opened:
    """Return what `--results` names: one ledger, or several that are read as one.

    When all was read and shown, `concluded` says what a reader should know of them.

    Raises:
        RequestError: a place cannot be opened, or one of several does not exist.
    """
    from runner.ledgers import open_results

    return open_results(results)


def places_of(results: Opened) -> tuple[str, ...]:
    """Return where results are, each place for itself, as people may name it."""
    from runner.ledgers import parts_of

    return tuple(part.shown for part in parts_of(results))


def query_of(
    results: Opened,
    *,
    tasks: list[str],
    methods: list[str],
    seeds: list[str],
    protocol: str,
    selection: str,
    overall: bool,
    most_flops: float | None = None,
    most_seconds: float | None = None,
) -> Query:
    """Return what the options of a command that makes leaderboards ask for.

    Raises:
        RequestError: a seed is no number, or a budget not finite.
    """
    from runner.report.query import Query

    return Query(
        protocol=protocol,
        selection=selection,
        tasks=globs(tasks),
        methods=globs(methods),
        seeds=whole_numbers(seeds),
        overall=overall,
        most_flops=most_flops,
        most_seconds=most_seconds,
        results=places_of(results),
    )


def folder_for(results: Opened, name: str, out: str | None) -> Storage:
    """Return where a command writes its files: below the results, if nothing else is named.

    Raises:
        RequestError: nothing is named, and the results are several or a file.
    """
    from runner.ledger import Ledger
    from runner.storage import Storage

    if out is not None:
        return Storage(out)
    if isinstance(results, Ledger):
        return results.storage.within(name)
    raise RequestError("There is no one folder of results to draw in: name one with --out.")


def concluded(*results: Opened) -> int:
    """Say what several ledgers have to do with one another; return the exit code.

    It is 1 if a file could not be read: what was shown is without it.
    """
    for one in results:
        for note in getattr(one, "notes", tuple)():
            remark(note)
    skipped = sum(len(one.skipped) for one in results)
    if skipped:
        files = "1 file" if skipped == 1 else f"{skipped} files"
        complain(f"{files} could not be read, see above: what is shown is without them.")
    return 1 if skipped else 0


def chosen_grid(
    name: str,
    settings: list[str],
    tasks: list[str],
    methods: list[str],
    seeds: list[str],
    plugins: list[str],
    results: str = "results",
) -> Grid:
    """Read a grid, or make that of a cell of the results; narrow it down to what filters leave.

    Raises:
        RequestError: the grid or a filter is wrong.
    """
    from runner.config import load_grid, narrowed

    if name.startswith("cell:"):
        from runner.ledger import Ledger
        from runner.repeat import grid_of_cell

        ledger = Ledger(results)
        grid = grid_of_cell(ledger, name.removeprefix("cell:"), settings, plugins=plugins)
    else:
        grid = load_grid(name, settings, plugins=plugins)
    numbers = whole_numbers(seeds) if seeds else None
    return narrowed(grid, tasks=tasks, methods=methods, seeds=numbers)


def checked_cell(name: str, grid: Grid, ledger: Ledger, data_root: Path) -> str | None:
    """Return the id of the cell that is to be made again; None if a grid is to be run.

    Raises:
        RequestError: what is here would make another cell.
    """
    if not name.startswith("cell:"):
        return None
    from runner.plan import make_plan
    from runner.repeat import check_same, recorded

    found = recorded(ledger, name.removeprefix("cell:"))
    check_same(found, make_plan(grid, ledger, data_root))
    return found.cell_id


def import_plugins(plugins: list[str]) -> None:
    """Import plug-ins of the command line, so that what they register can be named.

    Raises:
        RequestError: one cannot be imported.
    """
    if plugins:
        from runner.plugins import install, read_plugins

        install(read_plugins(plugins))


def globs(values: list[str]) -> list[str]:
    """Return the patterns of a list option, given as `a b` or as `a,b`."""
    return [part for value in values for part in value.split(",") if part]


def whole_numbers(values: list[str]) -> list[int]:
    """Return the seeds of a list option.

    Raises:
        RequestError: something else than whole numbers.
    """
    try:
        return [int(part) for part in globs(values)]
    except ValueError:
        raise RequestError(f"--seeds takes whole numbers, found '{' '.join(values)}'.") from None


def plain_table(*columns: str) -> Table:
    """Return a table without lines."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
