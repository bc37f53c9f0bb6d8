"""`xmft data`: look at, fetch, generate and check the data of tasks."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.text import Text

from runner.cli import completion
from runner.cli.data_root import data_root
from runner.cli.options import (
    Data,
    Plugins,
    example,
    guarded,
    import_plugins,
    plain_table,
)
from runner.console import complain, console, fetching, generating, say
from xmft.errors import DataError

app = typer.Typer(
    help="Look at, fetch, generate and check the data of tasks.", no_args_is_help=True
)

# Of the files of a task, which may be thousands.
_MOST_NAMED = 10

Tasks = Annotated[
    list[str],
    typer.Argument(
        metavar="TASKS...", help="names; * and ? match", autocompletion=completion.tasks
    ),
]


def _named_tasks(plugins: list[str], patterns: list[str]) -> list[str]:
    """Expand patterns over base names; a full name or variant stands for itself."""
    from benchmarks import catalog
    from runner.config import select

    import_plugins(plugins)
    found: list[str] = []
    for pattern in patterns:
        if any(c in pattern for c in "*?["):
            found += select(catalog.names(), [pattern], kind="task")
        else:
            catalog.get(pattern)
            found.append(pattern)
    return found


@app.command("status", epilog=example("xmft data status --data ~/pdebench"))
@guarded
def data_status(
    tasks: Annotated[
        list[str], typer.Argument(metavar="[TASKS...]", autocompletion=completion.tasks)
    ] = [],
    data: Data = None,
    plugin: Plugins = [],
) -> None:
    """Say for each task where its data are, or what is missing and how large the download is."""
    from benchmarks.files import one_look
    from benchmarks.status import status

    root = data_root(data)
    table = plain_table("task", "origin", "")
    with one_look():
        for name in _named_tasks(plugin, tasks or ["*"]):
            found = status(name, root)
            table.add_row(name, found.word, Text(found.text))
            for line in found.remarks:
                table.add_row("", "", Text(line, style="yellow"))
    console.print(table)


@app.command("licences", epilog=example("xmft data licences", "xmft data licences 'nasbench360/*'"))
@guarded
def data_licences(
    tasks: Annotated[
        list[str], typer.Argument(metavar="[TASKS...]", autocompletion=completion.tasks)
    ] = [],
    plugin: Plugins = [],
) -> None:
    """Say under which terms the data of tasks may be used, and who states them.

    Without names also those of the sources. Facts to begin with, no legal advice.
    """
    from benchmarks.licences import licence_of, licences

    shown = licences()
    if tasks:
        found = {name: licence_of(name) for name in _named_tasks(plugin, tasks)}
        for name in [name for name, one in found.items() if one is None]:
            say(f"{name}: a task of a plug-in; its author knows the licence of its data")
        shown = tuple(dict.fromkeys(one for one in found.values() if one is not None))
    table = plain_table("data of", "licence", "what and whose")
    for one in shown:
        said = f"{one.data_set} ({one.holder}); stated by {one.stated_by}"
        lines = [part for part in (said, one.note, one.url) if part]
        table.add_row(one.used_by, one.licence, Text("\n".join(lines)))
    if shown:
        console.print(table)


@app.command("fetch", epilog=example("xmft data fetch pdebench/advection --data ~/pdebench"))
@guarded
def data_fetch(tasks: Tasks, data: Data = None, plugin: Plugins = []) -> int:
    """Download the official files, checked against checksums; what was cut off goes on.

    A file without a published checksum is pinned to the SHA-256 of what comes first.
    """
    from benchmarks.data import fetch

    bad, names = 0, _named_tasks(plugin, tasks)
    root = data_root(data, make=True)
    for name in names:
        try:
            with fetching(name) as progress:
                paths = fetch(name, data_root=root, progress=progress, say=say)
        except DataError as error:
            bad += 1
            complain(f"{name}: {error}")
            continue
        for path in paths[:_MOST_NAMED]:
            say(f"{name}: {path}")
        if len(paths) > _MOST_NAMED:
            say(f"{name}: and {len(paths) - _MOST_NAMED} more")
    return 1 if bad else 0


@app.command("generate", epilog=example("xmft data generate pdebench/darcy:beta1.0 --samples 640"))
@guarded
def data_generate(
    tasks: Tasks,
    data: Data = None,
    plugin: Plugins = [],
    samples: Annotated[int | None, typer.Option(min=10, help="samples [1000]")] = None,
    resolution: Annotated[
        int | None, typer.Option(min=4, help="points per axis [the task's own]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the samples")] = 0,
    frames: Annotated[
        Literal["ends", "all"],
        typer.Option(help="the first and last frame, or all that are released"),
    ] = "ends",
) -> None:
    """Compute samples with our own solvers, in the official file layout.

    A run that finds no official file makes what it needs by itself. Files of another seed are used
    by giving their folder to --data.
    """
    from benchmarks import catalog
    from benchmarks.candidates import generatable_form
    from benchmarks.data import Generation, generate

    generation = Generation(samples=samples, resolution=resolution, seed=seed, frames=frames)
    names = _named_tasks(plugin, tasks)
    for name in names:  # what cannot be generated is refused before hours of work
        generatable_form(catalog.get(name)).signature(generation)
    root = data_root(data, make=True)
    for name in names:
        with generating(name) as progress:
            path = generate(name, generation, data_root=root, progress=progress)
        say(f"{name}: {path}")


@app.command("verify", epilog=example("xmft data verify 'pdebench/*' --data ~/pdebench"))
@guarded
def data_verify(tasks: Tasks, data: Data = None, plugin: Plugins = []) -> int:
    """Check files in full: layout, values, checksum where one is known."""
    from benchmarks.data import verify

    bad = 0
    for name in _named_tasks(plugin, tasks):
        try:
            for line in verify(name, data_root=data_root(data)):
                say(f"{name}: {line}")
        except DataError as error:
            bad += 1
            complain(f"{name}: {error}")
    return 1 if bad else 0
