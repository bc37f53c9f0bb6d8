"""Target embedders: fields of another modality to the token sequence a transformer reads."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xmft.convolutions import Around, ResidualConvolution
from xmft.errors import RequestError
from xmft.patches import patch_counts, patch_size, reach_of, resize, to_patches
from xmft.recipe import Recipe
from xmft.seeding import aside

# Share of the path past the norm in a token, at the start.
_PAST = 0.1
# Starts of a pretrained image projection that keep the size of its tokens.
_SCALED = ("xavier", "convolution")


class TargetEmbedder(nn.Module):
    """From standardised fields `[n, channels, *grid]` to token features `[n, tokens, width]`.

    Tokens are norm(project(patch)) + positions. A LayerNorm behind a linear map does not see the
    size of a patch: three times the field gives the same token. With `Recipe.amplitude` there is a
    path that does, gain * past(patch), added behind the norm.

    Entries of `past` are drawn with the variance w^2 / fan-in, where w^2 is the mean square of the
    norm's weights. A patch whose values have the mean square r^2 then adds features of the mean
    square (gain r w)^2, whatever the width, the patch and the channels: of an ordinary patch, r = 1
    in standardised fields, the path is a tenth of what comes out of the norm, whose features have
    the mean square w^2.

    Attributes:
        side: Patch side, in points of what is cut into patches.
        tokens: Length of the token sequence.
        project: The patch projection.
        norm: The LayerNorm behind it.
        stem: Convolutions over the whole field before it is cut, or None.
        past: Linear map of a patch past the norm, or None.
        gain: What it is multiplied by, `[1]`, or None.
    """

    side: int
    tokens: int
    project: nn.Module
    norm: nn.LayerNorm
    stem: ResidualConvolution | None
    past: nn.Module | None
    gain: nn.Parameter | None

    @property
    def values(self) -> int:
        """Numbers that a patch holds: those of its channels, with what it overlaps."""
        weight = self.project.weight
        assert isinstance(weight, Tensor)
        return math.prod(weight.shape[1:])

    def _add_options(
        self, recipe: Recipe, channels: int, axes: int, periodic: Collection[int], past: Any
    ) -> None:
        """Build what the recipe asks for beside projection, norm and positions.

        Args:
            recipe: Says what.
            channels: Channels of one input.
            axes: Axes of its grid.
            periodic: Those on which a field goes on from its other end.
            past: Makes a linear map of the shape of the projection, without bias.
        """
        with aside("embedder"):
            self.past = past() if recipe.amplitude else None
            self.gain = nn.Parameter(torch.full((1,), _PAST)) if recipe.amplitude else None
            self.stem = None
            if recipe.stem == "convolution":
                self.stem = ResidualConvolution(channels, axes, periodic=periodic)
            if self.past is not None:
                weight = self.past.weight
                assert isinstance(weight, Tensor)
                size = float(self.norm.weight.detach().square().mean().sqrt())
                nn.init.normal_(weight, std=size / math.sqrt(weight[0].numel()))

    def _normalised(self, projected: Tensor, past: Tensor | None) -> Tensor:
        """Return tokens without positions, of a projection `[n, tokens, width]` and the path."""
        tokens: Tensor = self.norm(projected)
        return tokens if past is None or self.gain is None else tokens + self.gain * past

    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Multiply the part of the tokens that depends on the input, in place."""
        self.norm.weight.mul_(factor)
        if self.past is not None:
            weight = self.past.weight
            assert isinstance(weight, Tensor)
            weight.mul_(factor)

    @torch.no_grad()
    def shift(self, by: Float[Tensor, " width"]) -> None:
        """Add the same features to all tokens, in place."""
        self.norm.bias.add_(by)


class PatchEmbedder(TargetEmbedder):
    """Linear patches + LayerNorm + learned positions (ORCA's embedder, one and two axes).

    A linear map of non-overlapping patches is the convolution with kernel = stride of the
    public implementations. Two-dimensional patches become tokens in row-major order.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        recipe: Recipe,
        *,
        positions: Float[Tensor, "longest width"],
        norm: nn.LayerNorm,
        periodic: Collection[int] = (),
    ) -> None:
        """Build for inputs of `shape` = `(channels, *grid)`.

        Args:
            shape: Channels and grid of one input.
            recipe: Says how long the sequence may be, and what the embedder is made of.
            positions: Position table to start from; its first rows are copied.
            norm: LayerNorm to start from; copied.
            periodic: Axes on which patches hold, beyond an edge, what comes round; else zeros.

        Raises:
            RequestError: the sequence is longer than the position table.
        """
        super().__init__()
        channels, *grid = shape
        self.side = patch_size(tuple(grid), recipe.max_tokens)
        self.reach = reach_of(recipe.overlap, self.side)
        self.periodic = tuple(periodic)
        self.tokens = math.prod(patch_counts(tuple(grid), self.side))
        longest, width = positions.shape
        if self.tokens > longest:
            raise RequestError(
                f"The input makes {self.tokens} tokens, but the encoder has {longest} positions. "
                f"Set max_tokens to {longest} or less."
            )
        kernel = [self.side + 2 * self.reach] * len(grid)
        values = channels * math.prod(kernel)
        self.project = nn.Linear(values, width)
        weight = self.project.weight.detach()
        if recipe.patches != "xavier":
            # Of a convolution the fan-out counts the kernel too.
            weight = weight.view(width, channels, *kernel)
        nn.init.xavier_uniform_(weight, gain=math.sqrt(2))
        nn.init.zeros_(self.project.bias)
        self.norm = nn.LayerNorm(width, eps=norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.positions = nn.Parameter(positions[: self.tokens].detach().clone())
        self._add_options(
            recipe, channels, len(grid), periodic, lambda: nn.Linear(values, width, bias=False)
        )

    def forward(self, x: Tensor) -> Float[Tensor, "n tokens width"]:
        """Embed standardised fields `[n, channels, *grid]`."""
        x = x if self.stem is None else self.stem(x)
        patches = to_patches(x, self.side, self.reach, self.periodic)
        past = None if self.past is None else self.past(patches)
        return self._normalised(self.project(patches), past) + self.positions


class ImageEmbedder(TargetEmbedder):
    """Fields resized to the encoder's image size, then its patch projection and LayerNorm.

    ORCA's embedder of two axes for Swin. The projection starts from the pretrained one: its three
    input channels are repeated over the C of the task and scaled by 3 / C, so that the tokens keep
    their size however many there are. The public code repeats without scaling (ORCA, PaRe), or
    draws the projection anew (RECRAFT): `Recipe.patches`. Patches that overlap start from the same
    kernel, with zeros around it.
    """

    positions: nn.Parameter | None

    def __init__(
        self,
        channels: int,
        image: tuple[int, int],
        recipe: Recipe,
        *,
        projection: nn.Conv2d,
        norm: nn.LayerNorm,
        positions: Float[Tensor, "1 tokens width"] | None,
        periodic: Collection[int] = (),
    ) -> None:
        """Build.

        Args:
            channels: Channels of one input.
            image: Height and width of the images that the encoder was pretrained on.
            recipe: Says what the embedder is made of; the sequence is as long as the image has
                patches.
            projection: Patch projection to start from; kernel and stride are the patch.
            norm: LayerNorm to start from; copied.
            positions: Position features to start from, if the encoder has any; copied.
            periodic: Axes on which patches hold, beyond an edge, what comes round; else zeros.
        """
        super().__init__()
        self.image = image
        self.side = projection.kernel_size[0]
        self.tokens = math.prod(length // self.side for length in image)
        reach, width = reach_of(recipe.overlap, self.side), projection.out_channels
        self.around = Around(2, reach, periodic)

        def convolution(*, bias: bool) -> nn.Conv2d:
            kernel, (rows, columns) = self.side + 2 * reach, self.around.beyond
            return nn.Conv2d(channels, width, kernel, self.side, padding=(rows, columns), bias=bias)

        self.project = convolution(bias=True)
        if recipe.patches == "redrawn":
            with aside("projection"):
                nn.init.xavier_uniform_(self.project.weight, gain=math.sqrt(2))
            _zero(self.project.bias)
        else:
            _start_from(projection, self.project, scaled=recipe.patches in _SCALED)
        self.norm = nn.LayerNorm(width, eps=norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.positions = None if positions is None else nn.Parameter(positions.detach().clone())
        self._add_options(recipe, channels, 2, periodic, lambda: convolution(bias=False))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n tokens width"]:
        """Embed standardised fields; tokens run row-major over the resized image."""
        x = x if self.stem is None else self.stem(x)
        pixels = self.around(resize(x, self.image, self.around.periodic))
        past = None if self.past is None else _in_rows(self.past(pixels))
        embedded = self._normalised(_in_rows(self.project(pixels)), past)
        return embedded if self.positions is None else embedded + self.positions


def _in_rows(features: Float[Tensor, "n width h w"]) -> Float[Tensor, "n tokens width"]:
    return features.flatten(2).transpose(1, 2)


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)


@torch.no_grad()
def _start_from(known: nn.Conv2d, projection: nn.Conv2d, *, scaled: bool) -> None:
    """Copy a pretrained projection, its channels repeated, into the middle of a kernel."""
    channels, side = projection.in_channels, known.kernel_size[0]
    repeated = known.weight[:, torch.arange(channels) % known.in_channels]
    if scaled:
        repeated = repeated * (known.in_channels / channels)
    reach = (projection.kernel_size[0] - side) // 2
    projection.weight.zero_()
    projection.weight[..., reach : reach + side, reach : reach + side] = repeated
    if projection.bias is not None and known.bias is not None:
        projection.bias.copy_(known.bias)
