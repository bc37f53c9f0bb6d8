"""What recipes ask of embedders and heads, through the whole loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.xmft.small_fields import field_data
from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from xmft.methods import METHODS
from xmft.methods.variants import preset_recipe
from xmft.recipe import Recipe
from xmft.symmetries import Symmetries
from xmft.task import TaskData
from xmft.training import train

Train = Callable[..., tuple[Any, Any]]

# Two channels in, one out.
OPTIONS: dict[str, dict[str, Any]] = {
    "amplitude": {"amplitude": False},
    "patches": {"patches": "convolution"},
    "overlap": {"overlap": 0.5},
    "stem": {"stem": "convolution"},
    "refine": {"refine": True},
    "residual": {"residual": True},
}
ALL = {name: value for fields in OPTIONS.values() for name, value in fields.items()}
ALL |= {"amplitude": True, "padding": "periodic"}


@pytest.fixture
def waves(dense_data: TaskData) -> TaskData:
    """The toy's waves, with their period told."""
    return replace(dense_data, task=replace(dense_data.task, symmetries=Symmetries(periodic=(0,))))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_gives_other_numbers_and_still_learns(
    name: str, waves: TaskData, recipe: Recipe, train: Train
) -> None:
    _, plain = train("nft", waves, recipe)
    _, result = train("nft", waves, recipe.model_copy(update=OPTIONS[name]))
    assert result.scores != plain.scores
    losses = [p.value for p in result.curves if p.name == "fitting/loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method, dies_after", [("recraft", 1), ("pare", 2), ("mona", 3)])
def test_a_run_with_all_of_them_goes_on_as_if_nothing_had_happened(
    method: str, dies_after: int, waves: TaskData, recipe: Recipe, train: Train
) -> None:
    asked = recipe.model_copy(update=ALL)
    more = {} if method == "pare" else {"start": "moments"}
    model, result = train(method, waves, asked, **more)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, waves, asked, session=keeper, **more)
    # The closed-form start acts on what is drawn, and not on what is restored.
    resumed_model, resumed = train(method, waves, asked, session=keeper, **more)
    assert resumed.scores == result.scores and resumed.curves == result.curves
    assert_same(snapshot(resumed_model), snapshot(model))


@pytest.mark.parametrize("method", ["nft", "pare"])
def test_micro_batches_change_nothing(
    method: str, waves: TaskData, recipe: Recipe, train: Train
) -> None:
    asked = recipe.model_copy(update=ALL)
    _, whole = train(method, waves, asked)
    _, parts = train(method, waves, asked, micro_batch=3)
    for a, b in zip(whole.scores, parts.scores, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4)


@pytest.mark.parametrize("backbone", ["tiny-sequence", "tiny-swin"])
def test_fields_of_two_axes_can_have_all_of_them(backbone: str) -> None:
    data = field_data(2, (18, 15), 2, count=12)
    asked = Recipe(epochs=2, batch_size=6, max_tokens=16, **ALL)
    done = train(data, "nft", backbone=backbone, recipe=asked)
    assert all(p.grad is not None for p in done.model.parameters())
    first = done.model.embedder.gain
    assert first.item() != pytest.approx(0.1)
    with torch.no_grad():
        assert done.model(torch.from_numpy(data.test.inputs[:3])).shape == (3, 2, 18, 15)


PUBLIC = {
    "orca:released": "published",
    "pare:released": "published",
    "pare:released-dense": "published",
    "pare:released-classes": "published",
    "recraft:released": "redrawn",
    "recraft:paper": "redrawn",
}


def test_presets_of_public_code_have_its_embedder() -> None:
    names = {f"{name}:{preset}" for name, kind in METHODS.items() for preset in kind.presets}
    assert names == PUBLIC.keys()
    for name, patches in PUBLIC.items():
        assert preset_recipe(name) == {"patches": patches, "amplitude": False}


@pytest.mark.parametrize("name", ["fno", "unet", "ridge", "kernel", "identity", "mean"])
def test_what_has_no_embedder_ignores_them(name: str) -> None:
    assert ALL.keys() <= METHODS[name].ignores
