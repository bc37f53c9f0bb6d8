"""The dataset distance of features of which some lie far out."""

import pytest
import torch

from xmft.alignment.otdd import otdd
from xmft.alignment.source_classes import SourceClasses


def test_outliers_cost_the_distance_no_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 6, generator=generator)
    y = torch.randn(30, 6, generator=generator) + 0.5
    x[7] *= 1e6
    y[3] = x[7]
    labels, classes = torch.arange(60) % 4, torch.arange(30) % 2
    values, slopes = [], []
    for dtype in (torch.float32, torch.float64):
        moving = y.to(dtype, copy=True).requires_grad_()
        value = otdd(SourceClasses(x.to(dtype), labels), moving, classes, inner="exact")
        value.backward()
        values.append(value.item())
        slopes.append(moving.grad[10:].double())
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-2, atol=1e-3)
