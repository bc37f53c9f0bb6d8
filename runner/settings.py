"""`--set key=value`: where a setting of the command line goes in a grid."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from xmft.errors import RequestError
from xmft.recipe import Recipe
from xmft.registry import nearest


def apply_setting(content: dict[str, Any], setting: str, fields: Collection[str]) -> None:
    """Put one `key=value` where it belongs.

    Args:
        content: What a grid file says; changed.
        setting: `key=value`.
        fields: Names of the fields of a grid.

    Raises:
        RequestError: nobody knows the key.
    """
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise RequestError(f"--set takes key=value, found '{setting}'.")
    value = _parse(text)
    if key == "source":
        _set_source(content, value)
    elif key in fields:
        content[key] = value
        if key == "backbone":
            _forget(content, key)
    elif key in Recipe.model_fields or key.startswith("recipe."):
        field = key.removeprefix("recipe.")
        _mapping(content, "recipe")[field] = value
        _forget(content, field)
    elif "." in key:
        *parents, leaf = key.split(".")
        target = content if parents[0] in ("per_method", "search") else _mapping(content, "options")
        for parent in parents:
            target = _mapping(target, parent)
        target[leaf] = value
    else:
        known = [*fields, *Recipe.model_fields]
        raise RequestError(
            f"Unknown setting '{key}'. {nearest(key, known)} "
            "Options of a method are written method.option, its own recipe "
            "per_method.method.field."
        )


def _set_source(content: dict[str, Any], name: Any) -> None:
    """Replace the sources of the grid and of `per_task`."""
    per_task = _mapping(content, "per_task")
    tasks = [_mapping(per_task, task) for task in per_task]
    if name is None:
        content["source"] = None
        _forget(content, "source")
        return
    holders = [content, *(task for task in tasks if "source" in task)]
    # With one backbone for all tasks there is one source for all of them. Where tasks have
    # backbones of their own, text and vision stand side by side and only sources like it give way.
    if any("backbone" in task for task in tasks) and (modality := _modality(name)) is not None:
        alike = [holder for holder in holders if _modality(holder.get("source")) == modality]
        unnamed = [content] if content.get("source") is None else holders
        holders = alike or unnamed
    for holder in holders:
        holder["source"] = name


def _modality(source: Any) -> str | None:
    """Return the modality of a source proxy, None if there is none of that name."""
    # Not at the top: proxies need torch, which takes seconds to import.
    from xmft.source import PROXIES

    known = isinstance(source, str) and source in PROXIES
    return PROXIES[source].modality if known else None


def _forget(content: dict[str, Any], field: str) -> None:
    """Take a field out of what is said of single tasks and methods, so that all have the same."""
    for key in ("per_task", "per_method"):
        one_by_one = _mapping(content, key)
        for name in one_by_one:
            _mapping(one_by_one, name).pop(field, None)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    """Return `content[key]`, made or filled in if it is missing or empty."""
    if content.get(key) is None:
        content[key] = {}
    if not isinstance(content[key], dict):
        raise RequestError(f"'{key}' must be a mapping, found {content[key]!r}.")
    inner: dict[str, Any] = content[key]
    return inner


def _parse(text: str) -> Any:
    """Read a value of the command line: YAML, and numbers the way people write them (1e-3)."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
