"""Pretrained sequence encoders, all read from a local folder in the Hugging Face layout."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xmft.errors import RequestError
from xmft.seeding import seed_everything
from xmft.weights import Tokenize, read_encoder, weights_fingerprint


class SequenceEncoder(nn.Module):
    """The transformer body: token features in, token features out, no embedding of its own."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Encode token features; every token attends to every token."""
        encoded: Tensor = self.body(inputs_embeds=tokens).last_hidden_state
        return encoded


class _PassThrough(nn.Module):
    """Stands where the body's own embedding was: the target embedder has done its work."""

    def forward(self, inputs_embeds: Tensor, **_: Any) -> Tensor:
        return inputs_embeds


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained encoder taken apart; a fresh copy that may be trained.

    Attributes:
        id: As the user named it.
        fingerprint: Identity of its files; differs where the weights were drawn at random.
        source_embedder: The pretrained embedding, token ids `[n, t]` to features `[n, t, d]`.
        encoder: The transformer body, cut to the wanted layers.
        positions: The pretrained position table `[longest, d]`, first usable row first.
        norm: LayerNorm of the pretrained embedding.
        tokenize: Text to token ids, without special tokens.
    """

    id: str
    fingerprint: str
    source_embedder: nn.Module
    encoder: SequenceEncoder
    positions: Float[Tensor, "longest d"]
    norm: nn.LayerNorm
    tokenize: Tokenize

    @property
    def width(self) -> int:
        """Size of a token feature."""
        return int(self.positions.shape[1])

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(_blocks(self.encoder.body, self.id))

    def embed_source(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Embed token ids with the pretrained embedding."""
        features: Tensor = self.source_embedder(input_ids=ids)
        return features


def load_backbone(
    name: str, *, layers: int | None = None, pretrained: bool = True, seed: int = 0
) -> Backbone:
    """Return a trainable copy of a backbone; the files are read once per process.

    Args:
        name: A name of `NAMED`, a hub id or a folder of a sequence encoder.
        layers: Encoder layers kept, from the bottom; None keeps all.
        pretrained: False draws the same architecture at random, positions and LayerNorm too.
        seed: Seed of that draw.

    Raises:
        RequestError: the backbone is unknown, has no weights or is no sequence encoder.
    """
    backbone = copy.deepcopy(_pristine(name))
    if layers is not None:
        if layers > backbone.layers:
            raise RequestError(
                f"layers={layers}, but backbone '{name}' has {backbone.layers} layers."
            )
        body: Any = backbone.encoder.body
        del _blocks(body, name)[layers:]
        body.config.num_hidden_layers = layers
    if not pretrained:
        seed_everything("backbone", seed)
        _draw_at_random(backbone)
        return replace(backbone, fingerprint=f"{backbone.fingerprint}-random-{seed}")
    return backbone


def _draw_at_random(backbone: Backbone) -> None:
    body: Any = backbone.encoder.body
    body.apply(body._init_weights)
    nn.init.normal_(backbone.positions, std=body.config.initializer_range)
    backbone.norm.reset_parameters()


def _blocks(body: nn.Module, name: str) -> nn.ModuleList:
    """Find the stack of encoder layers: the module list as long as the configuration says."""
    wanted = body.config.num_hidden_layers  # type: ignore[union-attr]
    for module in body.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise RequestError(f"Backbone '{name}' has no list of {wanted} encoder layers.")


@functools.lru_cache(maxsize=2)
def _pristine(name: str) -> Backbone:
    """Read a backbone once per process; callers get copies."""
    fingerprint = weights_fingerprint(name)
    body, tokenize = read_encoder(name)
    embeddings = getattr(body, "embeddings", None)
    if not isinstance(embeddings, nn.Module) or getattr(body, "is_decoder", False):
        raise RequestError(
            f"Backbone '{name}' ({type(body).__name__}) is not a sequence encoder that takes "
            "inputs_embeds; BERT, RoBERTa and their like are."
        )
    body.embeddings = _PassThrough()
    if hasattr(body, "pooler"):
        body.pooler = None
    positions, norm = _positions_and_norm(embeddings, body.config)
    return Backbone(
        id=name,
        fingerprint=fingerprint,
        source_embedder=embeddings.eval().requires_grad_(False),
        encoder=SequenceEncoder(body),
        positions=positions,
        norm=norm,
        tokenize=tokenize,
    )


def _positions_and_norm(embeddings: nn.Module, config: Any) -> tuple[Tensor, nn.LayerNorm]:
    """Take the position table and LayerNorm out of an embedding, or make neutral ones."""
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, nn.Embedding):
        # RoBERTa counts positions from padding_idx + 1.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        positions = table.weight[first:].detach().clone()
    else:
        # Encoders with rotary positions add none here.
        positions = torch.zeros(config.max_position_embeddings, config.hidden_size)
    for module in embeddings.modules():
        if isinstance(module, nn.LayerNorm) and module.bias is not None:
            return positions, copy.deepcopy(module)
    return positions, nn.LayerNorm(config.hidden_size)
