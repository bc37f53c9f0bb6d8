"""What lies beyond the edges: along periodic axes a network sees what comes round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.small_fields import field_data
from tests.xmft.test_embedder_options import SHAPES, Shape, embedder_of, inputs_of, sample
from xmft.arrays import Windows
from xmft.backbones import load_backbone
from xmft.convolutions import ResidualConvolution
from xmft.errors import DataError
from xmft.model import CrossModalModel, periodic_axes
from xmft.padding import extended
from xmft.patches import resize
from xmft.recipe import Recipe
from xmft.symmetries import Symmetries
from xmft.task import TaskData
from xmft.training import assemble

PERIODIC = [(), (0,), (1,), (0, 1)]
# Those of a shape's own axes.
SHAPES_AND_PERIODIC = [
    (shape, periodic)
    for shape in SHAPES
    for periodic in (PERIODIC[:2] if shape == (2, 32) else PERIODIC)
]


def apart(moved: Tensor, expected: Tensor) -> float:
    return ((moved - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("periodic", PERIODIC)
@pytest.mark.parametrize("ends", [((0, 0), (0, 0)), ((1, 0), (0, 2)), ((7, 9), (3, 11))])
@pytest.mark.parametrize("elsewhere", ["constant", "replicate"])
def test_fields_are_extended_as_numpy_does(
    elsewhere: Any, ends: tuple[tuple[int, int], ...], periodic: tuple[int, ...]
) -> None:
    fields = sample(2, 3, 4, 5)
    expected = fields.numpy()
    for axis, end in enumerate(ends):
        mode = "constant" if elsewhere == "constant" else "edge"
        widths = [(0, 0)] * 4
        widths[axis + 2] = end
        expected = np.pad(expected, widths, mode="wrap" if axis in periodic else mode)
    given = extended(fields, ends, periodic, elsewhere=elsewhere)
    np.testing.assert_array_equal(given.numpy(), expected)


@pytest.mark.parametrize("shape, periodic", SHAPES_AND_PERIODIC)
@pytest.mark.parametrize("fields", [{"overlap": 0.5}, {"stem": "convolution"}])
def test_tokens_move_with_a_field_along_periodic_axes_alone(
    shape: Shape, fields: dict[str, Any], periodic: tuple[int, ...]
) -> None:
    x = inputs_of(shape)
    axes = range(x.ndim - 2)
    embedder = embedder_of(shape, periodic=periodic, **fields)
    for weight in embedder.parameters():
        # What starts as nothing: the last layer of the stem, and the rim of a Swin's kernel.
        nn.init.normal_(weight, std=0.1)
    if embedder.positions is not None:
        nn.init.zeros_(embedder.positions)
    counts = [length // embedder.side for length in x.shape[2:]]

    def tokens(x: Tensor) -> Tensor:
        return embedder(x).transpose(1, 2).unflatten(2, counts)

    for axis in axes:
        distance = apart(tokens(x.roll(embedder.side, axis + 2)), tokens(x).roll(1, axis + 2))
        assert distance < 1e-4 if axis in periodic else distance > 1e-2


@pytest.mark.parametrize("periodic", PERIODIC)
@pytest.mark.parametrize(
    "grid, size",
    [((16, 24), (32, 48)), ((64, 48), (16, 24)), ((25, 10), (56, 56)), ((27, 24), (10, 20))],
)
def test_resizing_moves_with_a_field_along_periodic_axes_alone(
    grid: tuple[int, int], size: tuple[int, int], periodic: tuple[int, ...]
) -> None:
    """A field that is repeated three times and resized is, in the middle, the field resized."""
    x = sample(2, 3, *grid)
    repeats = [3 if axis in periodic else 1 for axis in range(2)]
    longer = resize(
        x.repeat(1, 1, *repeats), tuple(n * m for n, m in zip(size, repeats, strict=True))
    )
    for axis in periodic:
        longer = longer.narrow(axis + 2, size[axis], size[axis])
    given = resize(x, size, periodic)
    torch.testing.assert_close(given, longer, rtol=1e-5, atol=1e-5)
    if periodic and grid != size:
        plain = resize(x, size)
        inner = (..., slice(4, -4), slice(4, -4))
        assert apart(given, plain) > 1e-2
        torch.testing.assert_close(given[inner], plain[inner], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("periodic", PERIODIC)
def test_refinement_moves_with_a_field_along_periodic_axes_alone(
    periodic: tuple[int, ...],
) -> None:
    torch.manual_seed(0)
    refine = ResidualConvolution(1, 2, beside=2, periodic=periodic)
    nn.init.normal_(refine.leave.weight, std=0.1)
    field, beside = sample(2, 1, 8, 6), sample(2, 2, 8, 6)
    for axis in (2, 3):
        moved = refine(field.roll(1, axis), beside.roll(1, axis))
        distance = apart(moved, refine(field, beside).roll(1, axis))
        assert distance < 1e-4 if axis - 2 in periodic else distance > 1e-2


def periodic_data(*axes: int) -> TaskData:
    data = field_data(1, (16, 16))
    return replace(data, task=replace(data.task, symmetries=Symmetries(periodic=axes)))


def windowed(data: TaskData) -> TaskData:
    splits = {
        name: replace(split, windows=Windows.every([(16, 16)] * len(split), (8, 8), 8))
        for name, split in data.splits.items()
    }
    return replace(data, **splits)


def test_what_is_kept_for_backward_is_no_longer_than_the_fields_extended() -> None:
    fields = sample(2, 3, 40)
    longer = extended(fields, [(2, 2)], (0,))
    assert longer.untyped_storage().nbytes() == longer.nbytes == 2 * 3 * 44 * 4


def test_axes_that_samples_do_not_have_are_refused() -> None:
    for axes in ((2,), (-1,), (0, 0)):
        with pytest.raises(DataError, match="symmetries name"):
            periodic_data(*axes)
    decoded = replace(field_data(1, (16, 16)), decode=lambda pieces: pieces)
    wrong = replace(decoded, task=replace(decoded.task, symmetries=Symmetries(periodic=(2,))))
    with pytest.raises(DataError, match="axis 2 of 2"):
        periodic_axes(wrong)


def test_the_axes_are_those_of_the_task_and_none_of_a_window() -> None:
    assert periodic_axes(field_data(1, (16, 16))) == ()
    assert periodic_axes(periodic_data(1)) == (1,)
    assert periodic_axes(windowed(periodic_data(0, 1))) == ()


ENCODED = {"overlap": 0.5, "stem": "convolution", "refine": True}


@pytest.mark.parametrize("backbone", ["tiny-sequence", "tiny-swin"])
def test_a_recipe_that_pads_with_zeros_and_a_task_without_periods_are_the_same(
    backbone: str,
) -> None:
    outputs = []
    for data, padding in (
        (field_data(1, (16, 16)), "periodic"),
        (periodic_data(0, 1), "zeros"),
        (periodic_data(0, 1), "periodic"),
        (periodic_data(0), "periodic"),
    ):
        recipe, encoder = Recipe(max_tokens=16, padding=padding, **ENCODED), load_backbone(backbone)
        torch.manual_seed(0)
        model = CrossModalModel(encoder, data, recipe).eval()
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "leave" in name or "project.weight" in name:
                nn.init.normal_(weight, std=0.1)
        outputs.append(model(torch.from_numpy(np.asarray(data.train.inputs))))
    without, zeros, both, one = outputs
    assert torch.equal(without, zeros)
    assert apart(both, zeros) > 1e-3 and apart(one, zeros) > 1e-3 and apart(one, both) > 1e-3


def test_where_nothing_looks_beyond_an_edge_it_does_not_matter_what_is_there() -> None:
    data = periodic_data(0, 1)
    for fields in ({"overlap": 0.0}, ENCODED):
        made = [
            assemble(
                data,
                "nft",
                backbone="tiny-sequence",
                recipe=Recipe(max_tokens=30, padding=padding, **fields),
            )
            for padding in ("zeros", "periodic")
        ]
        outputs = [each.model(torch.from_numpy(data.train.inputs)) for each in made]
        assert torch.equal(*outputs) == (fields is not ENCODED)


@pytest.mark.parametrize("padding, axes", [("zeros", ()), ("periodic", (1,)), ("circular", (0, 1))])
def test_a_unet_looks_round_the_axes_that_its_option_says(
    padding: str, axes: tuple[int, ...]
) -> None:
    made = assemble(periodic_data(1), "unet", options={"features": 4, "padding": padding})
    assert made.model.operator.periodic == axes
