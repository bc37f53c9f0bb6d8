"""The shipped grids with a search: every method gets as many trials and epochs, on all tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from runner.config import Grid, load_grid
from runner.grid_files import shipped_grids
from runner.ledger import Ledger
from runner.plan import make_plan, remarks_of
from xmft.methods import METHODS
from xmft.methods.variants import method_of

SEARCHES = [name for name in shipped_grids() if load_grid(name).search]


def light(grid: Grid) -> Grid:
    """The grid on a backbone that is always there."""
    own = {"max_tokens": 8, "layers": None}
    per_task = {
        task: {k: v for k, v in fields.items() if k not in ("backbone", "source")} | own
        for task, fields in grid.per_task.items()
    }
    content = {**grid.model_dump(), "per_task": per_task}
    return Grid(**{**content, "backbone": "tiny-sequence", "source": "stdlib-docs"})


def test_there_are_two() -> None:
    assert SEARCHES == ["pdebench-best", "pdebench-small-best"]


@pytest.mark.parametrize("name", SEARCHES)
def test_every_method_has_the_same_budget(name: str, ledger: Ledger, data_root: Path) -> None:
    grid = light(load_grid(name))
    assert grid.search is not None
    planned = make_plan(grid, ledger, data_root)
    trials: Counter[tuple[str, str]] = Counter()
    plain: Counter[tuple[str, str]] = Counter()
    for item in planned:
        place = item.cell.task, item.cell.method
        (trials if item.cell.trial else plain)[place] += 1
    tuned = {m for m in grid.methods if "epochs" not in method_of(m).ignores}
    assert trials == dict.fromkeys(
        ((task, method) for task in grid.tasks for method in tuned), grid.search.trials
    )
    assert {method for _, method in plain} == set(grid.methods) - tuned
    # What trains nothing says so; of all others the budget is one and the same.
    budgets = {
        (line.partition(" of ")[2].partition(" epochs")[0], line.partition("; ")[0][-9:])
        for line in remarks_of(planned)
        if line.startswith("Search for ") and "pdebench/advection" in line
    }
    assert len(budgets) == 1


@pytest.mark.parametrize("name", SEARCHES)
def test_what_is_searched_is_what_the_published_grid_has(name: str) -> None:
    best, base = load_grid(name), load_grid(name.removesuffix("-best"))
    assert best.tasks == base.tasks and best.seeds == base.seeds
    for task in best.tasks:
        for field in ("epochs", "samples", "resolution", "max_tokens", "layers", "backbone"):
            values = [getattr(grid.settings_of(task), field) for grid in (best, base)]
            assert values[0] == values[1], (task, field)
    named = {method.partition(":")[0] for method in base.methods}
    assert named | {"knn"} == set(best.methods) & set(METHODS)
