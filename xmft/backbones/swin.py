"""Swin transformers: encoders of images whose tokens merge from stage to stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from xmft.backbones.backbone import Backbone
from xmft.backbones.family import BackboneSize, Family, of_task, register
from xmft.backbones.weights import Modality, Named
from xmft.embedders import ImageEmbedder, TargetEmbedder
from xmft.errors import RequestError
from xmft.heads import ImageHead
from xmft.patches import resize
from xmft.recipe import Recipe
from xmft.task import DenseHead

# Of ImageNet, red green blue; what the released checkpoints were trained with.
_PIXEL_MEAN = (0.485, 0.456, 0.406)
_PIXEL_SPREAD = (0.229, 0.224, 0.225)


class SwinEncoder(nn.Module):
    """All stages and the last LayerNorm: patch features in, features of merged patches out.

    In training mode random depth is that of the checkpoint (0.1 in the published setting).
    """

    def __init__(self, body: nn.Module, norm: nn.LayerNorm, grid: tuple[int, int]) -> None:
        """Take the stages `body`, their last norm and the grid of the patches that come in."""
        super().__init__()
        self.body = body
        self.norm = norm
        self.grid = grid

    def forward(self, tokens: Float[Tensor, "n t width"]) -> Float[Tensor, "n merged encoded"]:
        """Encode patch features, row-major over the grid; so are those that come out."""
        encoded: Tensor = self.norm(self.body(tokens, self.grid).last_hidden_state)
        return encoded

    def ordered_layers(self) -> list[nn.Module]:
        """Return the blocks of all stages, the lowest first."""
        stages: Any = self.body.layers
        return [block for stage in stages for block in stage.blocks]


@dataclass(frozen=True, kw_only=True)
class VisionBackbone(Backbone):
    """A Swin; targets of two axes are resized to its image size.

    Attributes:
        image: Height and width of the images that it reads.
        merged: Side of the square of pixels that an encoded token stands for.
    """

    modality: ClassVar[Modality] = "vision"

    image: tuple[int, int]
    merged: int

    @property
    def encoded_width(self) -> int:
        """Size of a token feature that leaves the last stage."""
        return int(self._swin.norm.normalized_shape[0])

    @property
    def layers(self) -> int:
        """Number of blocks in all stages."""
        return sum(len(stage.blocks) for stage in self._swin.body.layers)

    @property
    def _swin(self) -> Any:
        return self.encoder

    @property
    def _embeddings(self) -> Any:
        return self.source_embedder

    def embed_source(self, inputs: UInt8[Tensor, "n 3 height width"]) -> Float[Tensor, "n t width"]:
        """Resize and normalise images, then embed them with the pretrained embedding."""
        mean, spread = (
            torch.tensor(values, device=inputs.device).view(3, 1, 1)
            for values in (_PIXEL_MEAN, _PIXEL_SPREAD)
        )
        pixels = (resize(inputs.float() / 255, self.image) - mean) / spread
        features: Tensor = self.source_embedder(pixels)[0]
        return features

    def target_embedder(
        self, shape: tuple[int, ...], recipe: Recipe, *, periodic: Collection[int] = ()
    ) -> ImageEmbedder:
        """Return an embedder with the pretrained patch projection and LayerNorm.

        The sequence is as long as the image has patches, whatever `max_tokens` of the recipe says.

        Raises:
            RequestError: the inputs have one axis.
        """
        if len(shape) != 3:
            raise _not_images(self.id, extent=f" ({shape[0]} channels, {shape[1]} points)")
        return ImageEmbedder(
            shape[0],
            self.image,
            recipe,
            projection=self._embeddings.patch_embeddings.projection,
            norm=self.norm,
            positions=self._embeddings.position_embeddings,
            periodic=periodic,
        )

    def dense_head(
        self, embedder: TargetEmbedder, shape: tuple[int, ...], *, kind: DenseHead
    ) -> ImageHead:
        """Return a head in which every token writes the square of pixels that it stands for.

        The published one draws as many channels as the encoder was pretrained with.
        """
        drawn = self._embeddings.patch_embeddings.projection.in_channels
        return ImageHead(
            self.encoded_width,
            self.merged,
            self.image,
            shape,
            channels=drawn if kind == "published" else None,
        )

    def keep_layers(self, count: int) -> None:
        """Refuse: after fewer stages tokens have another width than the last LayerNorm."""
        raise _cannot_be_cut(self.id, count)

    def draw_at_random(self) -> None:
        """Draw encoder and patch embedding as the architecture does."""
        draw = self._swin.body._init_weights
        self.encoder.apply(draw)
        self.source_embedder.apply(draw)


def _tiny() -> Any:
    from transformers import SwinConfig

    return SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        encoder_stride=8,
    )


@register
class SwinFamily(Family):
    """Swin transformers; all of their stages are used."""

    name = "swin"
    modality = "vision"
    title = "a Swin"
    names: ClassVar[Mapping[str, Named]] = {
        "swin-base": Named(
            title="Swin-B, images of 224 x 224, from the Hugging Face hub (published setting, 2-D)",
            hub="microsoft/swin-base-patch4-window7-224-in22k",
        ),
        "tiny-swin": Named(
            title="Swin, images of 32 x 32, random weights; for tests only", build=_tiny
        ),
    }

    def matches(self, config: Any) -> bool:
        """Tell whether a configuration is that of a Swin."""
        return bool(config.model_type == "swin")

    def layers(self, config: Any) -> int:
        """Return the number of blocks in all stages."""
        return sum(config.depths)

    def take_apart(self, body: Any, name: str, fingerprint: str) -> VisionBackbone:
        """Make a backbone of a Swin that transformers has read.

        Raises:
            RequestError: images of its size cannot be cut evenly, or do not have three channels.
        """
        self.check_body(body, name)
        embeddings = body.embeddings
        return VisionBackbone(
            id=name,
            fingerprint=fingerprint,
            source_embedder=embeddings.eval().requires_grad_(False),
            encoder=SwinEncoder(body.encoder, body.layernorm, embeddings.patch_grid),
            norm=embeddings.norm,
            image=_pair(body.config.image_size),
            merged=_merged(body.config),
        )

    def check_body(self, body: Any, name: str) -> None:
        """Refuse images that cannot be cut evenly, or do not have three channels."""
        (height, width), merged = _pair(body.config.image_size), _merged(body.config)
        if height % merged or width % merged or body.config.num_channels != 3:
            raise RequestError(
                f"Backbone '{name}' reads images of {height} x {width} with "
                f"{body.config.num_channels} channels; a Swin is used here if it reads three "
                f"channels on a grid that its patches and stages cut evenly, by {merged}."
            )

    def check(self, size: BackboneSize, recipe: Recipe, *, axes: int | None, task: str) -> None:
        """Refuse inputs of one axis, and to keep some of the layers."""
        if axes == 1:
            raise _not_images(size.name, task=task)
        if recipe.layers is not None:
            raise _cannot_be_cut(size.name, recipe.layers, task=task)


def _not_images(name: str, *, task: str = "", extent: str = "") -> RequestError:
    which = f"task '{task}'" if task else "the task"
    return RequestError(
        f"Backbone '{name}' reads images, but the inputs of {which} have one axis{extent}. Choose "
        "a text encoder for this task, such as minilm or roberta-base, with --set backbone=NAME "
        "or per_task."
    )


def _cannot_be_cut(name: str, count: int, *, task: str = "") -> RequestError:
    return RequestError(
        f"layers={count}{of_task(task)}, but backbone '{name}' is a Swin, whose stages belong "
        "together. Leave layers out (null)."
    )


def _merged(config: Any) -> int:
    """Return the side of the square of pixels that an encoded token stands for."""
    patch, _ = _pair(config.patch_size)
    return int(patch * 2 ** (len(config.depths) - 1))


def _pair(size: Any) -> tuple[int, int]:
    first, second = (size, size) if isinstance(size, int) else size
    return int(first), int(second)
