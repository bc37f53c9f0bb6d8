"""The reference of grid files, made of their JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs_site.markdown import anchor, code, heading, plain, table
from runner.grid_files import JOIN
from runner.grid_schema import grid_schema
from xmft.recipe import Recipe

Schema = Mapping[str, Any]


def grid_reference() -> str:
    """Return a table of the keys of a grid, and one of the fields of each mapping in it."""
    schema = grid_schema()
    definitions = schema["$defs"]
    of_task = _object(schema["properties"]["per_task"])["additionalProperties"]
    own = {
        name: field
        for name, field in of_task["properties"].items()
        if name not in Recipe.model_fields
    }
    parts = [
        _section("Keys of a grid", "", schema),
        _section("Fields of `recipe`", "recipe", _object(schema["properties"]["recipe"])),
        "`per_method` has the same but for `samples` and `resolution`: these would give one "
        "method other data than the others have.",
        _section("What `per_task` has besides", "per_task", {"properties": own}),
        _section("Fields of `resources`", "resources", definitions["Resources"]),
        _section("Fields of `search`", "search", definitions["Search"]),
        _section("Values of `search.space`", "search.space", definitions["Domain"]),
    ]
    return "\n\n".join(parts)


def _section(title: str, path: str, schema: Schema) -> str:
    return "\n\n".join(
        [
            heading(3, title),
            table(["key", "type", "default", "meaning"], [*_rows(path, schema)]),
        ]
    )


def _rows(path: str, schema: Schema) -> Iterator[list[str]]:
    required = schema.get("required", [])
    # Those of which one is needed: without the others, this one.
    either = {name for one in schema.get("anyOf", []) for name in one.get("required", [])}
    for name, field in schema["properties"].items():
        full = f"{path}.{name}" if path else name
        default = "required" if name in required else _default(field)
        if name in either - {JOIN}:
            default = f"required, unless {code(JOIN)} has some"
        yield [
            f'<span id="{anchor(full)}"></span>{code(name)}',
            _type(field),
            default,
            plain(field["description"]),
        ]


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    return value if value == "that of the grid" else code(value) or '`""`'


def _object(field: Schema) -> Schema:
    """Return the schema of a mapping, of one that may be null as well."""
    return next(part for part in (field, *field.get("anyOf", ())) if part.get("type") == "object")


def _type(field: Schema) -> str:
    if "anyOf" in field:
        # One of them may itself be one of several.
        named = (name for part in field["anyOf"] for name in _type(part).split(" or "))
        kinds = dict.fromkeys(filter(None, named))
        if field.get("default") is not None:
            # Where a default is, null is the same as to say nothing.
            kinds.pop("null", None)
        return " or ".join(kinds)
    if "$ref" in field:
        return "mapping"
    kind = field.get("type")
    if "enum" in field:
        return ", ".join(map(code, field["enum"])) if kind else ""  # proposals are no limits
    if kind == "array":
        items = field.get("items", {})
        inner = _type(items) if items else ""
        return f"list: {inner}" if inner else "list"
    if kind == "object":
        return "mapping"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return names.get(str(kind), str(kind or "")) + _limits(field)


def _limits(field: Schema) -> str:
    signs = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    # The largest whole number that can be stored is nothing anybody comes near.
    found = [
        f"{sign} {field[key]:g}"
        for key, sign in signs.items()
        if key in field and abs(field[key]) < 2**62
    ]
    return f", {' and '.join(found)}" if found else ""
