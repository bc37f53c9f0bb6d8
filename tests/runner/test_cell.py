from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from runner.cell import Cell
from runner.config import Grid
from runner.planned import PlannedCell
from tests.runner.plans import task_for
from xmft.methods import METHODS
from xmft.task import Recipe

CELL = Cell(
    task="pdebench/darcy:beta1.0",
    task_version=1,
    method="orca",
    method_version=2,
    method_config={"clusters": 10, "source": {"tokens": 32, "samples": 5000}},
    recipe={"epochs": 20, "betas": [0.9, 0.98], "samples": None},
    backbone="minilm",
    weights="00ff",
    source="stdlib-docs",
    protocol="clean",
    seed=3,
    data="ab12",
    metric_versions={"rmse": 2, "nrmse": 1},
)
# Written by hand: keys sorted at every level, no blanks, metric_versions at the end as given.
CANONICAL = (
    '{"backbone":"minilm","data":"ab12","method":"orca",'
    '"method_config":{"clusters":10,"source":{"samples":5000,"tokens":32}},"method_version":2,'
    '"metric_versions":{"rmse":2,"nrmse":1},"protocol":"clean",'
    '"recipe":{"betas":[0.9,0.98],"epochs":20,"samples":null},"seed":3,"source":"stdlib-docs",'
    '"task":"pdebench/darcy:beta1.0","task_version":1,"weights":"00ff"}'
)
GOLDEN_ID = "f81eb842845fea85"

CHANGES: dict[str, Any] = {
    "task": "pdebench/darcy",
    "task_version": 2,
    "method": "nft",
    "method_version": 3,
    "method_config": {"clusters": 10, "source": {"tokens": 32, "samples": 5001}},
    "recipe": {"epochs": 20, "betas": [0.9, 0.99], "samples": None},
    "backbone": "roberta-base",
    "weights": "00fe",
    "source": None,
    "protocol": "released",
    "seed": 4,
    "data": "ab13",
    "metric_versions": {"rmse": 2, "nrmse": 2},
    "own_recipe": ["epochs"],
    "plugins": {"method:mine": "00aa"},
    "trial": {"study": "s", "number": 1, "until": 2, "since": 0},
    "tuned": {"trials": 4},
}


def test_canonical_json_is_as_written_by_hand() -> None:
    assert CELL.config_json == CANONICAL


def test_the_id_is_the_start_of_the_hash_and_has_not_changed() -> None:
    assert CELL.id == hashlib.sha256(CANONICAL.encode()).hexdigest()[:16]
    # If this fails, results that people have are not found any more: raise a version instead.
    assert CELL.id == GOLDEN_ID


def test_json_round_trip() -> None:
    again = Cell.from_json(CELL.config_json)
    assert again == CELL
    assert again.id == CELL.id
    assert list(again.metric_versions) == ["rmse", "nrmse"]


def test_every_field_has_a_change_below() -> None:
    assert set(CHANGES) == {field.name for field in fields(Cell)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_any_field_changes_the_id(name: str) -> None:
    changed = replace(CELL, **{name: CHANGES[name]})
    assert changed.id != CELL.id
    assert Cell.from_json(changed.config_json) == changed


def test_the_order_of_keys_does_not_matter() -> None:
    shuffled = replace(
        CELL,
        method_config={"source": {"samples": 5000, "tokens": 32}, "clusters": 10},
        recipe={"samples": None, "betas": [0.9, 0.98], "epochs": 20},
    )
    assert shuffled.id == CELL.id


def test_the_order_of_the_metrics_does() -> None:
    # The first metric is the main one: best_val selects on it.
    swapped = replace(CELL, metric_versions={"nrmse": 1, "rmse": 2})
    assert swapped.id != CELL.id


def test_values_without_a_json_form_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        _ = replace(CELL, recipe={"learning_rate": float("inf")}).id


def test_label_is_for_people() -> None:
    assert CELL.label == "pdebench/darcy:beta1.0 orca seed 3"


def test_a_recipe_becomes_plain_values() -> None:
    recipe = Recipe(learning_rate=1, betas=(0.5, 0.75)).model_dump(mode="json")
    cell = replace(CELL, recipe=recipe)
    assert cell.recipe["betas"] == [0.5, 0.75]
    content = json.loads(cell.config_json)
    assert content["recipe"]["learning_rate"] == 1.0
    assert '"learning_rate":1.0' in cell.config_json  # 1 and 1.0 are one cell
    assert set(content["recipe"]) == set(Recipe.model_fields)
    assert Cell.from_json(cell.config_json) == cell


def test_what_decides_the_result_decides_the_id(
    plan_one: Callable[..., PlannedCell], tiny_grid: Callable[..., Grid]
) -> None:
    options = tiny_grid().options
    finer = {"recraft": {**options["recraft"], "predictor": {"threshold": 0.5}}}
    variations: list[dict[str, Any]] = [
        {},
        {"seeds": [1]},
        {"methods": ["scratch"]},
        {"methods": ["recraft"]},
        {"methods": ["recraft"], "options": finer},
        {"tasks": ["pdebench/advection:beta1.0"]},
        {"tasks": ["pdebench/diffusion_reaction_1d"]},
        *({"recipe": change} for change in ({"epochs": 3}, {"samples": 50}, {"resolution": 16})),
        *({"recipe": {"precision": "bfloat16"}} for _ in range(1)),
    ]
    ids = [plan_one(**variation).cell.id for variation in variations]
    assert len(set(ids)) == len(variations)
    assert plan_one(per_task={"pdebench/advection": {"epochs": 3}}).cell.id == ids[7]
    assert plan_one(options={}).cell.id == ids[0]  # options of another method


RECIPE_CHANGES: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "optimizer": "sgd",
    "weight_decay": 0.5,
    "decay_all": False,
    "layer_decay": 0.5,
    "betas": [0.5, 0.5],
    "momentum": 0.99,
    "warmup": 0.5,
    "schedule": "cosine",
    "average": 0.9,
    "loss": "ranking",
    "augment": "symmetries",
    "canonical": True,
    "clip_grad_norm": None,
    "layers": 1,
    "encoder": "norms",
    "lora_rank": 2,
    "max_tokens": 8,
    "patches": "published",
    "amplitude": False,
    "overlap": 0.5,
    "stem": "convolution",
    "padding": "zeros",
    "dense_head": "published",
    "base": "ridge",
    "base_seen": True,
    "refine": True,
    "residual": True,
    "samples": 50,
    "train_samples": 20,
    "resolution": 16,
    "precision": "bfloat16",
    "compile": True,
}
# Of an encoder, its embedder and its head.
ENCODED = {
    "layers",
    "encoder",
    "lora_rank",
    "max_tokens",
    "patches",
    "amplitude",
    "overlap",
    "stem",
    "padding",
    "dense_head",
    "refine",
    "residual",
    "layer_decay",
}
# Nothing looks beyond an edge: see below.
ALONE = set(RECIPE_CHANGES) - {"padding"}
CONCERNS = {
    "nft": ALONE,
    "fpt": ALONE - {"encoder", "lora_rank"},
    "fno": ALONE - ENCODED - {"compile"},
    "unet": ALONE - ENCODED,
    "identity": {"samples", "resolution", "precision"},
    "mean": {"samples", "train_samples", "resolution", "precision"},
}


def test_every_field_of_the_recipe_has_a_change_above() -> None:
    assert set(RECIPE_CHANGES) == set(Recipe.model_fields)


@pytest.mark.parametrize("method", CONCERNS)
def test_only_what_concerns_a_method_changes_its_id(
    method: str, plan_one: Callable[..., PlannedCell]
) -> None:
    usual = plan_one(methods=[method]).cell.id
    changing = {
        field
        for field, value in RECIPE_CHANGES.items()
        if plan_one(methods=[method], recipe={field: value}).cell.id != usual
    }
    assert changing == CONCERNS[method]


def test_what_lies_beyond_the_edges_concerns_recipes_that_look_there(
    plan_one: Callable[..., PlannedCell],
) -> None:
    def same(method: str, **reaching: Any) -> bool:
        ids = {
            plan_one(methods=[method], recipe={**reaching, "padding": padding}).cell.id
            for padding in ("zeros", "periodic")
        }
        return len(ids) == 1

    for reaching in ({"overlap": 0.5}, {"stem": "convolution"}, {"refine": True}):
        assert not same("nft", **reaching) and same("fno", **reaching), reaching
    assert same("nft")
    # They do not have the field, as cells of before it.
    assert "padding" not in plan_one(methods=["nft"]).cell.recipe


def test_all_samples_are_said_where_a_method_alone_has_them(
    plan_one: Callable[..., PlannedCell],
) -> None:
    """Else a variant of fewer samples and one of all of them would be of two settings."""
    common = {"methods": ["nft"], "recipe": {"train_samples": 20}}
    few = plan_one(**common).cell
    every = plan_one(**common, per_method={"nft": {"train_samples": None}}).cell
    assert (few.recipe["train_samples"], few.own_recipe) == (20, [])
    assert (every.recipe["train_samples"], every.own_recipe) == (None, ["train_samples"])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_id_of_its_own(
    method: str, plan_one: Callable[..., PlannedCell]
) -> None:
    ids = {name: plan_one(methods=[name], tasks=[task_for(name)]).cell.id for name in METHODS}
    cell = plan_one(methods=[method], tasks=[task_for(method)]).cell
    others = {found for name, found in ids.items() if name != method}
    assert cell.id not in others
    assert Cell.from_json(cell.config_json) == cell
