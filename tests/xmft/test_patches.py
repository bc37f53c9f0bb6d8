import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xmft.patches import from_patches, patch_size, reach_of, resize, to_patches


def sample(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "grid, longest, side",
    [((32, 32), 64, 4), ((32, 32), 63, 8), ((85, 85), 64, 17), ((12, 18), 10, 6), ((8, 8), 1, 8)],
)
def test_square_patches_divide_both_axes(grid: tuple[int, int], longest: int, side: int) -> None:
    assert patch_size(grid, longest) == side


@pytest.mark.parametrize(
    "shape, side", [((3, 12), 4), ((3, 12), 1), ((2, 8, 12), 4), ((1, 6, 6), 6)]
)
def test_patches_are_undone(shape: tuple[int, ...], side: int) -> None:
    x = sample(5, *shape)
    patches = to_patches(x, side)
    axes = len(shape) - 1
    assert patches.shape == (5, int(np.prod(shape[1:])) // side**axes, shape[0] * side**axes)
    assert torch.equal(from_patches(patches, side, shape), x)


def test_patches_hold_the_points_that_they_cover() -> None:
    x = sample(2, 3, 8, 12)
    patches = to_patches(x, 4)
    for row in range(2):
        for column in range(3):
            block = x[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(patches[:, 3 * row + column], block.flatten(1))


def test_enlarging_is_bilinear() -> None:
    x = sample(2, 3, 7, 9)
    expected = functional.interpolate(x, (16, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(x, (16, 24)), expected, rtol=1e-5, atol=1e-5)
    assert resize(x, (7, 9)) is x


def test_shrinking_averages() -> None:
    # Every second row is missed by sampling at a quarter of the points.
    stripes = torch.tensor([1.0, -1.0]).repeat(32)[None, None, :, None].expand(1, 1, 64, 64)
    inner = resize(stripes, (16, 16))[:, :, 1:-1]
    assert inner.abs().max() < 0.01
    # Nothing is lost: the mean stays, and so does a slope.
    slope = torch.linspace(-1, 1, 64)[None, None, None].expand(1, 1, 64, 64)
    small = resize(slope, (16, 16))[0, 0, 0, 2:-2]
    torch.testing.assert_close(small, slope[0, 0, 0].view(16, 4).mean(dim=1)[2:-2])


@pytest.mark.parametrize(
    "overlap, side, reach", [(0.0, 8, 0), (0.01, 8, 1), (0.5, 8, 4), (1, 5, 5)]
)
def test_any_overlap_reaches_a_point(overlap: float, side: int, reach: int) -> None:
    assert reach_of(overlap, side) == reach


@pytest.mark.parametrize("periodic", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("reach", [0, 1, 3, 5])
@pytest.mark.parametrize("shape", [(3, 24), (2, 22), (2, 8, 12), (1, 6, 7), (1, 2, 9)])
def test_overlapping_patches_are_those_with_their_surroundings(
    shape: tuple[int, ...], reach: int, periodic: tuple[int, ...]
) -> None:
    side, x = 4, sample(5, *shape)
    _, *grid = shape
    periodic = tuple(axis for axis in periodic if axis < len(grid))
    patches = to_patches(x, side, reach, periodic)
    # A field with all that is around it, from which each patch is taken by its place: the longest
    # reach is more than the whole of the shortest axis.
    around = x.numpy()
    for axis in range(len(grid)):
        pad = [(0, 0)] * x.ndim
        pad[axis + 2] = (8, 8)
        around = np.pad(around, pad, mode="wrap" if axis in periodic else "constant")
    places = np.ndindex(*[-(-length // side) for length in grid])
    for token, place in enumerate(places):
        starts = [8 + side * index - reach for index in place]
        window = (..., *[slice(start, start + side + 2 * reach) for start in starts])
        np.testing.assert_array_equal(patches[:, token].numpy(), around[window].reshape(5, -1))
    assert patches.shape[1] == to_patches(x, side).shape[1] == token + 1
