import pytest
import torch
from torch import Tensor, nn

from xmft.embedders import ImageEmbedder, PatchEmbedder
from xmft.errors import RequestError
from xmft.patches import from_patches, patch_size, to_patches
from xmft.recipe import Recipe


def sample(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# Published tasks: length, longest sequence wanted, stride and number of tokens.
STACKING = [
    (1000, 64, 20, 50),
    (46, 512, 1, 46),
    (1000, 512, 2, 500),
    (256, 512, 1, 256),
    (256, 128, 2, 128),
    (1024, 256, 4, 256),
    (1024, 32, 32, 32),
    (1024, 128, 8, 128),
    (3072, 128, 24, 128),
]


@pytest.mark.parametrize("length, longest, side, tokens", STACKING)
def test_stacking_rule_of_the_published_tasks(
    length: int, longest: int, side: int, tokens: int
) -> None:
    assert patch_size((length,), longest) == side
    embedder = PatchEmbedder(
        (1, length),
        Recipe(amplitude=False, max_tokens=longest),
        positions=torch.zeros(512, 4),
        norm=nn.LayerNorm(4),
    )
    assert (embedder.side, embedder.tokens) == (side, tokens)


@pytest.mark.parametrize(
    "grid, longest, side, tokens",
    [((7, 5), 10, 3, 6), ((64, 32), 1, 64, 1), ((96, 101), 256, 7, 14 * 15), ((997,), 64, 16, 63)],
)
def test_patches_reach_over_the_edge_where_no_even_cut_leaves_enough_tokens(
    grid: tuple[int, ...], longest: int, side: int, tokens: int
) -> None:
    assert patch_size(grid, longest) == side
    embedder = PatchEmbedder(
        (2, *grid),
        Recipe(amplitude=False, max_tokens=longest),
        positions=torch.zeros(512, 4),
        norm=nn.LayerNorm(4),
    )
    assert embedder.tokens == tokens
    x = sample(3, 2, *grid)
    patches = to_patches(x, side)
    assert patches.shape == (3, tokens, 2 * side ** len(grid))
    # What is beyond the edge is zero, and cut off on the way back.
    assert patches.double().square().sum() == pytest.approx(float(x.double().square().sum()))
    assert torch.equal(from_patches(patches, side, (2, *grid)), x)
    assert embedder(x).shape == (3, tokens, 4)


def embed_by_convolution(embedder: PatchEmbedder, x: Tensor) -> Tensor:
    channels, axes = x.shape[1], x.ndim - 2
    kind = nn.Conv1d if axes == 1 else nn.Conv2d
    width = embedder.project.out_features
    convolution = kind(channels, width, kernel_size=embedder.side, stride=embedder.side)
    with torch.no_grad():
        kernel = embedder.project.weight.view(width, channels, *[embedder.side] * axes)
        convolution.weight.copy_(kernel)
        convolution.bias.copy_(embedder.project.bias)
    tokens = convolution(x).flatten(2).transpose(1, 2)
    return embedder.norm(tokens) + embedder.positions[None, : tokens.shape[1]]


@pytest.mark.parametrize("shape, longest", [((3, 24), 8), ((2, 12, 8), 6)])
def test_projection_is_the_strided_convolution(shape: tuple[int, ...], longest: int) -> None:
    torch.manual_seed(0)
    embedder = PatchEmbedder(
        shape,
        Recipe(amplitude=False, max_tokens=longest),
        positions=sample(32, 16),
        norm=nn.LayerNorm(16),
    )
    nn.init.normal_(embedder.project.bias)
    x = sample(4, *shape)
    torch.testing.assert_close(embedder(x), embed_by_convolution(embedder, x))


def test_it_starts_from_copies_of_positions_and_norm() -> None:
    positions, norm = sample(32, 16), nn.LayerNorm(16, eps=1e-3)
    nn.init.normal_(norm.weight)
    embedder = PatchEmbedder(
        (1, 32), Recipe(amplitude=False, max_tokens=8), positions=positions, norm=norm
    )
    assert torch.equal(embedder.positions, positions[:8]) and embedder.positions.requires_grad
    assert torch.equal(embedder.norm.weight, norm.weight) and embedder.norm.eps == 1e-3
    with torch.no_grad():
        embedder.positions.zero_()
        embedder.norm.weight.zero_()
    assert norm.weight.all() and positions.all()


def test_the_projection_starts_as_xavier_with_gain_root_two() -> None:
    torch.manual_seed(0)
    recipe = Recipe(patches="xavier", max_tokens=16)
    embedder = PatchEmbedder((4, 512), recipe, positions=torch.zeros(16, 64), norm=nn.LayerNorm(64))
    bound = 2**0.5 * (6 / (4 * 32 + 64)) ** 0.5
    assert 0.98 * bound < embedder.project.weight.abs().max() <= bound
    assert not embedder.project.bias.any()


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(RequestError, match=r"64 tokens, but the encoder has 32 positions.*32"):
        PatchEmbedder(
            (1, 64),
            Recipe(amplitude=False, max_tokens=64),
            positions=torch.zeros(32, 4),
            norm=nn.LayerNorm(4),
        )


def images(channels: int, positions: Tensor | None = None) -> tuple[ImageEmbedder, nn.Conv2d]:
    torch.manual_seed(0)
    projection, norm = nn.Conv2d(3, 16, 4, stride=4), nn.LayerNorm(16, eps=1e-3)
    nn.init.normal_(norm.weight)
    embedder = ImageEmbedder(
        channels,
        (16, 24),
        Recipe(amplitude=False),
        projection=projection,
        norm=norm,
        positions=positions,
    )
    assert torch.equal(embedder.norm.weight, norm.weight) and embedder.norm.eps == 1e-3
    return embedder, projection


def test_three_channels_start_from_the_pretrained_projection() -> None:
    embedder, projection = images(3)
    assert (embedder.tokens, embedder.side) == (24, 4)
    x = sample(2, 3, 16, 24)
    expected = embedder.norm(projection(x).flatten(2).transpose(1, 2))
    torch.testing.assert_close(embedder(x), expected)
    positions = sample(1, 24, 16)
    placed, _ = images(3, positions)
    torch.testing.assert_close(placed(x), expected + positions)


@pytest.mark.parametrize("channels", [6, 57])
def test_repeated_channels_give_the_same_tokens(channels: int) -> None:
    embedder, projection = images(channels)
    x = sample(2, 3, 16, 24)
    torch.testing.assert_close(
        embedder.project(x.repeat(1, channels // 3, 1, 1)), projection(x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_grey_field_keeps_about_its_size(channels: int) -> None:
    torch.manual_seed(0)
    # A pretrained projection that treats the channels alike.
    embedder, projection = images(channels)
    with torch.no_grad():
        projection.weight.copy_(projection.weight[:, :1].expand(-1, 3, -1, -1))
    embedder = ImageEmbedder(
        channels,
        (16, 24),
        Recipe(amplitude=False),
        projection=projection,
        norm=nn.LayerNorm(16),
        positions=None,
    )
    x = sample(2, 1, 16, 24)
    torch.testing.assert_close(
        embedder.project(x.expand(-1, channels, -1, -1)),
        projection(x.expand(-1, 3, -1, -1)),
        rtol=1e-4,
        atol=1e-5,
    )
