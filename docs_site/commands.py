"""The reference of the command line, made of what `--help` says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from docs_site.markdown import code, heading, plain, table
from runner.cli import app


def commands() -> str:
    """Return every command with its help, arguments, options and examples."""
    group = typer.main.get_command(app)
    parts = [heading(2, code("xmft"), "xmft"), _options(group)]
    for path, command in _commands(group):
        parts += _command(path, command)
    return "\n\n".join(part for part in parts if part)


def _commands(group: Any, path: str = "xmft") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _command(path: str, command: Any) -> Iterator[str]:
    yield heading(2, code(path), path)
    for paragraph in re.split(r"\n\s*\n", command.help or ""):
        yield plain(paragraph)
    examples = re.findall(r"`([^`]+)`", command.epilog or "")
    if examples:
        yield "```\n" + "\n".join(examples) + "\n```"
    yield _options(command)


def _options(command: Any) -> str:
    rows = []
    for param in command.params:
        if getattr(param, "hidden", False) or "--help" in param.opts:
            continue
        if param.param_type_name == "argument":
            names = code(param.metavar or param.name.upper())
        else:
            names = ", ".join(map(code, (*param.opts, *param.secondary_opts)))
            if not param.is_flag:
                names += f" {code(param.metavar or 'VALUE')}"
        rows.append([names, plain(getattr(param, "help", None) or ""), _default(param)])
    return table(["option", "what it is", "default"], rows) if rows else ""


def _default(param: Any) -> str:
    value = param.default
    if callable(value) or value in (None, "", [], (), False) or param.required:
        return ""
    return code(str(value) if not isinstance(value, str | int | float | bool) else value)
