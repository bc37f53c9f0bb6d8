"""Grids: the YAML file that says which cells to run, read strictly and explained well."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from runner.console import remark
from runner.grid_files import read_grid
from runner.resources import Resources, merged
from runner.search.space import Search, check_search
from runner.settings import apply_setting
from runner.validation import validated
from xmft.errors import RequestError
from xmft.registry import nearest
from xmft.task import Protocol, Recipe

# Fields of the recipe that cut the data, which methods are compared on.
OF_THE_DATA = frozenset({"samples", "resolution"})
# The ledger stores seeds as int64.
_Seed = Annotated[int, Field(ge=0, lt=2**63)]


class TaskSettings(Recipe):
    """All that a grid may say of one task: its recipe, and the backbone and source it is for."""

    backbone: str = Field(description="a name, a hub id or a folder")
    source: str = Field(description="empty: that of the backbone")


class Grid(BaseModel):
    """Every combination of task, method and seed under one protocol.

    All tasks have the backbone, source and recipe of the grid but for what `per_task` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    description: str = Field("", description="one line for `xmft list grids`")
    plugins: list[str] = Field(
        [], description="modules or .py files of your own that register tasks, methods, metrics"
    )
    tasks: list[str] = Field(min_length=1, description="suite/task or suite/task:variant")
    methods: list[str] = Field(min_length=1, description="method or method:variant, as a preset")
    seeds: list[_Seed] = Field([0, 1, 2], min_length=1, description="each is a cell of its own")
    backbone: str = Field("minilm", description="a name, a hub id or a folder")
    source: str | None = Field(
        None, description="source proxy of the methods that align; null: that of the backbone"
    )
    protocol: Protocol = Field(
        "clean", description="clean, or released: the pairs and extra scores of the public code"
    )
    miniature: bool = Field(
        False, description="use miniatures of the official files, which are written first"
    )
    recipe: dict[str, Any] = Field({}, description="fields of Recipe, for all tasks")
    per_task: dict[str, dict[str, Any]] = Field(
        {}, description="task: fields of Recipe, backbone, source"
    )
    per_method: dict[str, dict[str, Any]] = Field(
        {}, description="method or method:variant: fields of Recipe, for all tasks"
    )
    leave_out: dict[str, list[str]] = Field(
        {}, description="method or method:variant: tasks that it is not run on; * and ? match"
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="method or method:variant: fields of its Config"
    )
    resources: dict[str, Resources] = Field(
        {}, description="task, method or method:variant: workers, cpus, gpus, memory, sharding"
    )
    search: Search | None = Field(
        None, description="trials, scheduler, algorithm, space: tune each method alike first"
    )

    def settings_of(self, task: str, method: str | None = None) -> TaskSettings:
        """Return what holds for one task, and there for one method.

        Raises:
            RequestError: a field is unknown or of the wrong type.
        """
        validated(Recipe, self.recipe, where="recipe")
        carrier = {"backbone": self.backbone, "source": self.source}
        fields = {**carrier, **self.recipe, **self.per_task.get(task, {})}
        if method is not None:
            fields |= self.own_recipe(method)
        if fields["source"] is None:
            fields["source"] = ""
        return validated(TaskSettings, fields, where=f"recipe of {task}")

    def left_out(self, method: str) -> set[str]:
        """Return the tasks that the grid leaves out for a method; a variant's are its method's."""
        names = dict.fromkeys((method.partition(":")[0], method))
        patterns = [pattern for name in names for pattern in self.leave_out.get(name, [])]
        return {task for pattern in patterns for task in fnmatch.filter(self.tasks, pattern)}

    def own_recipe(self, method: str) -> dict[str, Any]:
        """Return the fields of the recipe that are said of a method alone.

        A variant has those of its preset, changed by its method's and then by its own.

        Raises:
            RequestError: a field is unknown, of the wrong type, or no matter of one method.
        """
        from xmft.methods.variants import (
            preset_recipe,  # with torch, which no reader of grids needs
        )

        own = preset_recipe(method)
        for name in dict.fromkeys((method.partition(":")[0], method)):
            fields = self.per_method.get(name, {})
            validated(Recipe, fields, where=f"per_method of {name}")
            for field in OF_THE_DATA & fields.keys():
                raise RequestError(
                    f"'{field}' in per_method of {name} would give this method other data than "
                    "the others have. Say it in recipe or per_task, for all of them."
                )
            own |= fields
        return own

    def resources_of(self, task: str, method: str) -> dict[str, Any]:
        """Return what is said of the resources of cells; of a method more than of a task."""
        names = (task, method.partition(":")[0], method)
        said = [self.resources[name].model_dump() for name in names if name in self.resources]
        return merged(*said)

    def recipe_of(self, task: str, method: str | None = None) -> Recipe:
        """Return the recipe of one task, and there of one method; raises as `settings_of`."""
        settings = self.settings_of(task, method)
        return Recipe(**{name: getattr(settings, name) for name in Recipe.model_fields})


def load_grid(name: str, settings: Sequence[str] = (), *, plugins: Sequence[str] = ()) -> Grid:
    """Read a grid, import its plug-ins and apply `key=value` settings to it.

    Args:
        name: A shipped name or the path of a YAML file.
        settings: `key=value`, where key is a field of the grid, a field of the recipe, or
            `method.option` or `method:variant.option`.
        plugins: More plug-ins than the grid names.

    Raises:
        RequestError: there is no such grid, or something in it is wrong.
    """
    content, path = read_grid(name)
    if own := _names(content.get("plugins")):
        # Before any of it runs: the file may come from somebody else.
        remark(f"Grid {path.name} runs code of its own: {', '.join(map(str, own))}")
    return make_grid(
        content, settings, plugins=plugins, folder=path.absolute().parent, where=f"grid {path.name}"
    )


def make_grid(
    content: dict[str, Any],
    settings: Sequence[str] = (),
    *,
    plugins: Sequence[str] = (),
    folder: Path | None = None,
    where: str = "the grid",
) -> Grid:
    """Make a grid of a mapping with the keys of a grid file.

    Args:
        content: What a file would say.
        settings: See `load_grid`.
        plugins: See `load_grid`.
        folder: What plug-in files that it names are relative to; None: the working directory.
        where: What it is called in messages.

    Raises:
        RequestError: something in it is wrong.
    """
    # A copy: it is changed below, and two anchors of a YAML file are one object.
    content = _unshared(content)
    _import_plugins(content, folder or Path.cwd(), plugins)
    written = [name for key in ("tasks", "methods") for name in _names(content.get(key))]
    # Sources come last: which of them to replace depends on the backbones that are left.
    for setting in sorted(settings, key=lambda setting: setting.startswith("source=")):
        apply_setting(content, setting, Grid.model_fields)
    # A key without a value means nothing to say, not null.
    given = {key: value for key, value in content.items() if value is not None}
    grid = validated(Grid, given, where=where)
    # Narrowed down on the command line, a grid may keep what it says of its other tasks.
    known = [*grid.tasks, *written]
    for task in grid.per_task:
        if task not in known:
            raise RequestError(
                f"Unknown name '{task}' in per_task of {where}; its tasks are meant. "
                f"{nearest(task, grid.tasks)}"
            )
    for name in grid.resources:
        if "/" in name and name not in known:
            raise RequestError(
                f"Unknown name '{name}' in resources of {where}; its tasks and methods are meant. "
                f"{nearest(name, grid.tasks)}"
            )
    for what, of_methods in (
        ("Options", grid.options),
        ("Fields of per_method", grid.per_method),
        ("Resources", [name for name in grid.resources if "/" not in name]),
        ("Tasks of leave_out", grid.leave_out),
    ):
        for name in of_methods:
            # Those of a method may be kept for another day; those of a variant that nobody asks
            # for are a slip of the pen.
            if ":" in name and name not in grid.methods and name not in written:
                raise RequestError(
                    f"{what} are given for '{name}', which is not among the methods of {where}. "
                    f"{nearest(name, grid.methods)}"
                )
    if grid.search is not None:
        check_search(grid.search, [*grid.methods, *written], where=where)
    return grid


def _import_plugins(content: dict[str, Any], folder: Path, more: Sequence[str]) -> None:
    """Import the plug-ins that a grid and the command line name; files are named absolutely then.

    Those of the grid are relative to its own folder, the others to the working directory.
    """
    own = content.get("plugins") or []
    if not isinstance(own, list) or not all(isinstance(name, str) for name in own):
        raise RequestError(f"'plugins' must be a list of modules or .py files, found {own!r}.")
    named = [(name, folder) for name in own] + [(name, Path.cwd()) for name in more]
    if not named:
        return
    # Imported here: a grid without plug-ins is read without torch.
    from runner.plugins import install, read_plugins

    content["plugins"] = [
        str((where / Path(name).expanduser()).absolute()) if name.endswith(".py") else name
        for name, where in named
    ]
    install(read_plugins(content["plugins"]))


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def narrowed(
    grid: Grid,
    *,
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int] | None = None,
) -> Grid:
    """Return a grid with what filters leave of it.

    Args:
        grid: The grid.
        tasks: Names or globs; empty for all.
        methods: Names or globs; empty for all.
        seeds: Seeds instead of those of the grid; None for these.

    Raises:
        RequestError: a filter matches nothing, or a seed is none.
    """
    changes: dict[str, Any] = {
        "tasks": select(grid.tasks, tasks, kind="task"),
        "methods": select(grid.methods, methods, kind="method"),
    }
    if seeds is not None:
        changes["seeds"] = list(seeds)
    return validated(Grid, {**grid.model_dump(), **changes}, where="--seeds")


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
