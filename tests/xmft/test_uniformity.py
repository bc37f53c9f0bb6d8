import itertools
import math

import pytest
import torch
from torch import Tensor

from xmft.alignment.uniformity import alignment, uniformity


@pytest.fixture
def features() -> Tensor:
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3])


def squared_distance(a: Tensor, b: Tensor) -> float:
    return float((a / a.norm() - b / b.norm()).square().sum())


def test_alignment_is_the_mean_over_pairs_of_a_class(features: Tensor) -> None:
    pairs = [(i, j) for i, j in itertools.combinations(range(7), 2) if LABELS[i] == LABELS[j]]
    mean = sum(squared_distance(features[i], features[j]) for i, j in pairs) / len(pairs)
    assert alignment(features, LABELS).item() == pytest.approx(mean)


def test_uniformity_is_the_log_of_a_mean_over_all_pairs(features: Tensor) -> None:
    kernels = [
        math.exp(-2 * squared_distance(a, b)) for a, b in itertools.combinations(features, 2)
    ]
    assert uniformity(features).item() == pytest.approx(math.log(sum(kernels) / len(kernels)))


def test_opposite_points_are_at_the_ends_of_both_ranges() -> None:
    poles = torch.tensor([[0.0, 2.0], [0.0, -5.0]])
    assert alignment(poles, torch.tensor([1, 1])).item() == pytest.approx(4)
    assert uniformity(poles).item() == pytest.approx(-8)
    same = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    assert alignment(same, torch.tensor([1, 1])).item() == pytest.approx(0, abs=1e-6)
    assert uniformity(same).item() == pytest.approx(0, abs=1e-6)


def test_a_batch_without_a_pair_of_one_class_gives_nothing(features: Tensor) -> None:
    features.requires_grad_()
    value = alignment(features, torch.arange(7))
    value.backward()
    assert value.item() == 0
    assert features.grad is not None and not features.grad.any()


@pytest.mark.parametrize("doubled", [False, True])
def test_gradients_are_right_even_where_two_points_coincide(
    features: Tensor, doubled: bool
) -> None:
    if doubled:
        features[2] = features[0]
    features.requires_grad_()
    both = lambda x: alignment(x, LABELS) + uniformity(x)  # noqa: E731
    assert torch.autograd.gradcheck(both, features)
    assert torch.autograd.gradgradcheck(both, features)


def test_half_precision_is_computed_in_single(features: Tensor) -> None:
    half = features.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = alignment(half, LABELS) + uniformity(half)
    expected = alignment(half.float(), LABELS) + uniformity(half.float())
    assert value.dtype == torch.float32 and torch.equal(value, expected)
