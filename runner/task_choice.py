"""Which tasks of a grid a method is not run on, and which it cannot be run on as asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks import catalog
from runner.config import Grid
from runner.validation import validated
from xmft.closed_forms.residual import check_base
from xmft.heads import check_residual
from xmft.methods.variants import method_of, overridden_fields, overridden_options
from xmft.metrics import trained_on
from xmft.parameter_groups import check_frozen
from xmft.symmetries import check_symmetries
from xmft.task import Protocol, Recipe

# Fields of the recipe that not every task gives occasion for, or that exclude each other.
_CHECKED = ("augment", "base", "encoder", "layer_decay", "loss", "residual")


def unfit_tasks(method: str, grid: Grid) -> list[str]:
    """Return the tasks of a grid that a method is not for: of another kind, or with other axes."""
    of, entries = method_of(method), {name: catalog.get(name) for name in grid.tasks}
    return [
        name
        for name, entry in entries.items()
        if entry.task.kind not in of.kinds or entry.axes not in of.axes
    ]


def skipped_tasks(method: str, grid: Grid) -> list[str]:
    """Return the other tasks that the grid leaves out for a method."""
    left, unfit = grid.left_out(method), unfit_tasks(method, grid)
    return [name for name in grid.tasks if name in left and name not in unfit]


def tasks_of(method: str, grid: Grid) -> list[str]:
    """Return the tasks of a grid that a method is run on."""
    left = {*unfit_tasks(method, grid), *skipped_tasks(method, grid)}
    return [name for name in grid.tasks if name not in left]


def left_out_remarks(method: str, unfit: list[str], skipped: list[str]) -> tuple[str, ...]:
    """Return what is to be said of the tasks that a method is not run on, if there are any."""
    lines = [(f"{method} is for {method_of(method).purpose()}: not run on", unfit)]
    lines += [(f"The grid leaves out for {method}:", skipped)]
    return tuple(f"{start} {', '.join(names)}." for start, names in lines if names)


def preset_remarks(method: str, task: str, grid: Grid) -> tuple[str, ...]:
    """Return what is to be said of what a preset has in place of what the grid says.

    Options of the method, and on one task fields of the recipe.
    """
    said = {**grid.recipe, **grid.per_task.get(task, {})}
    for name in (method.partition(":")[0], method):
        for field in grid.per_method.get(name, {}):
            said.pop(field, None)
    found = overridden_options(method, grid.options), overridden_fields(method, said)
    return tuple(remark for remark in found if remark)


def check_recipes(method: str, grid: Grid) -> None:
    """Make sure that a method's tasks give occasion for what their recipes, or a search, ask for.

    Raises:
        RequestError: one has no symmetries, a metric that nothing is fitted to, inputs to which
            nothing can be added, or is none for the base of its recipe; or two fields exclude each
            other.
    """
    ignores = method_of(method).ignores
    for name in tasks_of(method, grid):
        for recipe in _recipes(name, method, grid):
            _check_recipe(name, recipe.without(ignores), grid.protocol)


def _recipes(task: str, method: str, grid: Grid) -> Iterator[Recipe]:
    """Yield the recipe of a task, with all that a search may draw together of what is checked."""
    recipe = grid.recipe_of(task, method)
    space = {} if grid.search is None else grid.search.space_of(method, method_of(method).ignores)
    drawn = {field: space[field].values for field in _CHECKED if field in space}
    for values in itertools.product(*drawn.values()):
        fields = dict(zip(drawn, values, strict=True))
        yield validated(Recipe, recipe.model_dump() | fields, where=f"search.space of {method}")


def _check_recipe(name: str, recipe: Recipe, protocol: Protocol) -> None:
    entry = catalog.get(name)
    task = entry.task_under(protocol)
    check_symmetries(name, task.symmetries, recipe)
    trained_on(task, recipe)
    check_residual(task, recipe)
    check_frozen(recipe)
    check_base(
        task,
        recipe,
        # Only the data say; without any decoder they are stored fields, which have none.
        windows=False,
        decoded=entry.decode is not None,
        augmented=entry.augment is not None or recipe.augment != "none",
    )
