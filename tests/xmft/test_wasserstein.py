import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

from xmft.alignment.wasserstein import squared_distances, transport_plan, wasserstein
from xmft.errors import DivergedError, TransportError


def sample(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def by_permutation(x: torch.Tensor, y: torch.Tensor, p: int) -> float:
    cost = torch.cdist(x, y).pow(p).numpy()
    rows = range(len(x))
    best = min(cost[rows, list(order)].mean() for order in itertools.permutations(rows))
    return float(best) ** (1 / p)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_matches_the_best_permutation(p: int) -> None:
    x, y = sample(6, 3, 1), sample(6, 3, 2, shift=0.7)
    assert wasserstein(x, y, p=p).item() == pytest.approx(by_permutation(x, y, p), rel=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_matches_sorting_in_one_dimension(p: int) -> None:
    x, y = sample(200, 1, 3), 2 * sample(200, 1, 4) + 1
    gaps = np.abs(np.sort(x[:, 0].numpy()) - np.sort(y[:, 0].numpy()))
    assert wasserstein(x, y, p=p).item() == pytest.approx(np.mean(gaps**p) ** (1 / p), rel=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_unequal_sizes_match_repeated_samples(p: int) -> None:
    x, y = sample(4, 3, 5), sample(6, 3, 6)
    expected = wasserstein(x.repeat(3, 1), y.repeat(2, 1), p=p)
    torch.testing.assert_close(wasserstein(x, y, p=p), expected)


@pytest.mark.parametrize("p", [1, 2])
def test_gradient_matches_finite_differences_on_both_sides(p: int) -> None:
    x, y = sample(5, 3, 7).requires_grad_(), sample(4, 3, 8, shift=1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: wasserstein(a, b, p=p), (x, y))


@pytest.mark.parametrize("p", [1, 2])
def test_coinciding_sets_have_distance_and_gradient_zero(p: int) -> None:
    x = sample(5, 3)
    y = x.flip(0).clone().requires_grad_()
    value = wasserstein(x, y, p=p)
    value.backward()
    assert value.item() == 0
    assert torch.equal(y.grad, torch.zeros_like(y))


def test_a_shift_is_the_distance_and_far_origins_do_not_cancel() -> None:
    x = sample(50, 8).float() + 1e3
    shift = torch.full((8,), 1e-1)
    for p in (1, 2):
        expected = shift.norm().item()
        assert wasserstein(x, x + shift, p=p).item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("p", [1, 2])
def test_autocast_and_half_precision_cost_no_digits(p: int) -> None:
    x, y = sample(30, 8, 1).bfloat16(), sample(20, 8, 2).bfloat16()
    expected = wasserstein(x.double(), y.double(), p=p)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = wasserstein(x, y, p=p)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_first_order_is_below_second() -> None:
    x, y = sample(30, 4, 1), sample(20, 4, 2)
    assert wasserstein(x, y, p=1) <= wasserstein(x, y, p=2)


def test_the_plan_matches_linear_programming() -> None:
    cost = np.random.default_rng(0).random((4, 5))
    a, b = np.full(4, 1 / 4), np.full(5, 1 / 5)
    rows = np.kron(np.eye(4), np.ones(5))
    columns = np.kron(np.ones(4), np.eye(5))
    truth = scipy.optimize.linprog(
        cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b])
    )
    plan = transport_plan(torch.from_numpy(cost)).numpy()
    assert (plan * cost).sum() == pytest.approx(truth.fun, rel=1e-9)
    np.testing.assert_allclose(plan.sum(0), b, atol=1e-12)
    np.testing.assert_allclose(plan.sum(1), a, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1)])
def test_single_samples(shape: tuple[int, int]) -> None:
    x, y = sample(shape[0], 3, 1), sample(shape[1], 3, 2)
    expected = squared_distances(x, y).mean().sqrt()
    torch.testing.assert_close(wasserstein(x, y), expected)


def test_values_that_are_not_finite_are_reported() -> None:
    x = sample(3, 2)
    x[0, 0] = torch.nan
    with pytest.raises(DivergedError, match="not finite"):
        wasserstein(x, sample(3, 2))


@pytest.mark.parametrize(
    ("x", "y", "p"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), 2),
        (torch.zeros(0, 2), torch.zeros(3, 2), 2),
        (torch.zeros(3, 2), torch.zeros(3, 2), 0),
    ],
)
def test_wrong_arguments_are_refused(x: torch.Tensor, y: torch.Tensor, p: int) -> None:
    with pytest.raises(ValueError, match=r"Expected|non-empty|order"):
        wasserstein(x, y, p=p)


def with_outliers(scale: float, pairs: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets in float32 of which some samples lie far out, at the same places."""
    x, y = sample(64, 8, 1).float(), sample(64, 8, 2, shift=0.5).float()
    x[:pairs] = scale * x[:pairs] + x[pairs : 2 * pairs]
    y[-pairs:] = x[:pairs]
    return x, y


def assigned(x: torch.Tensor, y: torch.Tensor) -> float:
    """The least mean squared distance, by another solver and from differences."""
    cost = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return float(cost.square()[scipy.optimize.linear_sum_assignment(cost.square())].mean())


@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 1e2, 1e3, 1e4, 1e6, 1e10, 1e14])
def test_outliers_cost_the_others_no_digits(scale: float, pairs: int) -> None:
    x, y = with_outliers(scale, pairs)
    y.requires_grad_()
    value = wasserstein(x, y)
    assert value.item() ** 2 == pytest.approx(assigned(x, y.detach()), rel=1e-4)
    value.backward()
    assert y.grad.isfinite().all()


def test_a_pair_of_sets_far_from_each_other() -> None:
    x, y = sample(40, 8, 1).float(), sample(40, 8, 2).float() + 1e5
    plan = transport_plan(squared_distances(x, y))
    cost = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    # What the plan can change is a tiny part of the cost: without the means it is all of it.
    best = assigned(x - x.mean(0), y.double() - y.double().mean(0))
    shift = (x.double().mean(0) - y.double().mean(0)).square().sum()
    assert float((plan * cost).sum() - shift) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("sizes", [(12, 8), (5, 9)])
def test_large_costs_beside_small_ones(sizes: tuple[int, int]) -> None:
    """Against the same problem with the large costs cut to what already rules them out."""
    cost = torch.rand(*sizes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    large = torch.rand(*sizes, generator=torch.Generator().manual_seed(1)) < 0.3
    large[torch.arange(sizes[0]), torch.arange(sizes[0]) % sizes[1]] = False
    cut = torch.where(large, 1e3, cost)
    expected = (transport_plan(cut) * cost).sum()
    plan = transport_plan(torch.where(large, 1e19, cost))
    assert plan[large].sum() == 0
    torch.testing.assert_close((plan * cost).sum(), expected, rtol=1e-9, atol=0)


def test_a_plan_cut_short_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(50, 4, 1), sample(50, 4, 2)
    monkeypatch.setattr("xmft.alignment.wasserstein._MAX_PIVOTS", 3)
    with pytest.raises(TransportError, match="50 to 50 samples ended without an optimal plan"):
        transport_plan(squared_distances(x, y))


def test_ordinary_features_are_taken_as_they_were() -> None:
    """The product of single precision, moved by the mean: ledgers hold numbers made with it."""
    x, y = sample(50, 8, 1).float(), sample(30, 8, 2, shift=1.0).float()
    a, b = x - x.mean(0), y - x.mean(0)
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    expected = torch.addmm(squares, a, b.T, alpha=-2).clamp_min(0)
    assert torch.equal(squared_distances(x, y), expected)


def test_copies_of_one_sample_are_no_outliers() -> None:
    x = sample(1, 8, 1).float().repeat(40, 1)
    y = sample(30, 8, 2).float()
    expected = torch.linalg.vector_norm(x[:1].double() - y.double(), dim=1)
    assert wasserstein(x, y, p=1).item() == pytest.approx(expected.mean().item(), rel=1e-5)
    assert squared_distances(x, y).dtype == torch.float32
