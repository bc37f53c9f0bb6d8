"""Low-rank adapters of an encoder's attention (LoRA)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xmft.errors import RequestError

# The maps to queries, keys and values, by the last part of their names, in the encoders of
# transformers; some have all three in one.
_PROJECTIONS = frozenset(
    {
        *("query", "key", "value"),
        *("q_proj", "k_proj", "v_proj"),
        *("query_proj", "key_proj", "value_proj"),
        *("q_lin", "k_lin", "v_lin"),
        *("q", "k", "v"),
        *("Wqkv", "qkv", "in_proj", "query_key_value"),
    }
)


class Adapter(nn.Module):
    """A weight plus a product of two thin matrices, which starts at zero.

    W + B A with A `[rank, inputs]` drawn as a linear layer's weight and B `[outputs, rank]` zero
    (Hu et al., LoRA, ICLR 2022, with alpha = rank).
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        """Make the matrices for a `weight` `[outputs, inputs]`."""
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return the adapted weight."""
        return torch.addmm(weight, self.up, self.down)


def add_adapters(encoder: nn.Module, rank: int) -> None:
    """Give the maps to queries, keys and values an adapter each, in place.

    The weights themselves stay where they are, as `parametrizations.weight.original`.

    Raises:
        RequestError: no such map is found, one has an adapter already, or the rank is above that
            of one.
    """
    found = [
        (name, module)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in _PROJECTIONS
    ]
    if not found:
        raise RequestError(
            "encoder=lora: the encoder has no maps to queries, keys and values by a known name. "
            "Choose encoder=all, norms or frozen, or another backbone."
        )
    if any(parametrize.is_parametrized(module, "weight") for _, module in found):
        raise RequestError(
            "encoder=lora: the encoder has adapters of an earlier training already, and new ones "
            "would lie on top of them. Load the backbone anew."
        )
    for name, module in found:
        if rank > min(module.weight.shape):
            raise RequestError(
                f"lora_rank={rank}, but '{name}' of the encoder is {module.out_features} x "
                f"{module.in_features}. Lower lora_rank."
            )
        parametrize.register_parametrization(module, "weight", Adapter(module.weight, rank))
