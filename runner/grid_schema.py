"""The JSON schema of grid files: what editors complete and check while one is written.

It is made of the models that read a grid, so that it cannot say anything else than they do. Where
a rule is no matter of one value (a variant that is asked for nowhere), the schema says less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from runner.config import OF_THE_DATA, Grid, TaskSettings
from runner.grid_files import JOIN
from runner.search.space import FIXED, KINDS, OPTIONS
from xmft.recipe import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:xmft:grid"

Schema = dict[str, Any]

# What a schema says to people about a key, whatever its values may be.
_TOLD = ("title", "description", "default")


def grid_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of grid files.

    Names of tasks, methods, backbones and sources are proposed, not demanded: plug-ins add others.
    """
    from benchmarks import catalog
    from xmft.backbones.weights import NAMED
    from xmft.methods import METHODS
    from xmft.source import PROXIES

    schema = Grid.model_json_schema()
    definitions: Schema = schema.pop("$defs")
    keys: Schema = schema["properties"]
    presets = [f"{name}:{preset}" for name, method in METHODS.items() for preset in method.presets]
    tasks = [name for base in catalog.names() for name in (base, *catalog.variants(base))]
    keys["tasks"]["items"] = _proposed(tasks)
    keys["methods"]["items"] = _proposed([*METHODS, *presets])
    keys["backbone"] |= _proposed(NAMED)
    keys["source"] |= _proposed(PROXIES)
    keys["recipe"] = _fields(Recipe, definitions) | {
        name: said for name, said in keys["recipe"].items() if name in _TOLD
    }
    of_task = _fields(TaskSettings, definitions)
    del of_task["required"]
    of_task["properties"]["source"] = _or_null(keys["source"])
    of_task["properties"]["backbone"] = {**keys["backbone"], "default": "that of the grid"}
    keys["per_task"]["additionalProperties"] = of_task
    keys["per_method"]["additionalProperties"] = _fields(Recipe, definitions, but=OF_THE_DATA)
    keys["options"]["patternProperties"] = {
        f"^{name}(:|$)": _fields(method.Config, definitions) for name, method in METHODS.items()
    }
    _complete_search(definitions)
    # A key without a value says nothing; what is needed has to be said.
    for name in keys.keys() - set(schema["required"]):
        keys[name] = _or_null(keys[name])
    _allow_joining(schema)
    return {"$schema": DIALECT, "$id": IDENTITY, **schema, "$defs": definitions}


def _fields(model: type[BaseModel], definitions: Schema, *, but: Iterable[str] = ()) -> Schema:
    """Return the schema of a model without some fields; what it refers to goes to `definitions`."""
    schema = model.model_json_schema()
    definitions |= schema.pop("$defs", {})
    for name in but:
        del schema["properties"][name]
    return schema


def _proposed(names: Iterable[str]) -> Schema:
    """Return the schema of a name that may be another than those that are known."""
    return {"anyOf": [{"enum": sorted(names)}, {"type": "string"}]}


def _or_null(schema: Mapping[str, Any]) -> Schema:
    return {
        **{key: schema[key] for key in _TOLD if key in schema},
        "anyOf": [{k: v for k, v in schema.items() if k not in _TOLD}, {"type": "null"}],
    }


def _complete_search(definitions: Schema) -> None:
    """Say of a search what its models leave to `check_search`."""
    keys = definitions["Search"]["properties"]
    keys["scheduler"]["enum"].append("asha")
    fields = sorted(Recipe.model_fields.keys() - FIXED.keys())
    of_method = keys["space"]["additionalProperties"]
    of_method["propertyNames"] = {"anyOf": [{"enum": fields}, {"pattern": f"^{OPTIONS}"}]}
    definitions["Domain"]["oneOf"] = [
        {"required": [kind], "properties": {kind: {"type": "array"}}} for kind in KINDS
    ]


def _allow_joining(schema: Schema) -> None:
    """Add the key that takes over the tasks of other grids, beside which none need be named."""
    least = schema["properties"]["tasks"].pop("minItems")
    schema["properties"][JOIN] = {
        "title": JOIN.capitalize(),
        "description": "shipped grids or files whose tasks are taken over, each with its settings",
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
    }
    schema["required"] = [name for name in schema["required"] if name != "tasks"]
    schema["anyOf"] = [
        {"required": ["tasks"], "properties": {"tasks": {"minItems": least}}},
        {"required": [JOIN]},
    ]
