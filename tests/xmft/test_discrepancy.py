import itertools
import math

import pytest
import torch

from xmft.alignment.discrepancy import mean_distance, mmd
from xmft.alignment.wasserstein import Points


def sample(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def mmd_by_loops(x: torch.Tensor, y: torch.Tensor) -> float:
    both = [*x, *y]
    gaps = [((a - b) ** 2).sum().item() for a, b in itertools.permutations(both, 2)]
    unit = sum(gaps) / len(gaps)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        gap = ((a - b) ** 2).sum().item()
        return sum(math.exp(-gap / (unit * 2**power)) for power in (-2, -1, 0, 1, 2))

    def mean(left: torch.Tensor, right: torch.Tensor) -> float:
        return sum(kernel(a, b) for a in left for b in right) / (len(left) * len(right))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (6, 3), (1, 4), (1, 1)])
def test_mmd_matches_loops_over_pairs(n: int, m: int) -> None:
    x, y = sample(n, 3, 1), sample(m, 3, 2, shift=0.5)
    assert mmd(x, y).item() == pytest.approx(mmd_by_loops(x, y), rel=1e-9)


def test_mmd_of_equal_sets_is_zero() -> None:
    x = sample(6, 3)
    y = x.flip(0).clone().requires_grad_()
    value = mmd(x, y)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert y.grad.abs().max() < 1e-12


def test_mmd_is_finite_where_all_samples_coincide() -> None:
    y = torch.ones(4, 3, requires_grad=True)
    value = mmd(torch.ones(5, 3), y)
    value.backward()
    assert value.item() == 0 and torch.equal(y.grad, torch.zeros(4, 3))


def test_mmd_pulls_a_far_set_nearer() -> None:
    x, y = sample(20, 8), sample(20, 8, 1, shift=30.0).requires_grad_()
    mmd(x, y).backward()
    nearer = y - 10 * y.grad / y.grad.norm()
    assert mmd(x, nearer) < mmd(x, y)
    assert (nearer - x.mean(0)).norm() < (y - x.mean(0)).norm()


def test_the_mean_distance_matches_loops_and_finite_differences() -> None:
    x, y = sample(5, 3), sample(4, 3, 1, shift=1.0).requires_grad_()
    truth = sum((a - b).norm() for a in x for b in y) / 20
    torch.testing.assert_close(mean_distance(Points(x), y), truth)
    assert torch.autograd.gradcheck(lambda f: mean_distance(Points(x), f), (y,))


def test_the_mean_distance_has_a_finite_slope_where_samples_coincide() -> None:
    x = sample(1, 3).float()
    y = x.expand(2, 3).clone().requires_grad_()
    value = mean_distance(Points(x), y)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6) and torch.isfinite(y.grad).all()


@pytest.mark.parametrize("shape", [(3,), (2, 4)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        mean_distance(Points(sample(3, 3)), torch.zeros(shape))
