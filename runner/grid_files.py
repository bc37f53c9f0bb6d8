"""Grid files: the shipped ones by name, others by path, and several joined into one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from xmft.errors import FileError, RequestError
from xmft.registry import nearest
from xmft.task import Recipe
from xmft.text_files import read_text

JOIN = "join"

# What a grid says by task or method. Of the rest, a joined grid has what it says itself.
_BY_METHOD = ("per_method", "options", "leave_out")
_OF_A_TASK = ("backbone", "source")


def shipped_grids() -> dict[str, Path]:
    """Return the grids that come with the package, by name."""
    folder = Path(str(resources.files("benchmarks.grids")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_grid(name: str) -> tuple[dict[str, Any], Path]:
    """Return what a grid file says, with the grids that it joins, and the file.

    Args:
        name: A shipped name or the path of a YAML file.

    Raises:
        RequestError: there is no such grid, it cannot be read, or grids do not go together.
    """
    content, path = _read(name)
    if JOIN not in content:
        return content, path
    names = content.pop(JOIN)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise RequestError(f"'{JOIN}' of grid {path.name} must list grids, found {names!r}.")
    for other in names:
        part, place = _read(other)
        if JOIN in part:
            raise RequestError(f"Grid {path.name} joins {place.name}, which joins others itself.")
        _join(content, part, place.name)
    return content, path


def _read(name: str) -> tuple[dict[str, Any], Path]:
    shipped = shipped_grids()
    try:
        path = shipped[name] if name in shipped else Path(name).expanduser()
        text = read_text(path)
    except FileError as error:
        raise RequestError(f"The grid {error}") from None
    except (OSError, RuntimeError) as error:
        raise RequestError(
            f"Grid '{name}' is neither a shipped grid nor a readable YAML file "
            f"({type(error).__name__}). {nearest(name, shipped)}"
        ) from None
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"Grid {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise RequestError(f"Grid {path} must be a mapping with the keys tasks and methods.")
    return content, path


def _join(content: dict[str, Any], part: Mapping[str, Any], name: str) -> None:
    """Add the tasks of another grid, each with all that it has there."""
    of_tasks = {
        **{key: part[key] for key in _OF_A_TASK if part.get(key) is not None},
        **(part.get("recipe") or {}),
    }
    tasks = content.setdefault("tasks", [])
    per_task = content.setdefault("per_task", {})
    for task in part.get("tasks") or []:
        settings = {**of_tasks, **(part.get("per_task") or {}).get(task, {})}
        # What the other grid leaves at its default has to stay there.
        for field, info in Recipe.model_fields.items():
            if field in (content.get("recipe") or {}):
                settings.setdefault(field, info.default)
        if task not in tasks:
            tasks.append(task)
        per_task[task] = {**settings, **per_task.get(task, {})}
    for key in _BY_METHOD:
        for method, said in (part.get(key) or {}).items():
            before = content.setdefault(key, {}).setdefault(method, said)
            if before != said:
                raise RequestError(
                    f"The joined grids do not agree on {key} of '{method}': {name} says {said!r}, "
                    f"another {before!r}. Say what holds for both in one of them."
                )
