"""The command line as tests call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import typer.main
import yaml
from click.testing import Result
from typer.testing import CliRunner

from runner.cli import app
from runner.grid_files import shipped_grids
from runner.job import CellJob
from runner.outcome import Outcome
from runner.planned import PlannedCell

PlanOne = Callable[..., PlannedCell]


JobOf = Callable[..., CellJob]


Attempt = Callable[..., Outcome]


Content = Callable[..., dict[str, Any]]


WriteGrid = Callable[..., str]


def xmft(*arguments: str | Path) -> Result:
    """Run a command line; errors that are not meant for people are raised here."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result


def output_of(*arguments: str | Path, code: int = 0) -> str:
    result = xmft(*arguments)
    assert result.exit_code == code, result.output
    return click.unstyle(result.stdout)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(folder: Path, *arguments: str | Path) -> str:
    """Run a wrong request: exit code 2, one sentence on stderr, nothing written in `folder`."""
    before = tree(folder)
    result = xmft(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    text = click.unstyle(result.stderr)
    assert text.startswith("xmft: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    assert tree(folder) == before
    return text


def cells_of(name: str) -> int:
    """Count the cells of a shipped grid from its text."""
    content = yaml.safe_load(shipped_grids()[name].read_text())
    return math.prod(len(content[key]) for key in ("tasks", "methods", "seeds"))


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = [" ".join(path) for path in commands(typer.main.get_command(app))]
