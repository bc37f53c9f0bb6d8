"""Which tasks of a grid a method is not run on, and which it cannot be run on as asked."""

from __future__ import annotations

from benchmarks import catalog
from runner.config import Grid
from xmft.closed_forms.residual import check_base
from xmft.methods.variants import method_of
from xmft.metrics import trained_on
from xmft.symmetries import check_symmetries


def unfit_tasks(method: str, grid: Grid) -> list[str]:
    """Return the tasks of a grid that are of a kind that a method is not for."""
    kinds = method_of(method).kinds
    return [name for name in grid.tasks if catalog.get(name).task.kind not in kinds]


def skipped_tasks(method: str, grid: Grid) -> list[str]:
    """Return the other tasks that the grid leaves out for a method."""
    left, unfit = grid.left_out(method), unfit_tasks(method, grid)
    return [name for name in grid.tasks if name in left and name not in unfit]


def left_out_remarks(method: str, unfit: list[str], skipped: list[str]) -> tuple[str, ...]:
    """Return what is to be said of the tasks that a method is not run on, if there are any."""
    kinds = " and ".join(method_of(method).kinds)
    lines = [(f"{method} is for {kinds} tasks: not run on", unfit)]
    lines += [(f"The grid leaves out for {method}:", skipped)]
    return tuple(f"{start} {', '.join(names)}." for start, names in lines if names)


def check_recipes(method: str, grid: Grid) -> None:
    """Make sure that a method's tasks give occasion for what their recipes ask for.

    Raises:
        RequestError: one has no symmetries, a metric that nothing is fitted to, or is none for the
            base of its recipe.
    """
    left = {*unfit_tasks(method, grid), *skipped_tasks(method, grid)}
    ignores = method_of(method).ignores
    for name in grid.tasks:
        if name in left:
            continue
        recipe, entry = grid.recipe_of(name, method), catalog.get(name)
        task = entry.task_under(grid.protocol)
        if "augment" not in ignores:
            check_symmetries(name, task.symmetries, recipe)
        if "loss" not in ignores:
            trained_on(task, recipe)
        if recipe.base != "mean":
            check_base(
                task,
                recipe,
                ignores=ignores,
                # Only the data say; without any decoder they are stored fields, which have none.
                windows=False,
                decoded=entry.decode is not None,
                augmented=entry.augment is not None or recipe.augment != "none",
            )
