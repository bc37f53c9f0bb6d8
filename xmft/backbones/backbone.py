"""What a model asks of a pretrained encoder, whatever it was pretrained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from xmft.backbones.weights import Modality
from xmft.embedders import TargetEmbedder
from xmft.recipe import DenseHead, Recipe


@dataclass(frozen=True, kw_only=True)
class Backbone(ABC):
    """A pretrained encoder taken apart; a fresh copy that may be trained.

    Attributes:
        modality: What it was pretrained on; a source proxy must be of the same.
        id: As the user named it.
        fingerprint: Identity of its files; differs where the weights were drawn at random.
        source_embedder: The pretrained embedding, frozen.
        encoder: The transformer body, token features `[n, t, width]` to
            `[n, t', encoded_width]`; no embedding of its own. For rates by layer it has a method
            `ordered_layers`, see `xmft.parameter_groups.Layered`.
        norm: LayerNorm of the pretrained embedding.
    """

    modality: ClassVar[Modality]

    id: str
    fingerprint: str
    source_embedder: nn.Module
    encoder: nn.Module
    norm: nn.LayerNorm

    @property
    def width(self) -> int:
        """Size of a token feature that enters the encoder."""
        return int(self.norm.normalized_shape[0])

    @property
    @abstractmethod
    def encoded_width(self) -> int:
        """Size of a token feature that leaves the encoder."""

    @property
    @abstractmethod
    def layers(self) -> int:
        """Number of encoder layers."""

    @abstractmethod
    def embed_source(self, inputs: Tensor) -> Float[Tensor, "n t width"]:
        """Embed samples of the source with the pretrained embedding.

        Args:
            inputs: On the device of `source_embedder`; token ids int64 `[n, t]` of a text
                backbone, images uint8 `[n, 3, height, width]` of a vision backbone.
        """

    @abstractmethod
    def target_embedder(
        self, shape: tuple[int, ...], recipe: Recipe, *, periodic: Collection[int] = ()
    ) -> TargetEmbedder:
        """Return an embedder (phi) of the target that starts from the pretrained one.

        Args:
            shape: Channels and grid of one input.
            recipe: Says how long the sequence may be, and what the embedder is made of.
            periodic: Axes of the grid on which a field goes on from its other end.

        Raises:
            RequestError: inputs of that shape cannot be embedded.
        """

    @abstractmethod
    def dense_head(
        self, embedder: TargetEmbedder, shape: tuple[int, ...], *, kind: DenseHead
    ) -> nn.Module:
        """Return a head from encoded tokens to fields.

        Args:
            embedder: What `target_embedder` made.
            shape: Channels and grid of one output; the grid is that of the inputs.
            kind: With parameters of the task (`learned`) or as published.
        """

    @abstractmethod
    def keep_layers(self, count: int) -> None:
        """Cut the encoder to its lowest layers, in place.

        Raises:
            RequestError: it has fewer, or cannot be cut.
        """

    @abstractmethod
    def draw_at_random(self) -> None:
        """Draw all that a target model starts from at random, in place."""
