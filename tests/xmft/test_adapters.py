"""What of the encoder learns: low-rank adapters, norms alone, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.test_parameter_groups import swin_data
from tests.xmft.test_resuming import assert_same, snapshot
from xmft.adapters import add_adapters
from xmft.backbones import load_backbone
from xmft.errors import RequestError
from xmft.records import FitResult
from xmft.task import Recipe, TaskData
from xmft.training import Assembled, assemble

Train = Callable[..., tuple[Any, FitResult]]
BACKBONES = ["tiny-sequence", "tiny-swin"]
RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=3e-3, max_tokens=8, lora_rank=3)
# Widths of the layers whose queries, keys and values are adapted.
WIDTHS = {"tiny-sequence": [32, 32], "tiny-swin": [16, 32]}


def made(backbone: str, encoder: Any, dense_data: TaskData) -> Assembled:
    data = swin_data() if backbone == "tiny-swin" else dense_data
    recipe = RECIPE.model_copy(update={"encoder": encoder})
    return assemble(data, "nft", backbone=backbone, recipe=recipe)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The pretrained parameters, by the names that they have without adapters."""
    return {
        name.replace("parametrizations.weight.original", "weight"): value
        for name, value in snapshot(model).items()
        if not name.endswith((".up", ".down"))
    }


@pytest.mark.parametrize("backbone", BACKBONES)
def test_adapters_change_nothing_before_they_learn(backbone: str, dense_data: TaskData) -> None:
    plain, adapted = (made(backbone, how, dense_data) for how in ("all", "lora"))
    assert_same(weights(adapted.model), snapshot(plain.model))
    inputs = torch.from_numpy(np.asarray(plain.data.test.inputs))
    with torch.inference_mode():
        assert torch.equal(adapted.model.eval()(inputs), plain.model.eval()(inputs))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_adapters_alone_learn_of_the_encoder(backbone: str, dense_data: TaskData) -> None:
    adapted = made(backbone, "lora", dense_data)
    before = snapshot(adapted.model)
    trained = adapted.fit()
    model = trained.model
    parts = dict(model.named_children())
    own = sum(p.numel() for part in ("embedder", "head") for p in parts[part].parameters())
    # A and B of three square maps in each layer.
    adapters = sum(3 * 2 * 3 * width for width in WIDTHS[backbone])
    assert trained.trainable_params == own + adapters
    for name, value in snapshot(parts["encoder"]).items():
        learned = name.endswith((".up", ".down"))
        assert torch.equal(value, before[f"encoder.{name}"]) != learned, name


def test_a_trained_adapter_adds_a_product_to_what_the_layer_gives(dense_data: TaskData) -> None:
    trained = made("tiny-sequence", "lora", dense_data).fit().model
    plain = made("tiny-sequence", "all", dense_data).model
    plain.load_state_dict(weights(trained))
    state = trained.state_dict()

    def adapt(prefix: str) -> Callable[..., Tensor]:
        up, down = (state[f"{prefix}.parametrizations.weight.0.{part}"] for part in ("up", "down"))
        return lambda module, inputs, output: output + inputs[0] @ down.T @ up.T

    adapted = [n for n, _ in plain.named_modules() if n.split(".")[-1] in ("query", "key", "value")]
    for name in adapted:
        plain.get_submodule(name).register_forward_hook(adapt(name))
    assert len(adapted) == 6
    inputs = torch.from_numpy(np.asarray(dense_data.test.inputs))
    with torch.inference_mode():
        torch.testing.assert_close(trained.eval()(inputs), plain.eval()(inputs))


def test_norms_alone_are_the_frozen_pretrained_transformer(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, result = train("nft", dense_data, recipe.model_copy(update={"encoder": "norms"}))
    other, published = train("fpt", dense_data, recipe.model_copy(update={"encoder": "lora"}))
    assert (result.scores, result.curves) == (published.scores, published.curves)
    assert_same(snapshot(model), snapshot(other))


@pytest.mark.parametrize("method", ["nft", "orca", "pare", "recraft:paper"])
def test_a_frozen_encoder_stays_as_it_was(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, _ = train(method, dense_data, recipe.model_copy(update={"encoder": "frozen"}))
    assert_same(snapshot(model.encoder), snapshot(load_backbone("tiny-sequence").encoder))


def test_an_encoder_without_known_attention_is_refused() -> None:
    with pytest.raises(RequestError, match=r"encoder=lora.*norms or frozen"):
        add_adapters(nn.Sequential(nn.Linear(4, 4)), 2)


def test_adapters_do_not_pile_up_on_a_backbone_of_ones_own(dense_data: TaskData) -> None:
    own, recipe = load_backbone("tiny-sequence"), Recipe(encoder="lora", max_tokens=8)
    assemble(dense_data, "nft", backbone=own, recipe=recipe)
    with pytest.raises(RequestError, match=r"adapters of an earlier training.*anew"):
        assemble(dense_data, "nft", backbone=own, recipe=recipe)


def test_what_a_method_draws_itself_is_as_without_adapters(dense_data: TaskData) -> None:
    gates = [
        assemble(
            dense_data,
            "pare",
            backbone="tiny-sequence",
            recipe=Recipe(encoder=encoder, max_tokens=8),
            options={"source": {"samples": 64, "tokens": 8}},
        ).model.gate.weight
        for encoder in ("all", "lora")
    ]
    assert torch.equal(*gates)


def test_a_rank_above_that_of_the_weight_is_refused(dense_data: TaskData) -> None:
    recipe = Recipe(encoder="lora", lora_rank=33)
    with pytest.raises(RequestError, match=r"lora_rank=33.*32 x 32"):
        assemble(dense_data, "nft", backbone="tiny-sequence", recipe=recipe)
