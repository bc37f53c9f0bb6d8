"""Recipes of single methods: part of the cell, part of the line, no reason to leave a cell out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.config import Grid, load_grid
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan
from tests.runner.boards import DARCY, build, grid, labels, ledger
from xmft.errors import RequestError
from xmft.methods.recraft import Recraft

Write = Callable[[str], str]
CONTENT = """
tasks: [pdebench/advection, "pdebench/darcy:beta1.0"]
methods: [nft, fno, "recraft:paper"]
seeds: [0]
recipe: {epochs: 5, learning_rate: 1.0e-4}
per_task:
  pdebench/advection: {learning_rate: 2.0e-4, epochs: 7}
per_method:
  fno: {learning_rate: 5.0e-3}
  recraft: {weight_decay: 0.5, epochs: 3}
  recraft:paper: {epochs: 4}
"""


def test_a_method_has_its_own_fields_on_all_tasks(write: Write) -> None:
    made = load_grid(write(CONTENT))
    rates = {
        (task, method): made.recipe_of(task, method).learning_rate
        for task in made.tasks
        for method in ("nft", "fno")
    }
    assert set(rates.values()) == {1e-4, 2e-4, 5e-3}
    assert {rates[task, "fno"] for task in made.tasks} == {5e-3}
    assert made.recipe_of("pdebench/advection", "fno").epochs == 7
    variant = made.recipe_of("pdebench/advection", "recraft:paper")
    assert (variant.weight_decay, variant.epochs) == (0.5, 4)
    assert made.recipe_of("pdebench/advection").learning_rate == 2e-4


def test_per_method_goes_before_a_preset_and_a_preset_before_the_recipe(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Recraft, "preset_recipes", {"paper": {"weight_decay": 0.1, "warmup": 0.3, "epochs": 9}}
    )
    made = load_grid(write(CONTENT))
    variant = made.recipe_of("pdebench/advection", "recraft:paper")
    # The grid says the decay of the method and the epochs of the variant.
    assert (variant.weight_decay, variant.warmup, variant.epochs) == (0.5, 0.3, 4)
    assert made.recipe_of("pdebench/advection", "recraft").warmup == 0.1
    assert set(made.own_recipe("recraft:paper")) == {"weight_decay", "warmup", "epochs"}


def test_it_is_part_of_the_cell(plan_one: Callable[..., PlannedCell]) -> None:
    plain = plan_one().cell
    own = plan_one(per_method={"nft": {"learning_rate": 0.5}}).cell
    assert own.recipe == {**plain.recipe, "learning_rate": 0.5}
    assert own.own_recipe == ["learning_rate"] and "own_recipe" not in plain.config_json
    assert own.id != plain.id
    for other in ({"fno": {"learning_rate": 0.5}}, {"nft": {}}, {}):
        assert plan_one(per_method=other).cell.id == plain.id


def test_fields_that_a_method_ignores_are_none_of_its_own(
    tiny_grid: Callable[..., Grid], ledger: Ledger, data_root: Path
) -> None:
    (plain,), (own,) = (
        make_plan(tiny_grid(methods=["ridge"], **more), ledger, data_root)
        for more in ({}, {"per_method": {"ridge": {"learning_rate": 0.5}}})
    )
    assert own.cell.id == plain.cell.id and own.cell.own_recipe == []


def test_methods_with_their_own_recipe_are_compared() -> None:
    """The rate of one method is no other setting of the task; another rate is another entry."""
    common = {"epochs": 20, "samples": 100}
    own = {"own_recipe": ["learning_rate"], "backbone": "none"}
    tables = [
        *grid({"orca": {DARCY: 0.3}, "nft": {DARCY: 0.4}}, recipe=common | {"learning_rate": 1e-4}),
        *grid({"fno": {DARCY: 0.2}}, recipe=common | {"learning_rate": 5e-3}, **own),
    ]
    (board,) = build(ledger(*tables))
    assert labels(board.ranked) == ["fno", "orca", "nft"] and board.notes == ()
    faster = grid({"fno": {DARCY: 0.1}}, recipe=common | {"learning_rate": 1e-2}, **own)
    (board,) = build(ledger(*tables, *faster))
    assert labels(board.ranked) == [
        "fno (learning_rate=0.01)",
        "fno (learning_rate=0.005)",
        "orca",
        "nft",
    ]


def test_set_speaks_for_all_or_for_one(write: Write) -> None:
    everyone = load_grid(write(CONTENT), ["learning_rate=1e-2"])
    one = load_grid(write(CONTENT), ["per_method.fno.learning_rate=1e-2"])
    for task in one.tasks:
        found = [
            made.recipe_of(task, m).learning_rate for made in (everyone, one) for m in one.methods
        ]
        assert found[:3] == [1e-2] * 3
        assert found[3] != 1e-2 and found[4] == 1e-2
    nested = load_grid(write(CONTENT), ["per_method.recraft:paper.epochs=9"])
    assert nested.recipe_of("pdebench/advection", "recraft:paper").epochs == 9


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"fno": {"learning_rat": 1e-2}}, ["'learning_rat' in per_method of fno", "learning_rate"]),
        ({"fno": {"epochs": 0}}, ["'epochs' in per_method of fno", "found 0"]),
        ({"fno": {"samples": 50}}, ["'samples' in per_method of fno", "other data"]),
        ({"fn": {"epochs": 1}}, ["Unknown method 'fn' in per_method", "'fno'"]),
    ],
)
def test_wrong_fields_are_explained(
    tiny_grid: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    fields: dict[str, dict[str, Any]],
    parts: list[str],
) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(tiny_grid(methods=["nft", "fno"], per_method=fields), ledger, data_root)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_variant_that_nobody_asks_for_is_a_slip(write: Write) -> None:
    with pytest.raises(RequestError, match="Fields of per_method are given for 'recraft:papr'"):
        load_grid(write(CONTENT.replace("  recraft:paper:", "  recraft:papr:")))


def test_resources_of_such_a_variant_are_one_too(write: Write) -> None:
    content = CONTENT + "resources: {'recraft:papr': {cpus: 2}}\n"
    with pytest.raises(RequestError, match="Resources are given for 'recraft:papr'"):
        load_grid(write(content))
    content = CONTENT + "resources: {pdebench/advection: {cpus: 2}, unet: {cpus: 3}}\n"
    assert load_grid(write(content), ["tasks=[pdebench/darcy]"]).resources
