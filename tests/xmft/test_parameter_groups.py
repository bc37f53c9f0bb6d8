"""What decays and at which rate it learns, told by name for each architecture."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xmft.backbones import load_backbone
from xmft.errors import RequestError
from xmft.optimizers import freeze_all_but
from xmft.parameter_groups import Group, parameter_groups
from xmft.stages import Stage
from xmft.task import Recipe, TaskData
from xmft.training import Assembled, assemble

RATE, DECAY = 1e-2, 0.25
Build = Callable[..., tuple[Any, list[Stage]]]


def swin_data() -> TaskData:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12, 1, 16, 16)).astype(np.float32)
    return TaskData.from_arrays("toy/images", train=(x, y), test=(x, y), val=(x, y))


def assembled(data: TaskData, backbone: Any, recipe: Recipe, method: str = "nft") -> Assembled:
    return assemble(data, method, backbone=backbone, recipe=recipe)


def told(model: nn.Module, groups: list[Group]) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each parameter, by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


def groups_of(made: Assembled) -> dict[str, tuple[float, float]]:
    stage = made.stages[-1]
    freeze_all_but(made.model, stage.trains)
    return told(made.model, parameter_groups(made.model, stage, made.recipe))


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(optimizer="sgd", weight_decay=0.3, learning_rate=RATE)]
)
def test_by_default_there_is_one_group_in_the_order_of_the_model(
    recipe: Recipe, dense_data: TaskData, build: Build
) -> None:
    model, (stage,) = build("nft", dense_data, recipe)
    trained = freeze_all_but(model, stage.trains)
    (group,) = parameter_groups(model, stage, recipe)
    assert all(one is other for one, other in zip(group["params"], trained, strict=True))
    assert (group["lr"], group["weight_decay"]) == (recipe.learning_rate, recipe.weight_decay)


# By the names that transformers, this project and the operators give to matrices and kernels.
TEXT = r"(query|key|value|dense|project|past)\.weight"
SWIN = r"(\w_proj|fc1|fc2|reduction|project|past)\.weight"


@pytest.mark.parametrize("backbone, matrices", [("tiny-sequence", TEXT), ("tiny-swin", SWIN)])
def test_matrices_of_encoders_decay_and_nothing_else(
    backbone: str, matrices: str, dense_data: TaskData
) -> None:
    data = swin_data() if backbone == "tiny-swin" else dense_data
    found = groups_of(assembled(data, backbone, Recipe(decay_all=False, weight_decay=0.1)))
    decaying = {name for name, (_, decay) in found.items() if decay == 0.1}
    expected = {name for name in found if re.search(rf"\.{matrices}$", name)}
    assert decaying == expected
    rest = found.keys() - decaying
    assert all(found[name][1] == 0 for name in rest)
    # Of each kind that stays out there is one.
    kinds = ["norm", "bias"]
    kinds += ["relative_position_bias_table"] if backbone == "tiny-swin" else ["positions"]
    assert all(any(kind in name.lower() for name in rest) for kind in kinds)


def test_matrices_of_operators_decay_and_nothing_else(dense_data: TaskData) -> None:
    pytest.importorskip("neuralop")
    for method in ("unet", "fno"):
        made = assembled(dense_data, "", Recipe(decay_all=False, weight_decay=0.1), method)
        found = groups_of(made)
        weights = dict(made.model.named_parameters())
        for name, (_, decay) in found.items():
            last = name.rsplit(".", 1)[-1]
            assert (decay == 0) == (last == "bias" or weights[name].ndim < 2), name
        assert {decay for _, decay in found.values()} == {0, 0.1}


def swin_layer(name: str, depths: list[int]) -> int:
    """The layer of a parameter, as the fine-tuning code of SimMIM has it (`get_swin_layer`)."""
    if found := re.search(r"layers\.(\d+)\.blocks\.(\d+)\.", name):
        return sum(depths[: int(found[1])]) + int(found[2]) + 1
    if found := re.search(r"layers\.(\d+)\.downsample\.", name):
        return sum(depths[: int(found[1]) + 1])
    return sum(depths) + 1


def text_layer(name: str, layers: int) -> int:
    found = re.search(r"encoder\.layer\.(\d+)\.", name)
    return int(found[1]) + 1 if found else layers + 1


def test_rates_fall_from_layer_to_layer(dense_data: TaskData) -> None:
    recipe = Recipe(layer_decay=DECAY, learning_rate=RATE, weight_decay=0.1)
    for backbone, data, layer in (
        ("tiny-sequence", dense_data, lambda name: text_layer(name, 2)),
        ("tiny-swin", swin_data(), lambda name: swin_layer(name, [1, 1])),
    ):
        found = groups_of(assembled(data, backbone, recipe))
        assert {decay for _, decay in found.values()} == {0.1}
        for name, (rate, _) in found.items():
            inside = name.startswith("encoder.")
            power = 3 - layer(name) if inside else 0  # embedder and head are new
            assert rate == pytest.approx(RATE * DECAY**power), name
        assert len({rate for rate, _ in found.values()}) == 3


def test_what_stands_before_the_first_layer_learns_slowest(dense_data: TaskData) -> None:
    backbone = load_backbone("tiny-sequence")
    body: Any = backbone.encoder.body  # type: ignore[union-attr]
    # As ELECTRA's small encoders have it; it is not used here.
    modules = dict(body._modules)
    body._modules.clear()
    body._modules.update({"embeddings_project": nn.Linear(32, 32), **modules})
    recipe = Recipe(layer_decay=DECAY, learning_rate=RATE)
    found = groups_of(assembled(dense_data, backbone, recipe))
    assert found["encoder.body.embeddings_project.weight"][0] == pytest.approx(RATE * DECAY**3)


def test_tables_of_attention_biases_do_not_decay(dense_data: TaskData, build: Build) -> None:
    """MPNet adds a table of them, the weight of an embedding, to its attention scores."""
    model = nn.ModuleDict({"relative_attention_bias": nn.Embedding(4, 2), "map": nn.Linear(2, 2)})
    recipe = Recipe(decay_all=False, weight_decay=DECAY)
    _, (stage,) = build("nft", dense_data, recipe)
    names = {id(p): name for name, p in model.named_parameters()}
    decays = {
        names[id(p)]: group["weight_decay"]
        for group in parameter_groups(model, stage, recipe)
        for p in group["params"]
    }
    assert [name for name, decay in decays.items() if decay] == ["map.weight"]


def test_rates_by_layer_of_a_frozen_encoder_are_refused(dense_data: TaskData) -> None:
    recipe = Recipe(layer_decay=0.5, encoder="frozen")
    with pytest.raises(RequestError, match=r"layer_decay=0.5.*encoder=frozen"):
        assemble(dense_data, "nft", backbone="tiny-sequence", recipe=recipe)


def test_aligning_has_one_rate(dense_data: TaskData, build: Build) -> None:
    recipe = Recipe(layer_decay=DECAY, max_tokens=8)
    model, (fitting,) = build("nft", dense_data, recipe)
    freeze_all_but(model, fitting.trains)
    assert len(parameter_groups(model, fitting, recipe)) == 3
    assert len(parameter_groups(model, replace(fitting, account="align"), recipe)) == 1


def test_an_encoder_without_order_is_refused_before_training(dense_data: TaskData) -> None:
    class Plain(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.body = inner.body

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            encoded: torch.Tensor = self.body(inputs_embeds=tokens).last_hidden_state
            return encoded

    backbone = load_backbone("tiny-sequence")
    object.__setattr__(backbone, "encoder", Plain(backbone.encoder))
    with pytest.raises(RequestError, match=r"layer_decay=0.5.*ordered_layers"):
        assembled(dense_data, backbone, Recipe(layer_decay=0.5))
    assembled(dense_data, backbone, Recipe())
