"""`xmft list`: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from runner.cli import completion
from runner.cli.options import Plugins, example, guarded, import_plugins, plain_table
from runner.console import console

if TYPE_CHECKING:
    from xmft.methods import Method

app = typer.Typer(help="What there is to choose from.", no_args_is_help=True)


@app.command("tasks", epilog=example("xmft list tasks"))
@guarded
def list_tasks(plugin: Plugins = []) -> None:
    """List the tasks and their variants."""
    import_plugins(plugin)
    from benchmarks import catalog
    from benchmarks.candidates import generatable_form

    table = plain_table("task", "kind", "metric", "generated if missing", "variants")
    for name in catalog.names():
        entry = catalog.get(name)
        variants = ", ".join(v.partition(":")[2] for v in catalog.variants(name))
        table.add_row(
            name,
            entry.task.kind,
            entry.task.metrics[0],
            "yes" if generatable_form(entry).generatable else "no",
            variants,
        )
    console.print(table)


@app.command("methods", epilog=example("xmft list methods", "xmft list methods recraft"))
@guarded
def list_methods(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="METHOD",
            help="show its options [all methods]",
            autocompletion=completion.base_methods,
        ),
    ] = None,
    plugin: Plugins = [],
) -> None:
    """List the methods and their presets, or the options of one."""
    import_plugins(plugin)
    from xmft.methods import METHODS
    from xmft.methods.variants import method_of

    if name is not None:
        _list_options(method_of(name))
        return
    table = plain_table("method", "what it does", "presets")
    for method in METHODS.values():
        table.add_row(method.name, method.title, ", ".join(method.presets))
    console.print(table)
    console.print("A preset is asked for as METHOD:PRESET; options: xmft list methods METHOD")


def _list_options(method: type[Method]) -> None:
    """Show what can be set, the defaults, and what each preset changes."""
    from xmft.methods.variants import options_of

    console.print(f"{method.name}: {method.title}")
    rows = list(options(method.Config()))
    if not rows:
        console.print("It has no options.")
        return
    presets = {}
    for preset in method.presets:
        config = method.Config.model_validate(options_of(f"{method.name}:{preset}", {}))
        presets[preset] = {option: value for option, value, _ in options(config)}
    table = plain_table("option", "default", *presets, "what it is")
    table.columns[0].no_wrap = True
    for option, value, description in rows:
        changed = (values[option] for values in presets.values())
        shown = ("" if other == value else _shown(other) for other in changed)
        table.add_row(option, _shown(value), *shown, description)
    console.print(table)
    console.print(f"Change one with --set {method.name}.OPTION=VALUE.")
    for preset, fields in method.preset_recipes.items():
        said = ", ".join(f"{field}={_shown(value)}" for field, value in fields.items())
        console.print(f"{method.name}:{preset} also sets fields of the recipe: {said}")


def options(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield every option with its value and what it is, nested ones as `source.samples`."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        # What may be missing as a whole is one option; there would be nothing to set in it.
        if isinstance(value, BaseModel) and field.default is None:
            yield (
                f"{prefix}{name}",
                value.model_dump(exclude_defaults=True),
                field.description or "",
            )
        elif isinstance(value, BaseModel):
            yield from options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.description or ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@app.command("backbones", epilog=example("xmft list backbones"))
@guarded
def list_backbones(plugin: Plugins = []) -> None:
    """List the backbones that have names."""
    import_plugins(plugin)
    from xmft.backbones import FAMILIES
    from xmft.backbones.weights import NAMED

    table = plain_table("backbone", "what it is")
    for name, entry in sorted(NAMED.items()):
        table.add_row(name, entry.title)
    kinds = sorted(family.title for family in FAMILIES.values())
    table.add_row("(hub id or folder)", " or ".join(kinds))
    console.print(table)


@app.command("sources", epilog=example("xmft list sources"))
@guarded
def list_sources(plugin: Plugins = []) -> None:
    """List the source proxies of the methods that align."""
    import_plugins(plugin)
    from xmft.source import PROXIES

    table = plain_table("source", "for encoders of", "classes", "what it is")
    for name, proxy in PROXIES.items():
        table.add_row(name, proxy.modality, str(proxy.classes), proxy.title)
    console.print(table)


@app.command("grids", epilog=example("xmft list grids"))
@guarded
def list_grids() -> None:
    """List the grids that come with the package."""
    from runner.config import load_grid
    from runner.grid_files import shipped_grids
    from runner.task_choice import tasks_of

    table = plain_table("grid", "cells", "what it is")
    for name in shipped_grids():
        grid = load_grid(name)
        cells = len(grid.seeds) * sum(len(tasks_of(method, grid)) for method in grid.methods)
        table.add_row(name, str(cells), grid.description)
    console.print(table)
