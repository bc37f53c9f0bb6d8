"""Variants of a method: with one of its presets, or with settings that a grid names itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from xmft.errors import RequestError
from xmft.methods.method import METHODS, Method
from xmft.registry import nearest

# A variant is part of paths and of `--set method:variant.option`.
_WORD = re.compile(r"\w[\w-]*")


def method_of(name: str) -> type[Method]:
    """Return the method behind `method` or `method:variant`.

    Raises:
        RequestError: there is no such method; whether there is the variant is not looked at.
    """
    return METHODS[name.partition(":")[0]]


def options_of(name: str, options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the options of a method or a variant; what is not among them is at its default.

    A variant has the options of its method, changed by the preset of that name and then by what
    `options` says of the variant itself; nested mappings are merged key by key.

    Args:
        name: `method` or `method:variant`, where the variant is a preset or has an entry in
            `options`.
        options: Options by method or variant.

    Raises:
        RequestError: there is no such method or no such variant.
    """
    base, colon, variant = name.partition(":")
    method = METHODS[base]
    merged = merged_options({}, options.get(base, {}))
    if not colon:
        return merged
    if not _WORD.fullmatch(variant):
        raise RequestError(
            f"'{name}': the variant behind the colon is one word of letters, digits, _ and -."
        )
    if variant not in method.presets and name not in options:
        raise RequestError(
            f"Method '{base}' has no variant '{variant}'. {nearest(variant, method.presets)} "
            f"A variant of your own needs an entry '{name}' under options."
        )
    return merged_options(
        merged_options(merged, method.presets.get(variant, {})), options.get(name, {})
    )


def overridden_options(name: str, options: Mapping[str, Mapping[str, Any]]) -> str:
    """Say which options of a method its preset replaces by others; empty if it replaces none.

    Args:
        name: `method` or `method:preset`.
        options: Options by method or variant.
    """
    base, _, variant = name.partition(":")
    preset = dict(_leaves(METHODS[base].presets.get(variant, {})))
    own = dict(_leaves(options.get(name, {}))) if variant else {}
    lost = {
        key: (preset[key], said)
        for key, said in _leaves(options.get(base, {}))
        if key in preset and key not in own and preset[key] != said
    }
    if not lost:
        return ""
    says = ", ".join(f"{key} {found}" for key, (found, _) in lost.items())
    said = ", ".join(str(value) for _, value in lost.values())
    return (
        f"{name}: its preset says {says}, not options.{base}'s {said}; say it under options "
        f"'{name}' to have it."
    )


def overridden_fields(name: str, said: Mapping[str, Any]) -> str:
    """Say which fields of the recipe a preset replaces by others; empty if it replaces none.

    Args:
        name: `method` or `method:preset`.
        said: Fields that are said of all methods.
    """
    lost = {
        field: found
        for field, found in preset_recipe(name).items()
        if field in said and said[field] != found
    }
    if not lost:
        return ""
    says = ", ".join(f"{field} {_shown(found)}" for field, found in lost.items())
    those = ", ".join(_shown(said[field]) for field in lost)
    return (
        f"{name}: its preset says {says}, not the recipe's {those}; say it under per_method "
        f"'{name}' to have it."
    )


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _leaves(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def preset_recipe(name: str) -> dict[str, Any]:
    """Return the fields of the recipe that the preset of `method:variant` says; mostly none.

    A method that there is not says nothing: a grid may be read before a plug-in brings it.
    """
    base, _, variant = name.partition(":")
    return dict(METHODS[base].preset_recipes.get(variant, {})) if base in METHODS else {}


def merged_options(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return options `first` changed by `second`, both left as they are."""
    merged = dict(first)
    for key, value in second.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merged_options(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
