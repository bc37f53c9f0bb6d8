"""Which tasks of a grid a method is not run on, and which it cannot be run on as asked."""

from __future__ import annotations

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

# Fields of the recipe that not every task gives occasion for.
_OF_THE_TASK = {"augment", "loss", "base", "residual"}


def unfit_tasks(method: str, grid: Grid) -> list[str]:
    """Return the tasks of a grid that a method is not for: of another kind, or with other axes."""
    of, entries = method_of(method), {name: catalog.get(name) for name in grid.tasks}
    return [
        name
        for name, entry in entries.items()
        if entry.task.kind not in of.kinds or entry.axes not in of.axes
    ]


def purpose(method: str) -> str:
    """Return which tasks a method is for, in words."""
    of = method_of(method)
    alone = " in one dimension" if of.axes == (1,) else ""
    return f"{' and '.join(of.kinds)} tasks{alone}"


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
    lines = [(f"{method} is for {purpose(method)}: not run on", unfit)]
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
        RequestError: one has no symmetries, a metric that nothing is fitted to, or is none for the
            base of its recipe.
    """
    ignores = method_of(method).ignores
    for name in tasks_of(method, grid):
        for recipe in _recipes(name, method, grid):
            check_recipe(name, recipe.without(ignores), grid.protocol)


def _recipes(task: str, method: str, grid: Grid) -> Iterator[Recipe]:
    """Yield the recipe of a task, and it with each choice of a search that a task may not allow."""
    recipe = grid.recipe_of(task, method)
    yield recipe
    if grid.search is None:
        return
    space = grid.search.space_of(method, method_of(method).ignores)
    for field in _OF_THE_TASK & space.keys():
        for value in space[field].choice or ():
            yield validated(
                Recipe, recipe.model_dump() | {field: value}, where=f"search.space of {method}"
            )


def check_recipe(name: str, recipe: Recipe, protocol: Protocol) -> None:
    """Make sure that a task gives occasion for what a recipe asks for.

    Raises:
        RequestError: it does not, or the recipe asks for two things that exclude each other.
    """
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
