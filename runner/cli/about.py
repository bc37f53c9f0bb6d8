"""`xmft --version` and `xmft schema`: what the program is, and what its grids may say."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Annotated

import typer

from runner.cli.options import example, guarded
from runner.console import hand_over, say

# What decides how a cell runs and what it computes; read from their metadata, never imported.
_LIBRARIES = ("torch", "ray")


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _show_versions(asked: bool) -> None:
    if asked:
        say(f"xmft {_version_of('xmft')}")
        say(f"Python {platform.python_version()}")
        for library in _LIBRARIES:
            say(f"{library} {_version_of(library)}")
        raise typer.Exit


def start(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_versions,
            is_eager=True,
            help="Show the versions of xmft, Python, torch and Ray.",
        ),
    ] = False,
) -> None:
    """Cross-modal fine-tuning benchmarks: data, grids of cells on Ray, ranked tables."""


@guarded
def schema() -> None:
    """Write the JSON schema of grid files, for editors that complete and check them.

    With `# yaml-language-server: $schema=grid.schema.json` in its first line, a grid is checked
    while it is written.
    """
    from runner.grid_schema import grid_schema

    hand_over(json.dumps(grid_schema(), indent=2) + "\n")


def add_to(app: typer.Typer) -> None:
    """Add the command, and the option of the program itself."""
    app.callback()(start)
    app.command(epilog=example("xmft schema > grid.schema.json"))(schema)
