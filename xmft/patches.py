"""Fields cut into patches and put together again; images resized."""

from __future__ import annotations

import math
from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.padding import extended


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


def reach_of(overlap: float, side: int) -> int:
    """Return the points that a patch reaches over each of its edges; at least one of any overlap.

    Args:
        overlap: Share of the side.
        side: Side of the patch.
    """
    return math.ceil(overlap * side)


def to_patches(
    x: Tensor, side: int, reach: int = 0, periodic: Collection[int] = ()
) -> Float[Tensor, "n tokens values"]:
    """Cut `[n, channels, *grid]` into patches, row-major; values run channel-first in a patch.

    Args:
        x: Fields.
        side: Points from one patch to the next, on each axis.
        reach: Points of its neighbours that a patch holds as well, on each side.
        periodic: Axes on which patches hold, beyond an edge, what comes round; else zeros.
    """
    ends = [(reach, reach + -length % side) for length in x.shape[2:]]
    x = extended(x, ends, periodic)
    window = side + 2 * reach
    for axis in range(2, x.ndim):
        x = x.unfold(axis, window, side)
    if x.ndim == 4:
        return x.transpose(1, 2).flatten(2)  # n c patches s
    return x.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # n c rows columns s s


def from_patches(
    patches: Float[Tensor, "n tokens values"], side: int, shape: tuple[int, ...]
) -> Tensor:
    """Undo `to_patches` without reach; `shape` is `(channels, *grid)`."""
    channels, *grid = shape
    if len(grid) == 1:
        series = patches.unflatten(2, (channels, side)).transpose(1, 2).flatten(2)
        return series[:, :, : grid[0]]
    counts = patch_counts(tuple(grid), side)
    x = patches.unflatten(1, counts).unflatten(3, (channels, side, side))
    x = x.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return x[:, :, : grid[0], : grid[1]]


def resize(
    x: Float[Tensor, "n c h w"], size: tuple[int, int], periodic: Collection[int] = ()
) -> Tensor:
    """Resize fields or images, bilinear; what is shrunk is averaged, not sampled.

    Args:
        x: Fields or images.
        size: Points on each axis afterwards.
        periodic: Axes on which values beyond an edge, for points near it, are those that come
            round; else the last one.
    """
    grid = tuple(x.shape[2:])
    if grid == size:
        return x
    # As few points as are a whole number of points afterwards; no fewer than a new one is made of.
    ends, after = [0, 0], [0, 0]
    for axis in periodic:
        common = math.gcd(grid[axis], size[axis])
        ends[axis], after[axis] = grid[axis] // common, size[axis] // common
    longer = extended(x, [(points, points) for points in ends], periodic)
    sizes = [points + 2 * more for points, more in zip(size, after, strict=True)]
    image = functional.interpolate(
        longer, sizes, mode="bilinear", align_corners=False, antialias=True
    )
    for axis in periodic:
        image = image.narrow(axis + 2, after[axis], size[axis])
    return image
