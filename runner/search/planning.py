"""From a grid with a search to the studies of its tasks and methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import catalog
from runner.cell import Cell
from runner.search.proposals import Values
from runner.search.space import EVERY, OPTIONS
from runner.search.study import Steps, Study, parted
from runner.validation import validated
from xmft.canonical import suited
from xmft.errors import RequestError
from xmft.methods.variants import merged_options, method_of, options_of
from xmft.metrics import METRICS
from xmft.recipe import Recipe
from xmft.registry import nearest

if TYPE_CHECKING:
    from runner.config import Grid


def plain_steps(grid: Grid, common: Cell, note: str = "") -> Steps:
    """Return the cells of a method that is not tuned: one for each seed."""
    cells = tuple(replace(common, seed=seed) for seed in grid.seeds)
    return Steps(trials=(), spent=frozenset(), final=cells, note=note)


def planned_steps(
    grid: Grid, task: str, common: Cell, settled: Mapping[str, float | None]
) -> Steps:
    """Return the cells of one method on one task that can be planned by now.

    Args:
        grid: The grid.
        task: Name of the task in the grid.
        common: A cell as it is without a search.
        settled: Scores of the trials that have reported.

    Raises:
        RequestError: a value of the space is none that the recipe or the method takes.
    """
    search, method = grid.search, common.method
    if search is None:
        return plain_steps(grid, common)
    kind = method_of(method)
    if "epochs" in kind.ignores:
        return plain_steps(grid, common, f"{method} trains nothing: it is not tuned.")
    space = search.space_of(method, kind.ignores)
    if not space:
        note = f"search.space has nothing for {method}: it runs as it is, not tuned."
        return plain_steps(grid, common, note)

    def make(values: Values) -> Cell:
        fields, options = parted(values)
        where = f"search.space of {method}"
        recipe = grid.recipe_of(task, method).model_dump()
        config = validated(
            kind.Config,
            merged_options(options_of(method, grid.options), options),
            where=where,
        )
        made = validated(Recipe, recipe | fields, where=where)
        of_task = catalog.get(task).task_under(grid.protocol)
        made = suited(made, of_task, common.own_recipe)
        stated = made.stated(kind.ignores, common.own_recipe)
        return replace(
            common,
            recipe=stated,
            method_config=config.model_dump(mode="json"),
            own_recipe=sorted({*common.own_recipe, *fields} & stated.keys()),
        )

    study = Study(
        search=search,
        space=space,
        make=make,
        seed=grid.seeds[0] if search.seed is None else search.seed,
        seeds=grid.seeds,
        epochs=int(common.recipe["epochs"]),
        direction=METRICS[next(iter(common.metric_versions))].direction,
    )
    study.check()
    return study.steps(settled)


def check_methods(grid: Grid) -> None:
    """Make sure of what a search says of methods.

    Raises:
        RequestError: it names a method or an option that there is not, or a field that is of no
            concern to its method.
    """
    for name, fields in (grid.search.space if grid.search else {}).items():
        if name == EVERY:
            continue
        kind = method_of(name)
        for field in fields:
            if field in kind.ignores:
                raise RequestError(
                    f"'{field}' in search.space.{name} is of no concern to the method "
                    f"'{kind.name}'. Leave it out."
                )
            option = field.removeprefix(OPTIONS).partition(".")[0]
            if field.startswith(OPTIONS) and option not in kind.Config.model_fields:
                raise RequestError(
                    f"'{field}' in search.space.{name} is no option of method '{kind.name}'. "
                    f"{nearest(option, kind.Config.model_fields)}"
                )
