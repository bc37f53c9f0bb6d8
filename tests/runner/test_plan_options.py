"""Options of how to fit that a task gives no occasion for are refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import catalog
from runner.ledger import Ledger
from runner.plan import make_plan, remarks_of
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


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("pdebench/darcy", "or to its last frame, but they are another quantity"),
        ("nasbench360/darcy", "or to its last frame, but they are another quantity"),
        ("nasbench360/psicov", "or to its last frame, but they are another quantity"),
        ("nasbench360/cosmic", "or to its last frame, but targets are logits"),
    ],
)
def test_nothing_is_added_to_another_quantity(
    task: str, sentence: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = {"tasks": ["pdebench/shallow_water", task], "recipe": {"residual": True}}
    with pytest.raises(RequestError, match=f"{task}: residual=true .* {sentence}"):
        make_plan(tiny_grid(**grid), ledger, data_root)
    spared = {task: {"residual": False}}
    assert make_plan(tiny_grid(**grid, per_task=spared), ledger, data_root)


def test_rates_by_layer_of_a_frozen_encoder_are_named(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    recipe = {"layer_decay": 0.5, "encoder": "frozen"}
    with pytest.raises(RequestError, match=r"layer_decay=0\.5 is for layers that learn"):
        make_plan(tiny_grid(recipe=recipe), ledger, data_root)
    assert make_plan(tiny_grid(recipe=recipe, methods=["unet"]), ledger, data_root)


def test_kernels_of_series_are_for_series(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    tasks = ["nasbench360/satellite", "nasbench360/cifar100"]
    planned = make_plan(tiny_grid(tasks=tasks, methods=["knn", "rocket"]), ledger, data_root)
    assert [item.cell.task for item in planned if item.cell.method == "rocket"] == tasks[:1]
    told = "rocket is for classification and multilabel tasks in one dimension: not run on"
    assert f"{told} nasbench360/cifar100." in remarks_of(planned)
    with pytest.raises(RequestError, match="is a classification task in two dimensions"):
        make_plan(tiny_grid(tasks=tasks[1:], methods=["rocket"]), ledger, data_root)


def test_values_that_exclude_each_other_are_no_trial(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    space = {"base": {"choice": ["mean", "ridge"]}, "residual": {"choice": [False, True]}}
    search = {"trials": 9, "space": {"*": space}}
    with pytest.raises(RequestError, match="residual=true adds the network to the input, base"):
        make_plan(tiny_grid(search=search), ledger, data_root)
    space = {"base": {"choice": ["mean", "ridge"]}}
    assert make_plan(tiny_grid(search={"trials": 2, "space": {"*": space}}), ledger, data_root)


def test_a_form_of_one_method_is_one_entry_on_all_tasks(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    tasks = ["pdebench/advection", "pdebench/darcy:beta1.0"]
    own = {
        "methods": ["ridge", "ridge:seen"],
        "options": {"ridge:seen": {}},
        "per_method": {"ridge:seen": {"canonical": True}},
    }
    planned = make_plan(tiny_grid(tasks=tasks, **own), ledger, data_root)
    seen = [item.cell for item in planned if item.cell.method == "ridge:seen"]
    assert [(cell.task, cell.recipe["canonical"]) for cell in seen] == [(t, True) for t in tasks]
    # Where all are asked to have a form, one without is the same cell as ever.
    ids = [
        {item.cell.task: item.cell.id for item in make_plan(made, ledger, data_root)}
        for made in (
            tiny_grid(tasks=tasks, methods=["ridge"], recipe={"canonical": wanted})
            for wanted in (False, True)
        )
    ]
    assert ids[0][tasks[1]] == ids[1][tasks[1]] and ids[0][tasks[0]] != ids[1][tasks[0]]
