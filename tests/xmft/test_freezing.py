from collections.abc import Callable

import pytest
import torch
from torch import nn

from xmft.backbones import load_backbone
from xmft.errors import RequestError
from xmft.optimizers import freeze_all_but, set_modes
from xmft.recipe import Recipe
from xmft.task import TaskData

Train = Callable[..., object]


@pytest.fixture(params=["tiny-sequence", "tiny-swin"])
def model(request: pytest.FixtureRequest) -> nn.ModuleDict:
    torch.manual_seed(0)
    backbone = load_backbone(request.param)
    return nn.ModuleDict(
        {
            "embedder": nn.Linear(5, backbone.width),
            "encoder": backbone.encoder,
            "head": nn.Linear(backbone.encoded_width, 2),
        }
    )


def step(model: nn.ModuleDict, learning: list[nn.Parameter]) -> None:
    optimizer = torch.optim.SGD(learning, lr=0.1)
    tokens = model["embedder"](torch.randn(3, 64, 5))
    model["head"](model["encoder"](tokens)).square().mean().backward()
    optimizer.step()


NORMS = ("embedder", "encoder:norms", "head")
WHOLE = ("embedder", "encoder", "head")


@pytest.mark.parametrize("trains", [("embedder",), ("head",), ("encoder",), NORMS, WHOLE])
def test_what_is_frozen_has_no_gradient_and_does_not_move(
    trains: tuple[str, ...], model: nn.ModuleDict
) -> None:
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    learning = freeze_all_but(model, trains)
    set_modes(model, trains)
    model.eval()  # random depth could leave out a block
    step(model, learning)
    # Told by the names of the parameters: those of a LayerNorm have "norm" in the second to last.
    for name, parameter in model.named_parameters():
        part, in_norm = name.split(".")[0], "norm" in name.split(".")[-2].lower()
        learns = part in trains or (f"{part}:norms" in trains and in_norm)
        assert parameter.requires_grad == learns, name
        assert (parameter.grad is not None) == learns, name
        if not learns:
            assert torch.equal(parameter, before[name]), name
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert len(learning) == sum(p.requires_grad for p in model.parameters())


def test_freezing_is_undone_by_the_next_stage(model: nn.ModuleDict) -> None:
    freeze_all_but(model, ["embedder"])
    assert len(freeze_all_but(model, WHOLE)) == len(list(model.parameters()))


def test_a_bare_layer_is_frozen(model: nn.ModuleDict) -> None:
    freeze_all_but(model, ["encoder"])
    assert not model["head"].weight.requires_grad and not model["head"].bias.requires_grad


def test_frozen_parts_are_in_evaluation_mode(model: nn.ModuleDict) -> None:
    set_modes(model, ["embedder"])
    assert model["embedder"].training
    assert not any(module.training for module in model["encoder"].modules())
    set_modes(model, NORMS)
    assert all(module.training for module in model.modules())


def test_names_of_parts_are_checked(model: nn.ModuleDict) -> None:
    with pytest.raises(ValueError, match="embedder, encoder, head, not decoder"):
        freeze_all_but(model, ["decoder"])
    with pytest.raises(ValueError, match="found 'encoder:biases'"):
        freeze_all_but(model, ["encoder:biases"])


def test_a_stage_in_which_nothing_learns_is_refused(dense_data: TaskData, train: Train) -> None:
    """Embedder and encoder are frozen, and the published head has nothing of its own."""
    recipe = Recipe(epochs=1, encoder="frozen", dense_head="published", max_tokens=8)
    with pytest.raises(RequestError, match=r"Nothing learns in stage 'fitting'.*frozen"):
        train("recraft:paper", dense_data, recipe)
