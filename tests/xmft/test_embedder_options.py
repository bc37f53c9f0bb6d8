"""What a recipe can ask of an embedder: a path past the norm, other starts, overlap, a stem."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.xmft.small_fields import field_data
from xmft.backbones import load_backbone
from xmft.embedders import ImageEmbedder, PatchEmbedder, TargetEmbedder
from xmft.model import CrossModalModel
from xmft.patches import to_patches
from xmft.recipe import Recipe

WIDTH = 24
SHAPES = [(2, 32), (3, 12, 8), "image"]
Shape = Any


def sample(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def known_norm() -> nn.LayerNorm:
    norm = nn.LayerNorm(WIDTH)
    nn.init.uniform_(norm.weight, 0.2, 0.8)
    nn.init.normal_(norm.bias, std=0.1)
    return norm


def embedder_of(shape: Shape, *, periodic: tuple[int, ...] = (), **fields: Any) -> TargetEmbedder:
    torch.manual_seed(0)
    fields = {"amplitude": False, **fields}
    made: dict[str, Any] = {"norm": known_norm(), "periodic": periodic}
    if shape == "image":
        made["projection"] = nn.Conv2d(3, WIDTH, 4, stride=4)
        return ImageEmbedder(2, (16, 24), Recipe(**fields), positions=None, **made)
    recipe = Recipe(max_tokens=8, **fields)
    return PatchEmbedder(shape, recipe, positions=sample(16, WIDTH), **made)


def inputs_of(shape: Shape) -> Tensor:
    return sample(5, *((2, 16, 24) if shape == "image" else shape))


def by_convolution(embedder: TargetEmbedder, layer: Any, x: Tensor) -> Tensor:
    """A projection of patches by torch's own strided convolution, `[n, tokens, width]`."""
    if isinstance(layer, nn.Conv2d):
        weight, reach = layer.weight, layer.padding[0]
    else:
        reach = embedder.reach
        size = [embedder.side + 2 * reach] * (x.ndim - 2)
        weight = layer.weight.view(WIDTH, x.shape[1], *size)
    convolution = nn.functional.conv1d if x.ndim == 3 else nn.functional.conv2d
    mapped: Tensor = convolution(x, weight, layer.bias, stride=embedder.side, padding=reach)
    return mapped.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_those_of_the_norm_and_of_the_path_past_it(shape: Shape, overlap: float) -> None:
    embedder = embedder_of(shape, amplitude=True, overlap=overlap)
    x = inputs_of(shape)
    projected = by_convolution(embedder, embedder.project, x)
    centred = projected - projected.mean(dim=2, keepdim=True)
    normal = centred / (centred.square().mean(dim=2, keepdim=True) + embedder.norm.eps).sqrt()
    expected = normal * embedder.norm.weight + embedder.norm.bias
    if embedder.positions is not None:
        expected = expected + embedder.positions
    past = by_convolution(embedder, embedder.past, x)
    torch.testing.assert_close(embedder(x), expected + 0.1 * past, rtol=1e-4, atol=1e-5)
    # As many tokens as without.
    assert embedder(x).shape == embedder_of(shape)(x).shape


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_the_size_of_a_field_is_seen_with_the_path_alone(shape: Shape) -> None:
    x = inputs_of(shape)
    for amplitude in (False, True):
        embedder = embedder_of(shape, amplitude=amplitude)
        before, after = embedder(x), embedder(3 * x)
        moved = ((after - before).norm() / (before - embedder.positions).norm()).item()
        # An ordinary patch adds a tenth of what the norm gives; three of them 0.2 more.
        assert 0.1 < moved < 0.3 if amplitude else moved < 1e-3


@pytest.mark.parametrize("width", [16, 384])
@pytest.mark.parametrize("shape, longest", [((1, 256), 256), ((3, 256), 8), ((2, 64, 64), 16)])
def test_the_path_starts_at_a_tenth_of_the_norm_at_every_width_and_patch(
    shape: tuple[int, ...], longest: int, width: int
) -> None:
    torch.manual_seed(0)
    norm = nn.LayerNorm(width)
    nn.init.constant_(norm.weight, 0.6)
    embedder = PatchEmbedder(
        shape,
        Recipe(max_tokens=longest, amplitude=True),
        positions=torch.zeros(256, width),
        norm=norm,
    )
    assert embedder.gain is not None and embedder.past is not None
    # A field of one value, and one of noise: patches of the mean square 1 both.
    for x in (torch.ones(1, *shape), sample(20, *shape)):
        path = embedder.gain * embedder.past(to_patches(x, embedder.side))
        assert path.square().mean().sqrt().item() == pytest.approx(0.06, rel=0.5)


@pytest.mark.parametrize(
    "fields",
    [
        {"amplitude": True},
        {"stem": "convolution"},
        {"refine": True},
        {"residual": True},
        {"amplitude": True, "stem": "convolution", "refine": True},
    ],
)
@pytest.mark.parametrize("name", ["tiny-sequence", "tiny-swin"])
def test_what_an_option_adds_leaves_the_other_draws_as_they_are(
    name: str, fields: dict[str, Any]
) -> None:
    data, states = field_data(2, (16, 16), 2), []
    for recipe in (Recipe(amplitude=False), Recipe(**{"amplitude": False, **fields})):
        backbone = load_backbone(name)
        torch.manual_seed(3)
        model = CrossModalModel(backbone, data, recipe)
        states.append(model.state_dict() | {"next": torch.rand(3)})
    plain, other = states
    renamed = {key.replace("head.head.", "head."): value for key, value in other.items()}
    assert plain.keys() <= renamed.keys()
    for key, value in plain.items():
        assert torch.equal(value, renamed[key]), key


def test_paths_of_other_seeds_are_others() -> None:
    drawn = []
    for seed in (0, 0, 1):
        backbone = load_backbone("tiny-sequence")
        torch.manual_seed(seed)
        model = CrossModalModel(backbone, field_data(2, (16,), 1), Recipe(amplitude=True))
        drawn.append(model.embedder.past.weight)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("shape", [(3, 32), (2, 16, 16)])
def test_the_published_start_is_that_of_a_convolution(shape: tuple[int, ...]) -> None:
    channels, *grid = shape
    norm, positions = nn.LayerNorm(48), torch.zeros(16, 48)
    torch.manual_seed(1)
    embedder = PatchEmbedder(
        shape, Recipe(max_tokens=16, patches="published"), positions=positions, norm=norm
    )
    kind = nn.Conv1d if len(grid) == 1 else nn.Conv2d
    convolution = kind(channels, 48, embedder.side, stride=embedder.side)
    torch.manual_seed(1)
    nn.Linear(embedder.project.in_features, 48)  # takes as many numbers as the embedder has drawn
    nn.init.xavier_uniform_(convolution.weight, gain=2**0.5)
    assert torch.equal(embedder.project.weight.view_as(convolution.weight), convolution.weight)
    assert not embedder.project.bias.any()


@pytest.mark.parametrize("side, ratio", [(4, 2.0), (16, 4.0), (24, 4.8), (32, 5.5)])
def test_the_start_of_a_linear_map_is_larger_than_the_published_one(
    side: int, ratio: float
) -> None:
    sizes = {}
    for patches in ("convolution", "xavier", "published", "redrawn"):
        torch.manual_seed(0)
        embedder = PatchEmbedder(
            (1, 96 * side),
            Recipe(max_tokens=96, patches=patches),
            positions=torch.zeros(96, 768),
            norm=nn.LayerNorm(768),
        )
        assert embedder.side == side
        sizes[patches] = embedder.project.weight.norm().item()
    assert sizes["xavier"] / sizes["published"] == pytest.approx(ratio, abs=0.06)
    assert sizes["redrawn"] == sizes["published"] == sizes["convolution"]


def swin_projection(channels: int, **fields: Any) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    known = nn.Conv2d(3, 64, 4, stride=4)
    embedder = ImageEmbedder(
        channels,
        (16, 24),
        Recipe(**fields),
        projection=known,
        norm=nn.LayerNorm(64),
        positions=None,
    )
    return known, embedder.project


def test_orca_repeats_the_pretrained_projection_unscaled() -> None:
    for channels in (1, 2, 4, 7):
        known, started = swin_projection(channels, patches="published")
        tiled = torch.cat([known.weight] * (channels // 3 + 1), dim=1)[:, :channels]
        assert torch.equal(started.weight, tiled) and torch.equal(started.bias, known.bias)


def test_recraft_draws_the_projection_anew() -> None:
    torch.manual_seed(0)
    _, started = swin_projection(2, patches="redrawn")
    fresh = nn.Conv2d(2, 64, 4, stride=4)
    nn.init.xavier_uniform_(fresh.weight, gain=math.sqrt(2))
    assert started.weight.std().item() == pytest.approx(fresh.weight.std().item(), rel=0.05)
    assert started.weight.abs().max().item() == pytest.approx(
        fresh.weight.abs().max().item(), rel=0.01
    )
    assert not started.bias.any()


def test_overlapping_patches_of_a_swin_start_as_those_that_do_not() -> None:
    x = sample(2, 2, 16, 24)
    plain, wide = embedder_of("image"), embedder_of("image", overlap=0.5)
    assert wide.project.kernel_size == (8, 8)
    torch.testing.assert_close(wide(x), plain(x))
    wide(x).square().sum().backward()
    assert wide.project.weight.grad[..., 0, :].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stem_starts_as_nothing_and_sees_beyond_its_patch(shape: Shape) -> None:
    plain, stemmed = embedder_of(shape), embedder_of(shape, stem="convolution")
    x = inputs_of(shape)
    assert torch.equal(stemmed(x), plain(x))
    nn.init.normal_(stemmed.stem.leave.weight, std=0.1)
    here = x.clone().requires_grad_()
    stemmed(here)[:, 0].norm().backward()
    # Four points beyond the first patch, and no more.
    reached = here.grad.abs().amax(dim=(0, 1))
    reached = reached if x.ndim == 3 else reached[0]
    assert reached.nonzero().max().item() == plain.side + 3
