"""Which parameters learn at which rate, and which of them decay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypedDict, runtime_checkable

from torch import nn

from xmft.errors import RequestError
from xmft.recipe import Recipe
from xmft.stages import Stage

# What the names of position tables and of biases, those of attention scores too, have in them.
_UNDECAYED = ("bias", "position")


class Group(TypedDict):
    """Parameters of one rate and one weight decay, as optimizers take them."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


@runtime_checkable
class Layered(Protocol):
    """A part of a model that says how its layers are ordered."""

    def ordered_layers(self) -> Sequence[nn.Module]:
        """Return its layers, the one next to the input first."""


def parameter_groups(model: nn.Module, stage: Stage, recipe: Recipe) -> list[Group]:
    """Return the parameters that learn, in groups; with the defaults of the recipe there is one.

    Rates are peaks. Those of layers differ in target fitting alone, where they are

        rate * layer_decay ** (L + 1 - l)

    in the layers l = 1 ... L of the encoder, the lowest first, as in BEiT (Bao et al., ICLR 2022)
    and ELECTRA. There the embedder is layer 0, the lowest of all. Here embedder and head, and what
    a method adds, are new to the model and learn at the full rate. What an encoder has before its
    first layer is layer 0, what it has between two layers (the merging of patches) goes with the
    lower one, and what comes behind the last one learns at the full rate.

    Args:
        model: Its direct children are the parts; what is frozen is in no group.
        stage: Says the rate.
        recipe: Says what decays, and how rates fall.
    """
    scales: dict[int, float] = {}
    if stage.account == "fit" and recipe.layer_decay < 1:
        for part in _layered(model):
            scales |= _scales(part, recipe.layer_decay)
    peak = stage.learning_rate * (1.0 if stage.factor is None else stage.factor(model))
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = peak * scales.get(id(parameter), 1.0)
        decay = recipe.weight_decay if recipe.decay_all or _decays(name, parameter) else 0.0
        group = groups.setdefault((rate, decay), Group(params=[], lr=rate, weight_decay=decay))
        group["params"].append(parameter)
    return list(groups.values())


def check_frozen(recipe: Recipe) -> None:
    """Refuse rates by layer of layers that do not learn.

    Raises:
        RequestError: the recipe freezes the encoder.
    """
    if recipe.layer_decay < 1 and recipe.encoder == "frozen":
        raise RequestError(
            f"layer_decay={recipe.layer_decay:g} is for layers that learn, but encoder=frozen. "
            "Leave one of them out."
        )


def check_layered(model: nn.Module, recipe: Recipe) -> None:
    """Refuse rates by layer of a model that has no layers in order, or none that learn.

    Raises:
        RequestError: no part of it says how its layers are ordered, or they are frozen.
    """
    check_frozen(recipe)
    if recipe.layer_decay < 1 and not any(True for _ in _layered(model)):
        raise RequestError(
            f"layer_decay={recipe.layer_decay:g}, but no part of the model says how its layers are "
            "ordered. Leave layer_decay at 1, or give your encoder a method `ordered_layers` that "
            "returns its layers, the lowest first."
        )


def _layered(model: nn.Module) -> Iterator[nn.Module]:
    return (part for part in model.children() if isinstance(part, Layered))


def _scales(part: nn.Module, decay: float) -> dict[int, float]:
    """Return the factor of the rate of each parameter of an encoder, by identity."""
    assert isinstance(part, Layered)
    blocks = part.ordered_layers()
    level = {id(p): number for number, b in enumerate(blocks, start=1) for p in b.parameters()}
    scales, below = {}, 0
    for parameter in part.parameters():
        below = max(below, level.get(id(parameter), 0))
        # Behind the last layer there is none above that it could belong to.
        outside = id(parameter) not in level and below == len(blocks)
        scales[id(parameter)] = 1.0 if outside else decay ** (len(blocks) + 1 - below)
    return scales


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Tell matrices and kernels from what only shifts or scales, positions among it."""
    # Tables of positions and of biases of attention are the weights of an embedding.
    own = name.split(".")[-2:]
    return parameter.ndim > 1 and not any(word in part for part in own for word in _UNDECAYED)
