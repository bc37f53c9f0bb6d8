import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xmft.convolutions import Around
from xmft.errors import DataError, RequestError
from xmft.methods import METHODS
from xmft.operators.fno import FourierOperator
from xmft.operators.unet import UNet
from xmft.padding import cut, pad_to_multiple
from xmft.records import FitResult
from xmft.stages import Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]
GRIDS = [(32,), (30,), (7,), (4,), (2,), (16, 16), (12, 20), (7, 9), (5, 4)]


def make_fno(channels: tuple[int, int], grid: tuple[int, ...], **options: Any) -> FourierOperator:
    return FourierOperator(channels, grid, **{"modes": 12, "width": 6, "layers": 2, **options})


def make_unet(channels: tuple[int, int], grid: tuple[int, ...], **options: Any) -> UNet:
    return UNet(channels, grid, **{"features": 6, "levels": 4, **options})


def make_periodic(channels: tuple[int, int], grid: tuple[int, ...]) -> UNet:
    return make_unet(channels, grid, periodic=range(len(grid)))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("make", [make_fno, make_unet, make_periodic])
def test_any_grid_is_kept_and_every_parameter_has_a_part(
    make: Callable[..., nn.Module], grid: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network = make((3, 2), grid)
    fields = torch.randn(5, 3, *grid)
    output = network(fields)
    assert output.shape == (5, 2, *grid)
    output.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("grid", [(30,), (12, 7)], ids=str)
@pytest.mark.parametrize("make", [make_fno, make_unet])
def test_a_prediction_depends_on_its_own_sample_alone(
    make: Callable[..., nn.Module], grid: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network = make((1, 1), grid)
    fields = torch.randn(4, 1, *grid)
    together = network(fields)
    for i in range(4):
        torch.testing.assert_close(network(fields[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "grid", "published"),
    [((1, 1), (256,), 2_708_673), ((10, 1), (64, 64), 7_765_057)],
)
def test_the_unet_has_the_size_of_the_published_one(
    channels: tuple[int, int], grid: tuple[int, ...], published: int
) -> None:
    # The same convolutions and as many numbers per normalisation, a few biases aside.
    count = sum(p.numel() for p in make_unet(channels, grid, features=32).parameters())
    assert count == pytest.approx(published, rel=1e-3)


def test_a_small_grid_has_fewer_levels() -> None:
    levels = {
        points: make_unet((1, 1), (points, 64)).levels for points in (2, 4, 8, 15, 16, 32, 64)
    }
    assert levels == {2: 0, 4: 1, 8: 2, 15: 2, 16: 3, 32: 4, 64: 4}
    assert make_unet((1, 1), (64,), levels=2).levels == 2


def test_the_unet_sees_how_large_a_field_is() -> None:
    torch.manual_seed(0)
    network = make_unet((1, 1), (64,), levels=2)
    fields = torch.randn(4, 1, 64)
    with torch.no_grad():
        once, thrice = network(fields), network(3 * fields)
        for module in network.modules():
            if isinstance(gain := getattr(module, "gain", None), torch.nn.Parameter):
                gain.zero_()
        # The norms alone do not, to rounding and their epsilon.
        blind = (network(3 * fields) - network(fields)).abs().max()
    assert (thrice - once).abs().max() > 0.1 * once.abs().max()
    assert blind < 1e-3 * once.abs().max()


@pytest.mark.parametrize("periodic", [(), (0,), (1,), (0, 1)])
def test_a_unet_commutes_with_shifts_along_its_periodic_axes_alone(
    periodic: tuple[int, ...],
) -> None:
    torch.manual_seed(0)
    fields = torch.randn(2, 1, 32, 16)
    network = make_unet((1, 1), (32, 16), periodic=periodic, levels=2)
    for axis in range(2):
        by, dim = 2**network.levels, axis + 2
        shifted, expected = network(fields.roll(by, dim)), network(fields).roll(by, dim)
        apart = (shifted - expected).abs().max() / expected.abs().max()
        assert apart < 1e-4 if axis in periodic else apart > 1e-2


@pytest.mark.parametrize("features", [3, 16])
def test_a_unet_that_is_periodic_on_all_axes_is_torchs_circular_one(features: int) -> None:
    """The numbers are those of convolutions with `padding_mode="circular"`."""
    network = make_unet((2, 1), (16, 12), periodic=(0, 1), features=features, levels=1)
    block, x = network.down[0], torch.randn(3, 2, 16, 12)
    expected = x
    for layer in block:
        if isinstance(layer, nn.Conv2d):
            around = nn.Conv2d(*layer.weight.shape[1::-1], 3, padding=1, padding_mode="circular")
            around.weight, around.bias = layer.weight, None
            expected = around(expected)
        elif not isinstance(layer, Around):
            expected = layer(expected)
    assert torch.equal(block(x), expected)


def test_parameters_have_the_same_names_whatever_is_beyond_the_edges() -> None:
    plain, periodic = make_unet((2, 1), (16, 12)), make_unet((2, 1), (16, 12), periodic=(1,))
    assert plain.state_dict().keys() == periodic.state_dict().keys()


def test_padding_continues_the_field() -> None:
    fields = torch.arange(6.0).view(1, 1, 2, 3)
    zeros = pad_to_multiple(fields, 4)
    assert zeros[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    around = pad_to_multiple(fields, 4, (0, 1))
    assert around[0, 0].tolist() == [[0, 1, 2, 0], [3, 4, 5, 3], [0, 1, 2, 0], [3, 4, 5, 3]]
    assert torch.equal(cut(zeros, (2, 3)), fields) and torch.equal(cut(around, (2, 3)), fields)
    assert torch.equal(pad_to_multiple(fields[..., :2], 2), fields[..., :2])
    mixed = pad_to_multiple(fields, 4, (1,))
    assert mixed[0, 0].tolist() == [[0, 1, 2, 0], [3, 4, 5, 3], [3, 4, 5, 3], [3, 4, 5, 3]]


class Spectral(nn.Module):
    """The first spectral convolution of a network, with all its weights 1, on one channel."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.convolution = network.fno_blocks.convs[0]
        for parameter in self.convolution.parameters():
            nn.init.constant_(parameter, 1.0 if parameter.is_complex() else 0.0)

    def forward(self, fields: torch.Tensor) -> torch.Tensor:
        first = fields[:, :1]
        return self.convolution(torch.cat([first, torch.zeros_like(first)], dim=1))[:, :1]


@pytest.mark.parametrize("grid", [(16,), (15,), (16, 12), (15, 9), (9, 12)], ids=str)
def test_modes_stay_where_they_are(grid: tuple[int, ...]) -> None:
    network = make_fno((1, 1), grid, width=2, layers=1)
    network.network = Spectral(network.network)
    # A package that puts the spectrum of an odd grid back one mode beside keeps no constant.
    fields = [torch.ones(1, 1, *grid)]
    if all(length % 2 == 0 for length in grid):
        fields.append(torch.cos(2 * torch.pi * network.coordinates.sum(dim=0))[None, None])
    for field in fields:
        torch.testing.assert_close(network(field), field, atol=1e-5, rtol=0)


def test_the_fourier_operator_sees_where_it_is() -> None:
    torch.manual_seed(0)
    network = make_fno((1, 1), (8, 4))
    assert network.coordinates.shape == (2, 8, 4)
    assert network.coordinates[0, :, 0].tolist() == [i / 8 for i in range(8)]
    assert network.coordinates[1, 0].tolist() == [0, 0.25, 0.5, 0.75]
    output = network(torch.ones(1, 1, 8, 4))
    assert output.std() > 1e-3


def test_the_fourier_operator_works_under_autocast() -> None:
    network = make_fno((1, 1), (16,))
    fields = torch.randn(2, 1, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(fields)
    assert output.dtype == torch.float32
    assert torch.equal(output, network(fields))


def test_the_state_of_the_fourier_operator_is_tensors_that_load() -> None:
    torch.manual_seed(0)
    first, second = make_fno((1, 1), (16,)), make_fno((1, 1), (16,))
    state = first.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    second.load_state_dict(state)
    fields = torch.randn(2, 1, 16)
    assert torch.equal(first(fields), second(fields))


def test_importing_the_package_leaves_the_warnings_filters() -> None:
    before = list(warnings.filters)
    make_fno((1, 1), (16,))
    assert warnings.filters == before


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "neuralop" else find(name)
    )
    with pytest.raises(RequestError, match=r"pip install 'xmft\[operators\]'"):
        METHODS["fno"].check_installed()
    with pytest.raises(RequestError, match="neuraloperator"):
        make_fno((1, 1), (16,))
    METHODS["unet"].check_installed()


@pytest.fixture
def heat_data(dense_data: TaskData) -> TaskData:
    """Random periodic fields on a 2-D grid and the heat equation's solution, mode by mode."""
    rng = np.random.default_rng(0)
    n = 16
    k = np.fft.fftfreq(n, 1 / n)
    square = k[:, None] ** 2 + k[None] ** 2

    def split(count: int) -> Split:
        spectrum = np.fft.fft2(rng.standard_normal((count, 1, n, n))) * np.exp(-square / 8)
        start, end = (np.fft.ifft2(spectrum * np.exp(-t * square)).real for t in (0, 0.1))
        return Split(inputs=(3 + start).astype(np.float32), targets=end.astype(np.float32))

    return replace(dense_data, train=split(96), val=split(16), test=split(16), fingerprint="heat")


@pytest.mark.parametrize("data", ["dense_data", "heat_data"])
@pytest.mark.parametrize("method", ["fno", "unet"])
def test_operators_learn_what_the_mean_cannot_know(
    method: str, data: str, train: Train, request: pytest.FixtureRequest
) -> None:
    # dense_data is a shift by 3 points and a sum of channels.
    given = request.getfixturevalue(data)
    recipe = Recipe(epochs=12, batch_size=8, learning_rate=5e-3)
    scores = {}
    for name in (method, "mean"):
        _, result = train(name, given, recipe)
        scores[name] = next(
            s.value
            for s in result.scores
            if (s.split, s.selection, s.metric) == ("test", "last", "nrmse")
        )
    assert scores[method] < 0.5 * scores["mean"]


def nrmse(prediction: np.ndarray, truth: np.ndarray) -> float:
    rows = [
        np.linalg.norm(p - y) / np.linalg.norm(y)
        for p, y in zip(prediction.astype(np.float64), truth.astype(np.float64), strict=True)
    ]
    return float(np.mean(rows))


@pytest.mark.parametrize("method", ["fno", "unet"])
def test_other_grids_are_refused(
    method: str, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    train = replace(dense_data.train, targets=dense_data.train.targets[:, :, ::2])
    with pytest.raises(DataError, match="targets lie on a grid"):
        build(method, replace(dense_data, train=train), recipe)


def test_a_method_without_a_backbone_cannot_ask_for_one(
    dense_data: TaskData, recipe: Recipe, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS["nft"], "uses_backbone", False)
    with pytest.raises(ValueError, match="uses_backbone=False"):
        build("nft", dense_data, recipe)
