"""Options of how to fit that a task gives no occasion for are refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import catalog
from runner.ledger import Ledger
from runner.plan import make_plan
from tests.runner.plans import MakeGrid
from xmft.errors import RequestError
from xmft.metrics import LOSSES, METRICS, trained_on
from xmft.task import Recipe

SORPTION = "pdebench/diffusion_sorption"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"augment": "symmetries"}, f"the equation of '{SORPTION}' has no symmetries"),
        ({"augment": "galilean"}, "the equation of 'pdebench/advection' has no other frames"),
    ],
)
def test_a_task_without_symmetries_is_named(
    change: dict[str, Any], sentence: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = {"tasks": ["pdebench/advection", SORPTION], "recipe": change}
    with pytest.raises(RequestError, match=sentence):
        make_plan(tiny_grid(**grid), ledger, data_root)
    # As the message says; and methods that look at no such thing do not mind.
    spared = {name: {"augment": "none"} for name in grid["tasks"]}
    assert make_plan(tiny_grid(**grid, per_task=spared), ledger, data_root)
    assert make_plan(tiny_grid(**grid, methods=["mean"]), ledger, data_root)


def test_a_ranking_that_is_no_mean_of_losses_is_named(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = {"tasks": ["nasbench360/satellite"], "recipe": {"loss": "ranking"}}
    with pytest.raises(RequestError, match="satellite' is ranked by 'error_pct'"):
        make_plan(tiny_grid(**grid), ledger, data_root)


@pytest.mark.parametrize("protocol", ["clean", "released"])
@pytest.mark.parametrize("name", [n for n in catalog.names() if n.startswith("pdebench/")])
def test_every_pde_can_be_trained_on_what_ranks_it(name: str, protocol: Any) -> None:
    task = catalog.get(name).task_under(protocol)
    changed = trained_on(task, Recipe(loss="ranking"))
    assert LOSSES[changed.loss].function is METRICS[task.metrics[0]].per_sample
    assert trained_on(task, Recipe()) is task
