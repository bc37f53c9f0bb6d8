import numpy as np
import ot
import pytest
import torch

from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.wasserstein import Points, wasserstein
from xmft.errors import DivergedError

# At the optimum but for rounding.
ROUNDS = 2000


def sample(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def by_pot(x: torch.Tensor, y: torch.Tensor, epsilon: float) -> float:
    """Cost plus blur times the relative entropy of POT's plan."""
    cost = (torch.cdist(x, y) ** 2 / 2).numpy()
    n, m = cost.shape
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    plan = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=10**4, stopThr=1e-12)
    return float((plan * cost).sum() + epsilon * (plan * np.log(plan * n * m)).sum())


@pytest.mark.parametrize("epsilon", [0.5, 5.0])
def test_matches_pot(epsilon: float) -> None:
    x, y = sample(12, 3, 1), sample(7, 3, 2, shift=0.5)
    truth = by_pot(x, y, epsilon) - (by_pot(x, x, epsilon) + by_pot(y, y, epsilon)) / 2
    value = sinkhorn_divergence(Blurred(Points(x), epsilon=epsilon, rounds=ROUNDS), y)
    assert value.item() == pytest.approx(truth, rel=1e-6)


def test_goes_to_exact_transport_as_the_blur_vanishes() -> None:
    x, y = sample(12, 3, 1), sample(7, 3, 2, shift=0.5)
    exact = wasserstein(x, y).square().item() / 2
    gaps = [
        abs(
            sinkhorn_divergence(Blurred(Points(x), epsilon=epsilon, rounds=ROUNDS), y).item()
            - exact
        )
        for epsilon in (1.0, 0.1, 0.01)
    ]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-2 * exact


def test_goes_to_the_distance_of_means_as_the_blur_grows() -> None:
    x, y = sample(12, 3, 1), sample(7, 3, 2, shift=0.5)
    value = sinkhorn_divergence(Blurred(Points(x), epsilon=1e5, rounds=ROUNDS), y)
    half = (x.mean(0) - y.mean(0)).square().sum() / 2
    torch.testing.assert_close(value, half, rtol=1e-3, atol=0)


def test_gradient_matches_finite_differences() -> None:
    source = Blurred(Points(sample(6, 2, 1)), epsilon=1.0, rounds=100)
    y = sample(5, 2, 2, shift=0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: sinkhorn_divergence(source, f), (y,), atol=1e-4)


def test_few_rounds_are_near_the_optimum_where_samples_are_far_apart() -> None:
    x, y = sample(60, 64, 1), sample(20, 64, 2, shift=0.5)
    truth = sinkhorn_divergence(Blurred(Points(x), epsilon=0.1, rounds=ROUNDS), y)
    value = sinkhorn_divergence(Blurred(Points(x), epsilon=0.1), y)
    torch.testing.assert_close(value, truth, rtol=5e-2, atol=0)


@pytest.mark.parametrize("rounds", [1, 100])
def test_coinciding_sets_cost_nothing(rounds: int) -> None:
    x = sample(9, 3)
    y = x.flip(0).clone().requires_grad_()
    value = sinkhorn_divergence(Blurred(Points(x), epsilon=0.5, rounds=rounds), y)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert y.grad.abs().max() < 1e-9


def test_scale_and_order_of_samples() -> None:
    x, y = sample(9, 3), sample(5, 3, 1, shift=1.0)
    value = sinkhorn_divergence(Blurred(Points(x.flip(0)), epsilon=0.5), y.flip(0))
    other = sinkhorn_divergence(Blurred(Points(x / 2), epsilon=0.5, scale=2.0), y / 2)
    torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1)])
def test_single_samples(n: int, m: int) -> None:
    x, y = sample(n, 3), sample(m, 3, 1)
    cost = by_pot(x, y, 1.0) - (by_pot(x, x, 1.0) + by_pot(y, y, 1.0)) / 2
    value = sinkhorn_divergence(Blurred(Points(x), epsilon=1.0, rounds=ROUNDS), y)
    assert value.item() == pytest.approx(cost, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_reported(value: float) -> None:
    x, y = sample(5, 2), sample(3, 2, 1)
    source = Blurred(Points(x), epsilon=0.5)
    y[1, 0] = value
    with pytest.raises(DivergedError, match="not finite"):
        sinkhorn_divergence(source, y)
    with pytest.raises(DivergedError, match="not finite"):
        Blurred(Points(y), epsilon=0.5)


def test_float32_and_autocast_agree_with_float64() -> None:
    x, y = sample(50, 16, 1, shift=3.0), sample(20, 16, 2, shift=3.5)
    truth = sinkhorn_divergence(Blurred(Points(x), epsilon=0.5), y).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = sinkhorn_divergence(Blurred(Points(x.float()), epsilon=0.5), y.float())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(truth, rel=1e-4)
