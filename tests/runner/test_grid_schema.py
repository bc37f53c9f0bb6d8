"""The schema of grid files takes what their reader takes, and refuses what an editor can see."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runner.config import load_grid
from runner.grid_files import shipped_grids
from runner.grid_schema import DIALECT, grid_schema
from tests.runner.commands import output_of
from xmft.errors import RequestError
from xmft.methods import METHODS

BASE: dict[str, Any] = {"tasks": ["pdebench/advection"], "methods": ["nft", "orca"], "seeds": [0]}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return grid_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(folder: Path, content: Mapping[str, Any]) -> None:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(dict(content)))
    grid = load_grid(str(path))
    for task in grid.tasks:
        for method in grid.methods:
            grid.settings_of(task, method)


@pytest.mark.parametrize("name", shipped_grids())
def test_shipped_grids_are_valid(validator: Any, name: str) -> None:
    validator.validate(yaml.safe_load(shipped_grids()[name].read_text(encoding="utf-8")))


ALLOWED: list[dict[str, Any]] = [
    {"recipe": None, "per_task": None, "options": None, "search": None, "seeds": None},
    {"source": None, "plugins": None, "description": None, "miniature": None},
    {"backbone": "somebody/encoder", "source": "stdlib-docs", "protocol": "released"},
    {"tasks": ["pdebench/burgers:Nu0.001", "mylab/waves"], "methods": ["nft", "mylab-method"]},
    {"recipe": {"learning_rate": 1, "betas": [0, 0.5], "layers": None, "clip_grad_norm": None}},
    {"per_task": {"pdebench/advection": {"source": None, "backbone": "minilm", "epochs": 3}}},
    {"per_method": {"nft": {"momentum": 0.5}}, "leave_out": {"nft": ["pdebench/*"]}},
    {"options": {"mylab-method": {"anything": [1, {"a": "b"}]}, "orca": {}}},
    {"options": {"orca": {"source": {"samples": 50}, "alignment_steps": 3}}},
    {"methods": ["orca", "orca:mine"], "options": {"orca:mine": {"alignment_steps": 3}}},
    {"resources": {"nft": {"gpus": 0.5, "workers": None}, "pdebench/advection": {"memory": 2}}},
    {"search": {"trials": 3, "scheduler": "asha", "space": {"*": {"momentum": {"choice": [0.1]}}}}},
    {
        "search": {
            "trials": 3,
            "seed": None,
            "space": {"orca": {"options.alignment_steps": {"int_uniform": [1, 9], "choice": None}}},
        }
    },
    {"join": ["quick"], "tasks": []},
    {"join": ["quick", "pdebench-small"]},
]


@pytest.mark.parametrize("changes", ALLOWED, ids=str)
def test_what_the_reader_takes_is_valid(
    validator: Any, changes: dict[str, Any], tmp_path: Path
) -> None:
    content = BASE | changes
    read(tmp_path, content)
    validator.validate(content)


def test_tasks_may_be_left_to_the_grids_that_are_joined(validator: Any, tmp_path: Path) -> None:
    content = {"join": ["quick"], "methods": ["nft"]}
    read(tmp_path, content)
    validator.validate(content)


WRONG: list[dict[str, Any]] = [
    {"task": ["pdebench/advection"]},
    {"tasks": "pdebench/advection"},
    {"tasks": []},
    {"tasks": None},
    {"methods": []},
    {"join": []},
    {"join": "quick"},
    {"seeds": [-1]},
    {"seeds": [0.5]},
    {"seeds": ["0"]},
    {"seeds": []},
    {"miniature": "yes"},
    {"protocol": "clear"},
    {"recipe": {"epoch": 3}},
    {"recipe": {"epochs": 0}},
    {"recipe": {"epochs": None}},
    {"recipe": {"learning_rate": "1e-3"}},
    {"recipe": {"betas": [0.9]}},
    {"recipe": {"compile": 1}},
    {"per_task": {"pdebench/advection": {"backbone": None}}},
    {"per_task": {"pdebench/advection": {"sources": "cifar10"}}},
    {"per_method": {"nft": {"samples": 100}}},
    {"per_method": {"nft": None}},
    {"leave_out": {"nft": "pdebench/*"}},
    {"resources": {"nft": {"gpu": 1}}},
    {"resources": {"nft": {"sharding": "tensor"}}},
    {"search": {"trials": 0, "space": {"*": {"momentum": {"choice": [0.1]}}}}},
    {"search": {"trials": 1, "space": {"*": {"momentums": {"choice": [0.1]}}}}},
    {"search": {"trials": 1, "space": {"*": {"epochs": {"choice": [1]}}}}},
    {"search": {"trials": 1, "space": {"*": {"momentum": {}}}}},
    {"search": {"trials": 1, "space": {"*": {"momentum": {"uniform": [0, 1], "choice": [0.1]}}}}},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_what_an_editor_can_see_is_refused_as_the_reader_does(
    validator: Any, changes: dict[str, Any], tmp_path: Path
) -> None:
    content = BASE | changes
    with pytest.raises(RequestError):
        read(tmp_path, content)
    assert not validator.is_valid(content)


def test_options_of_methods_are_known(validator: Any) -> None:
    for method in METHODS.values():
        given = method.Config().model_dump(mode="json")
        assert validator.is_valid(BASE | {"options": {method.name: given}}), method.name
        for name in (method.name, f"{method.name}:mine"):
            wrong = {"options": {name: {"no_such_option": 1}}}
            assert not validator.is_valid(BASE | wrong), name
        for preset, options in method.presets.items():
            content = BASE | {"options": {f"{method.name}:{preset}": _plain(options)}}
            assert validator.is_valid(content), (method.name, preset)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=dict))


def _described(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, field in schema.get("properties", {}).items():
        yield name, field
        parts = [field, *field.get("anyOf", [])]
        for part in parts:
            yield from _described(part)
            inner = part.get("additionalProperties")
            if isinstance(inner, dict):
                yield from _described(inner)


def test_every_key_says_what_it_is(schema: dict[str, Any]) -> None:
    every = [*_described(schema)]
    for definition in schema["$defs"].values():
        every += _described(definition)
    assert len(every) > 60
    assert [name for name, field in every if not field.get("description")] == []


def test_the_command_writes_the_schema_and_nothing_else(schema: dict[str, Any]) -> None:
    shown = json.loads(output_of("schema"))
    assert shown == json.loads(json.dumps(schema))
    assert shown["$schema"] == DIALECT and shown["$id"]


def test_a_schema_is_made_afresh(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    grid_schema()["properties"].clear()
    assert grid_schema() == before
