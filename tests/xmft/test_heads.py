import pytest
import torch
from torch import Tensor, nn

from xmft.heads import ClassHead, ImageHead, PatchHead, UnitMeansHead


def sample(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_published_text_head_writes_means_of_hidden_units() -> None:
    # pdebench/compressible_ns_1d: 3072 points in stacks of 24 on 768 hidden units.
    head = UnitMeansHead(24, (1, 3072))
    assert not list(head.parameters())
    tokens = sample(2, 128, 768)
    output = head(tokens)
    assert output.shape == (2, 1, 3072)
    for token, place in ((0, 0), (5, 7), (127, 23)):
        units = tokens[:, token, 32 * place : 32 * place + 32]
        torch.testing.assert_close(output[:, 0, 24 * token + place], units.mean(dim=1))


def test_published_text_head_gives_each_channel_its_bins() -> None:
    tokens = sample(2, 6, 24)
    output = UnitMeansHead(3, (2, 18))(tokens)
    for channel in range(2):
        for place in range(3):
            first = 4 * (3 * channel + place)
            torch.testing.assert_close(
                output[:, channel, place::3], tokens[:, :, first : first + 4].mean(dim=2)
            )


def test_published_text_head_on_two_axes_keeps_points_in_their_patch() -> None:
    tokens = torch.arange(6.0).view(1, 6, 1).expand(1, 6, 20)
    output = UnitMeansHead(2, (1, 4, 6))(tokens)
    expected = torch.arange(6.0).view(2, 3).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(output[0, 0], expected)


def by_convolution(head: ImageHead, side: int) -> nn.Sequential:
    linear = head.draw.project
    mapped = nn.Conv2d(linear.in_features, linear.out_features, 1)
    with torch.no_grad():
        mapped.weight.copy_(linear.weight[:, :, None, None])
        mapped.bias.copy_(linear.bias)
    return nn.Sequential(mapped, nn.PixelShuffle(side))


@pytest.mark.parametrize("grid", [(24, 32), (17, 5), (12, 16), (48, 40)])
@pytest.mark.parametrize("channels", [None, 3])
def test_image_head_is_convolution_shuffle_and_pooling(
    channels: int | None, grid: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    head = ImageHead(10, 8, (24, 32), (2, *grid), channels=channels)
    nn.init.normal_(head.draw.project.bias)
    tokens = sample(3, 12, 10)
    image = by_convolution(head, 8)(tokens.transpose(1, 2).unflatten(2, (3, 4)))
    assert image.shape == (3, channels or 2, 24, 32)
    if channels:
        image = torch.stack([image[:, :2].mean(dim=1), image[:, 1:].mean(dim=1)], dim=1)
    torch.testing.assert_close(head(tokens), nn.AdaptiveAvgPool2d(grid)(image))


@pytest.mark.parametrize(
    "outputs, weights",
    [
        (1, [[1 / 3, 1 / 3, 1 / 3]]),
        (2, [[0.5, 0.5, 0], [0, 0.5, 0.5]]),
        (3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (4, [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]]),
    ],
)
def test_published_image_head_pools_three_channels(
    outputs: int, weights: list[list[float]]
) -> None:
    head = ImageHead(6, 4, (8, 8), (outputs, 8, 8), channels=3)
    tokens = sample(2, 4, 6)
    expected = torch.einsum("oc,nchw->nohw", torch.tensor(weights).float(), head.draw(tokens))
    torch.testing.assert_close(head(tokens), expected)


@pytest.mark.parametrize(
    "head, tokens",
    [
        (PatchHead(6, 4, (2, 16)), 4),
        (ImageHead(6, 4, (8, 8), (2, 5, 5)), 4),
        (ImageHead(6, 4, (8, 8), (2, 5, 5), channels=3), 4),
        (ClassHead(6, 3), 4),
    ],
)
def test_heads_start_near_zero(head: nn.Module, tokens: int) -> None:
    output = head(sample(50, tokens, 6))
    assert 0 < output.std() < 0.1
    assert not any(p.any() for name, p in head.named_parameters() if name.endswith("bias"))
