"""Grids: the YAML file that says which cells to run, read strictly and explained well."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmft.errors import RequestError
from xmft.registry import nearest
from xmft.task import Protocol, Recipe

M = TypeVar("M", bound=BaseModel)
# The ledger stores seeds as int64.
_Seed = Annotated[int, Field(ge=0, lt=2**63)]


class TaskSettings(Recipe):
    """All that a grid may say of one task: its recipe, and the backbone and source it is for."""

    backbone: str
    source: str


class Grid(BaseModel):
    """Every combination of task, method and seed under one protocol.

    All tasks have the backbone, source and recipe of the grid but for what `per_task` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    description: str = Field("", description="one line for `xmft list grids`")
    tasks: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    seeds: list[_Seed] = Field([0, 1, 2], min_length=1)
    backbone: str = "minilm"
    source: str = Field("stdlib-docs", description="source proxy of the methods that align")
    protocol: Protocol = "clean"
    recipe: dict[str, Any] = Field({}, description="fields of Recipe, for all tasks")
    per_task: dict[str, dict[str, Any]] = Field(
        {}, description="task: fields of Recipe, backbone, source"
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="method or method:variant: fields of its Config"
    )

    def settings_of(self, task: str) -> TaskSettings:
        """Return what holds for one task.

        Raises:
            RequestError: a field is unknown or of the wrong type.
        """
        validated(Recipe, self.recipe, where="recipe")
        carrier = {"backbone": self.backbone, "source": self.source}
        fields = {**carrier, **self.recipe, **self.per_task.get(task, {})}
        return validated(TaskSettings, fields, where=f"recipe of {task}")

    def recipe_of(self, task: str) -> Recipe:
        """Return the recipe of one task; raises as `settings_of`."""
        settings = self.settings_of(task)
        return Recipe(**{name: getattr(settings, name) for name in Recipe.model_fields})


def shipped_grids() -> dict[str, Path]:
    """Return the grids that come with the package, by name."""
    folder = Path(str(resources.files("benchmarks.grids")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_grid(name: str, settings: Sequence[str] = ()) -> Grid:
    """Read a grid and apply `key=value` settings to it.

    Args:
        name: A shipped name or the path of a YAML file.
        settings: `key=value`, where key is a field of the grid, a field of the recipe, or
            `method.option` or `method:variant.option`.

    Raises:
        RequestError: there is no such grid, or something in it is wrong.
    """
    shipped = shipped_grids()
    try:
        path = shipped[name] if name in shipped else Path(name).expanduser()
        text = path.read_text()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise RequestError(
            f"Grid '{name}' is neither a shipped grid nor a readable YAML file "
            f"({type(error).__name__}). {nearest(name, shipped)}"
        ) from None
    try:
        # A copy, because two anchors of a YAML file are one object.
        content = _unshared(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"Grid {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise RequestError(f"Grid {path} must be a mapping with the keys tasks and methods.")
    written = [name for key in ("tasks", "methods") for name in _names(content.get(key))]
    # Sources come last: which of them to replace depends on the backbones that are left.
    for setting in sorted(settings, key=lambda setting: setting.startswith("source=")):
        _apply(content, setting)
    # A key without a value means nothing to say, not null.
    given = {key: value for key, value in content.items() if value is not None}
    grid = validated(Grid, given, where=f"grid {path.name}")
    for task in grid.per_task:
        # Narrowed down on the command line, a grid may keep what it says of its other tasks.
        if task not in grid.tasks and task not in written:
            raise RequestError(
                f"Unknown name '{task}' in per_task of grid {path.name}; its tasks are meant. "
                f"{nearest(task, grid.tasks)}"
            )
    for name in grid.options:
        # Options of a method may be kept for another day; those of a variant that nobody asks
        # for are a slip of the pen.
        if ":" in name and name not in grid.methods and name not in written:
            raise RequestError(
                f"Options are given for '{name}', which is not among the methods of grid "
                f"{path.name}. {nearest(name, grid.methods)}"
            )
    return grid


def _apply(content: dict[str, Any], setting: str) -> None:
    """Put one `key=value` where it belongs."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise RequestError(f"--set takes key=value, found '{setting}'.")
    value = _parse(text)
    if key == "source":
        _set_source(content, value)
    elif key in Grid.model_fields:
        content[key] = value
        if key == "backbone":
            _forget(content, key)
    elif key in Recipe.model_fields or key.startswith("recipe."):
        field = key.removeprefix("recipe.")
        _mapping(content, "recipe")[field] = value
        _forget(content, field)
    elif "." in key:
        *parents, leaf = key.split(".")
        target = _mapping(content, "options")
        for parent in parents:
            target = _mapping(target, parent)
        target[leaf] = value
    else:
        known = [*Grid.model_fields, *Recipe.model_fields]
        raise RequestError(
            f"Unknown setting '{key}'. {nearest(key, known)} "
            "Options of a method are written method.option."
        )


def _set_source(content: dict[str, Any], name: Any) -> None:
    """Replace the sources of the grid and of `per_task`."""
    per_task = _mapping(content, "per_task")
    tasks = [_mapping(per_task, task) for task in per_task]
    if content.get("source") is None:
        content["source"] = Grid.model_fields["source"].default
    holders = [content, *(task for task in tasks if "source" in task)]
    # With one backbone for all tasks there is one source for all of them. Where tasks have
    # backbones of their own, text and vision stand side by side and only sources like it give way.
    several = any("backbone" in task for task in tasks)
    alike = [h for h in holders if several and _modality(h["source"]) == _modality(name)]
    for holder in alike or holders:
        holder["source"] = name


def _modality(source: Any) -> str | None:
    """Return the modality of a source proxy, None if there is none of that name."""
    # Not at the top: proxies need torch, which takes seconds to import.
    from xmft.source import PROXIES

    known = isinstance(source, str) and source in PROXIES
    return PROXIES[source].modality if known else None


def _forget(content: dict[str, Any], field: str) -> None:
    """Take a field out of what `per_task` says, so that all tasks have the same."""
    per_task = _mapping(content, "per_task")
    for task in per_task:
        _mapping(per_task, task).pop(field, None)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    """Return `content[key]`, made or filled in if it is missing or empty."""
    if content.get(key) is None:
        content[key] = {}
    if not isinstance(content[key], dict):
        raise RequestError(f"'{key}' must be a mapping, found {content[key]!r}.")
    inner: dict[str, Any] = content[key]
    return inner


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


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


def validated(model: type[M], content: Mapping[str, Any], *, where: str) -> M:
    """Build `model` from a mapping; the first thing wrong becomes one sentence.

    Raises:
        RequestError: an unknown key, a missing one, or a value of the wrong type.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise RequestError(_sentence(model, error, where)) from None


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    # A misspelt key explains a missing one, not the other way round.
    problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    path = ".".join(str(part) for part in problem["loc"])
    found = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"Unknown key '{path}' in {where}. {nearest(path, _fields_at(model, problem))}"
    if problem["type"] == "missing":
        return f"The key '{path}' is missing in {where}."
    reason = problem["msg"][0].lower() + problem["msg"][1:]
    sentence = f"'{path}' in {where}: {reason}, found {found!r}."
    if isinstance(found, str) and _is_number(found):
        sentence += f" YAML reads {found} as text; write {_yaml_number(found)}."
    return sentence


def _fields_at(model: type[BaseModel], problem: Any) -> Iterable[str]:
    """Return the keys that would have been right where the wrong one stood."""
    for part in problem["loc"][:-1]:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return model.model_fields


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number(text: str) -> str:
    """Write 1e-3 as YAML 1.1 wants it: with a point and a signed exponent, without quotes."""
    mantissa, e, exponent = text.strip().lower().partition("e")
    if not e:
        return mantissa
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}e{int(exponent):+d}"


def select(names: Sequence[str], patterns: Sequence[str], *, kind: str) -> list[str]:
    """Return the names that match any of the glob patterns, all if there is no pattern.

    Raises:
        RequestError: a pattern matches nothing.
    """
    wanted = [part for pattern in patterns for part in pattern.split(",") if part]
    if not wanted:
        return list(names)
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            raise RequestError(
                f"No {kind} of the grid matches '{pattern}'. {nearest(pattern, names)}"
            )
    return [name for name in names if any(fnmatch.fnmatch(name, p) for p in wanted)]
