"""Heads that add to the input, and that mend what is decoded patch by patch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.small_fields import field_data
from xmft.backbones import load_backbone
from xmft.errors import RequestError
from xmft.heads import CorrectedHead, PatchHead
from xmft.model import CrossModalModel
from xmft.recipe import Recipe
from xmft.task import TaskData


def sample(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def model_of(data: TaskData, backbone: str = "tiny-sequence", **fields: Any) -> CrossModalModel:
    torch.manual_seed(0)
    return CrossModalModel(load_backbone(backbone), data, Recipe(max_tokens=8, **fields)).eval()


@pytest.mark.parametrize("kind", ["learned", "published"])
@pytest.mark.parametrize(
    "shape, outputs, backbone",
    [
        ((2, 32), 2, "tiny-sequence"),
        ((4, 32), 2, "tiny-sequence"),
        ((3, 16, 12), 1, "tiny-sequence"),
        ((2, 16, 16), 2, "tiny-swin"),
    ],
)
def test_a_head_that_writes_nothing_leaves_the_last_frame(
    shape: tuple[int, ...], outputs: int, backbone: str, kind: Any
) -> None:
    data = field_data(shape[0], shape[1:], outputs, count=20)
    model = model_of(data, backbone, residual=True, dense_head=kind)
    x = torch.from_numpy(np.asarray(data.train.inputs))
    with torch.no_grad():
        encoded = torch.zeros_like(model.encoder(model.embed(x)))
        found = model.decode(encoded, x)
    torch.testing.assert_close(found, x[:, -outputs:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels, outputs", [(1, 2), (3, 2)])
def test_inputs_without_a_frame_of_the_targets_are_refused(channels: int, outputs: int) -> None:
    data = field_data(channels, (16,), outputs)
    with pytest.raises(
        RequestError, match=f"residual=true.*{channels} channels.*{outputs}.*per_task"
    ):
        model_of(data, residual=True)
    model_of(data, refine=True)


@pytest.mark.parametrize("shape", [(2, 24), (2, 12, 8)])
def test_refinement_is_two_convolutions_of_the_fields_and_the_input(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    grid = shape[1:]
    plain = PatchHead(6, 4, (1, *grid))
    head = CorrectedHead(plain, shape, 1, Recipe(refine=True))
    tokens = sample(5, int(np.prod(grid)) // 4 ** len(grid), 6)
    inputs = sample(5, *shape)
    decoded = plain(tokens)
    # At the start it is nothing.
    assert torch.equal(head(tokens, inputs), decoded)
    refine = head.refine
    assert refine is not None
    nn.init.normal_(refine.leave.weight, std=0.1)
    convolution = nn.functional.conv1d if len(grid) == 1 else nn.functional.conv2d
    hidden = convolution(
        torch.cat([decoded, inputs], dim=1), refine.enter.weight, refine.enter.bias, padding=2
    )
    hidden = hidden / 2 * (1 + torch.erf(hidden / 2**0.5))
    expected = decoded + convolution(hidden, refine.leave.weight, padding=2)
    torch.testing.assert_close(head(tokens, inputs), expected)


@pytest.mark.parametrize("data", [field_data(1, (32,)), field_data(2, (16, 16))])
def test_refinement_mends_borders_of_patches(data: TaskData) -> None:
    """Targets that are the input smoothed are had with it, from a head that writes nothing."""
    inputs = torch.from_numpy(np.asarray(data.train.inputs))
    channels, axes = inputs.shape[1], inputs.ndim - 2
    kernel = torch.ones(1, channels, *[3] * axes) / 3**axes
    convolution = nn.functional.conv1d if axes == 1 else nn.functional.conv2d
    targets = convolution(inputs, kernel, padding=1)
    head = CorrectedHead(
        PatchHead(4, 8, (1, *inputs.shape[2:])), tuple(inputs.shape[1:]), 1, Recipe(refine=True)
    )
    tokens = torch.zeros(len(inputs), (inputs.shape[2] // 8) ** axes, 4)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(150):
        loss = (head(tokens, inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05 * targets.square().mean()


def test_classes_have_no_field_to_correct(class_data: TaskData) -> None:
    plain, asked = model_of(class_data), model_of(class_data, refine=True, residual=True)
    assert plain.state_dict().keys() == asked.state_dict().keys()
