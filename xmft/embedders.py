"""Target embedders: fields of another modality to the token sequence a transformer reads."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xmft.errors import RequestError


def patch_size(grid: tuple[int, ...], max_tokens: int) -> int:
    """Return the smallest patch side that cuts `grid` evenly into at most `max_tokens` tokens.

    On one axis this is the stacking rule of ORCA: the smallest divisor s of the length L with
    L / s <= max_tokens. Where no even cut leaves a quarter of the tokens that patches reaching
    over the edge leave (96 x 101 has none but single points), the smallest side of those is taken.
    """

    def tokens(side: int) -> int:
        return math.prod(patch_counts(grid, side))

    few = [side for side in range(1, max(grid) + 1) if tokens(side) <= max_tokens]
    even = [side for side in few if all(length % side == 0 for length in grid)]
    if even and 4 * tokens(even[0]) >= tokens(few[0]):
        return even[0]
    return few[0]


def patch_counts(grid: tuple[int, ...], side: int) -> tuple[int, ...]:
    """Return the number of patches on each axis; the last ones may reach over the edge."""
    return tuple(-(-length // side) for length in grid)


def to_patches(x: Tensor, side: int) -> Float[Tensor, "n tokens values"]:
    """Cut `[n, channels, *grid]` into patches, row-major; values run channel-first in a patch.

    Beyond the edge there are zeros.
    """
    missing = [-length % side for length in x.shape[2:]]
    if any(missing):
        x = functional.pad(x, [pad for axis in reversed(missing) for pad in (0, axis)])
    if x.ndim == 3:
        return x.unflatten(2, (-1, side)).transpose(1, 2).flatten(2)
    patches = x.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # n c rows s columns s
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def from_patches(
    patches: Float[Tensor, "n tokens values"], side: int, shape: tuple[int, ...]
) -> Tensor:
    """Undo `to_patches`; `shape` is `(channels, *grid)`."""
    channels, *grid = shape
    if len(grid) == 1:
        series = patches.unflatten(2, (channels, side)).transpose(1, 2).flatten(2)
        return series[:, :, : grid[0]]
    counts = patch_counts(tuple(grid), side)
    x = patches.unflatten(1, counts).unflatten(3, (channels, side, side))
    x = x.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return x[:, :, : grid[0], : grid[1]]


def resize(x: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Tensor:
    """Resize fields or images, bilinear; what is shrunk is averaged, not sampled."""
    if tuple(x.shape[2:]) == size:
        return x
    return functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


class TargetEmbedder(nn.Module):
    """From standardised fields `[n, channels, *grid]` to token features `[n, tokens, width]`.

    Attributes:
        side: Patch side, in points of what is cut into patches.
        tokens: Length of the token sequence.
    """

    side: int
    tokens: int


class PatchEmbedder(TargetEmbedder):
    """Linear patches + LayerNorm + learned positions (ORCA's embedder, one and two axes).

    A linear map of non-overlapping patches is the convolution with kernel = stride of the
    public implementations. Two-dimensional patches become tokens in row-major order.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        max_tokens: int,
        positions: Float[Tensor, "longest width"],
        norm: nn.LayerNorm,
    ) -> None:
        """Build for inputs of `shape` = `(channels, *grid)`.

        Args:
            shape: Channels and grid of one input.
            max_tokens: Longest sequence wanted.
            positions: Position table to start from; its first rows are copied.
            norm: LayerNorm to start from; copied.

        Raises:
            RequestError: the sequence is longer than the position table.
        """
        super().__init__()
        channels, *grid = shape
        self.side = patch_size(tuple(grid), max_tokens)
        self.tokens = math.prod(patch_counts(tuple(grid), self.side))
        longest, width = positions.shape
        if self.tokens > longest:
            raise RequestError(
                f"The input makes {self.tokens} tokens, but the encoder has {longest} positions. "
                f"Set max_tokens to {longest} or less."
            )
        self.project = nn.Linear(channels * self.side ** len(grid), width)
        nn.init.xavier_uniform_(self.project.weight, gain=math.sqrt(2))
        nn.init.zeros_(self.project.bias)
        self.norm = nn.LayerNorm(width, eps=norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.positions = nn.Parameter(positions[: self.tokens].detach().clone())

    def forward(self, x: Tensor) -> Float[Tensor, "n tokens width"]:
        """Embed standardised fields `[n, channels, *grid]`."""
        embedded: Tensor = self.norm(self.project(to_patches(x, self.side)))
        return embedded + self.positions


class ImageEmbedder(TargetEmbedder):
    """Fields resized to the encoder's image size, then its patch projection and LayerNorm.

    ORCA's embedder of two axes for Swin. The projection starts from the pretrained one: its three
    input channels are repeated over the C of the task and scaled by 3 / C, so that the tokens keep
    their size however many there are. The public code repeats without scaling (ORCA), or draws the
    projection anew (RECRAFT).
    """

    positions: nn.Parameter | None

    def __init__(
        self,
        channels: int,
        image: tuple[int, int],
        *,
        projection: nn.Conv2d,
        norm: nn.LayerNorm,
        positions: Float[Tensor, "1 tokens width"] | None,
    ) -> None:
        """Build.

        Args:
            channels: Channels of one input.
            image: Height and width of the images that the encoder was pretrained on.
            projection: Patch projection to start from; kernel and stride are the patch.
            norm: LayerNorm to start from; copied.
            positions: Position features to start from, if the encoder has any; copied.
        """
        super().__init__()
        self.image = image
        self.side = projection.kernel_size[0]
        self.tokens = math.prod(length // self.side for length in image)
        known, width = projection.in_channels, projection.out_channels
        self.project = nn.Conv2d(channels, width, self.side, stride=self.side)
        with torch.no_grad():
            repeated = projection.weight[:, torch.arange(channels) % known]
            self.project.weight.copy_(repeated * (known / channels))
            if self.project.bias is not None and projection.bias is not None:
                self.project.bias.copy_(projection.bias)
        self.norm = nn.LayerNorm(width, eps=norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.positions = None if positions is None else nn.Parameter(positions.detach().clone())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n tokens width"]:
        """Embed standardised fields; tokens run row-major over the resized image."""
        patches = self.project(resize(x, self.image))
        embedded: Tensor = self.norm(patches.flatten(2).transpose(1, 2))
        return embedded if self.positions is None else embedded + self.positions
