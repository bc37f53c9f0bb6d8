from typing import Any

import numpy as np
import ot
import pytest
import scipy.linalg
import scipy.optimize
import torch

from xmft.alignment.label_distances import gaussian_distances
from xmft.alignment.otdd import EntropicClasses, entropic_otdd, otdd
from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.source_classes import SourceClasses
from xmft.alignment.wasserstein import Points, wasserstein


def sample(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def bures(
    mean1: torch.Tensor, cov1: torch.Tensor, mean2: torch.Tensor, cov2: torch.Tensor
) -> torch.Tensor:
    """|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2)."""
    # The eigenvalues of C1 C2 are those of C1^(1/2) C2 C1^(1/2); `sqrtm` refuses singular matrices.
    overlap = torch.linalg.eigvals(cov1 @ cov2).real.clamp_min(0).sqrt().sum()
    return (mean1 - mean2).square().sum() + (cov1 + cov2).trace() - 2 * overlap


def covariance(source: SourceClasses, index: int) -> torch.Tensor:
    factor = source.deviations.split(source.counts)[index]
    return factor.T @ factor + source.ridge[index] * torch.eye(factor.shape[1]).to(factor)


def by_hand(
    source: SourceClasses, features: torch.Tensor, labels: torch.Tensor, weights: np.ndarray
) -> float:
    """The definition: one explicit cost matrix and one linear programme per target class."""
    total, present = 0.0, np.unique(labels)
    x, y = source.features.numpy(), (features - source.center).numpy()
    for k in present:
        group = y[labels.numpy() == k]
        cov = np.cov(group.T) if len(group) > 1 else np.zeros((y.shape[1],) * 2)
        target = torch.from_numpy(group.mean(0)), torch.from_numpy(cov)
        label_cost = np.array(
            [
                bures(source.means[c], covariance(source, c), *target)
                for c in range(len(source.counts))
            ]
        )
        cost = ((x[:, None] - group[None]) ** 2).sum(-1)
        cost += label_cost[source.labels.numpy()][:, None]
        total += weights[k] / weights[present].sum() * ot.emd2([], [], cost)
    return total


@pytest.fixture
def source() -> SourceClasses:
    labels = torch.tensor([7] * 20 + [3] * 12 + [5] * 8)
    return SourceClasses(sample(40, 4, 1) + labels[:, None] * 0.3, labels)


def test_gaussian_distances_match_the_matrix_root(source: SourceClasses) -> None:
    """The closed form of Dowson and Landau (1982), root by root."""
    groups = [sample(9, 4, 2), sample(6, 4, 3, shift=1.0)]
    found = gaussian_distances(source, groups)
    for k, group in enumerate(groups):
        second = np.cov(group.T)
        for c in range(len(source.counts)):
            first = covariance(source, c).numpy()
            root = scipy.linalg.sqrtm(first)
            overlap = np.trace(scipy.linalg.sqrtm(root @ second @ root).real)
            gap = (source.means[c] - group.mean(0)).square().sum().item()
            truth = gap + np.trace(first) + np.trace(second) - 2 * overlap
            assert found[k, c].item() == pytest.approx(truth, rel=1e-6)


def test_gaussian_distances_of_one_channel_are_those_of_means_and_deviations() -> None:
    x, labels = sample(30, 1, 1), torch.arange(30) % 2
    source = SourceClasses(x, labels)
    group = 2 * x[labels == 1] + 3
    found = gaussian_distances(source, [source.moved(group), source.moved(x[labels == 1])])
    gaps = [(group.mean() - x[labels == c].mean()) ** 2 for c in (0, 1)]
    spreads = [(group.std() - x[labels == c].std()) ** 2 for c in (0, 1)]
    expected = torch.stack(gaps) + torch.stack(spreads)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=0)
    assert found[1, 1].item() == pytest.approx(0, abs=1e-6)


def test_shrunk_covariances_match_scikit_learn(source: SourceClasses) -> None:
    from sklearn.covariance import ledoit_wolf

    for index, count in enumerate(source.counts):
        group = source.features[source.labels == index].numpy()
        truth = ledoit_wolf(group)[0] * count / (count - 1)
        np.testing.assert_allclose(covariance(source, index), truth, rtol=1e-10)
        assert source.traces[index].item() == pytest.approx(np.trace(truth))


@pytest.mark.parametrize("given", [False, True])
def test_matches_linear_programmes_over_the_explicit_cost(
    source: SourceClasses, given: bool
) -> None:
    labels = torch.tensor([0, 2, 0, 4, 2, 0, 2, 0, 4, 2, 2, 2, 2, 1])  # 3 is absent, 1 is alone
    features = sample(14, 4, 2, shift=0.5)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.3, 0.1]) if given else None
    truth = by_hand(
        source,
        features,
        labels,
        np.bincount(labels, minlength=5) if weights is None else weights.numpy(),
    )
    value = otdd(source, features, labels, class_weights=weights)
    assert value.item() == pytest.approx(truth, rel=1e-5)


def test_low_rank_classes_match_the_full_covariance() -> None:
    source = SourceClasses(sample(60, 20, 1), torch.arange(60) % 2)
    features, labels = sample(6, 20, 2, shift=1.0), torch.zeros(6, dtype=torch.int64)
    truth = by_hand(source, features, labels, np.ones(1))
    assert otdd(source, features, labels).item() == pytest.approx(truth, rel=1e-6)


def test_gradient_matches_finite_differences(source: SourceClasses) -> None:
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 2])
    features = sample(8, 4, 3, shift=0.5).requires_grad_()
    # Wide steps: a class of more samples than channels has eigenvalues 0, whose rounding errors
    # a step of 1e-6 would blow up.
    assert torch.autograd.gradcheck(
        lambda f: otdd(source, f, labels), (features,), eps=1e-4, atol=1e-5
    )


def test_gradient_is_finite_when_samples_of_a_class_coincide(source: SourceClasses) -> None:
    features = sample(1, 4, 4).expand(6, 4).clone().requires_grad_()
    otdd(source, features, torch.tensor([0, 0, 0, 1, 1, 2])).backward()
    assert torch.isfinite(features.grad).all()


def test_one_class_is_squared_wasserstein_plus_the_label_distance() -> None:
    x, y = sample(30, 3, 5), sample(9, 3, 6, shift=1.0).requires_grad_()
    source = SourceClasses(x, torch.zeros(30, dtype=torch.int64))
    plain = wasserstein(x, y).square()
    centred = y - source.center
    label_term = bures(source.means[0], covariance(source, 0), centred.mean(0), centred.T.cov())
    value = otdd(source, y, torch.zeros(9, dtype=torch.int64))
    torch.testing.assert_close(value, plain + label_term)
    (gradient,) = torch.autograd.grad(value, y)
    (expected,) = torch.autograd.grad(plain + label_term, y)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)


def test_a_constant_label_term_leaves_the_squared_wasserstein_distance() -> None:
    x = sample(30, 3, 5)
    source = SourceClasses(x, torch.zeros(30, dtype=torch.int64))
    # One sample per class and a class of its own: the label term is |mean - y|^2 + tr C.
    y = sample(1, 3, 6)
    label_term = (x.mean(0) - y).square().sum() + source.traces[0]
    value = otdd(source, y, torch.zeros(1, dtype=torch.int64)) - label_term
    torch.testing.assert_close(value, wasserstein(x, y).square())


def test_source_labels_and_order_do_not_matter(source: SourceClasses) -> None:
    features, labels = sample(10, 4, 2), torch.arange(10) % 3
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    other = SourceClasses(
        (source.features + source.center)[shuffled], -source.labels[shuffled] * 10
    )
    torch.testing.assert_close(otdd(source, features, labels), otdd(other, features, labels))


def test_source_classes_with_one_sample_have_no_covariance() -> None:
    source = SourceClasses(sample(5, 3), torch.tensor([0, 0, 0, 0, 1]))
    assert torch.equal(covariance(source, 1), torch.zeros(3, 3, dtype=torch.float64))
    features = sample(4, 3, 1).requires_grad_()
    otdd(source, features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_float32_agrees_with_float64() -> None:
    x, y = sample(300, 32, 1, shift=5.0), sample(40, 32, 2, shift=5.5)
    classes, labels = torch.arange(300) % 4, torch.arange(40) % 3
    results = []
    for dtype in (torch.float32, torch.float64):
        features = y.to(dtype).requires_grad_()
        value = otdd(SourceClasses(x.to(dtype), classes), features, labels)
        value.backward()
        results.append((value.double(), features.grad.double()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-3, atol=1e-5)


def test_autocast_costs_no_digits() -> None:
    x, y = sample(50, 8, 1).float(), sample(20, 8, 2).float()
    source, labels = SourceClasses(x, torch.arange(50) % 3), torch.arange(20) % 2
    expected = otdd(source, y, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(otdd(source, y, labels), expected)


def grouped(source: SourceClasses) -> list[torch.Tensor]:
    return [source.features[source.labels == c] + source.center for c in range(len(source.counts))]


def test_exact_label_distances_match_assignment_problems(source: SourceClasses) -> None:
    features, labels = sample(14, 4, 2, shift=0.5), torch.tensor([0] * 8 + [1] * 5 + [2])
    weights = torch.tensor([0.5, 0.3, 0.2])
    total = 0.0
    for k in range(3):
        group = features[labels == k]
        term = wasserstein(source.features + source.center, group).square()
        for part in grouped(source):
            # As many copies of each side as make the sets equally large.
            n, m = len(part), len(group)
            size = np.lcm(n, m)
            cost = torch.cdist(part.repeat(size // n, 1), group.repeat(size // m, 1)).square()
            rows, columns = scipy.optimize.linear_sum_assignment(cost.numpy())
            term += cost[rows, columns].mean() * n / 40
        total += weights[k] * term
    value = otdd(source, features, labels, class_weights=weights, inner="exact")
    torch.testing.assert_close(value, total, rtol=1e-6, atol=0)


def test_gradient_through_exact_label_distances_matches_finite_differences(
    source: SourceClasses,
) -> None:
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 2])
    features = sample(8, 4, 3, shift=0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: otdd(source, f, labels, inner="exact"), (features,))


@pytest.mark.parametrize("inner", ["gaussian", "exact"])
def test_the_order_of_samples_and_the_names_of_classes_do_not_matter(
    source: SourceClasses, inner: Any
) -> None:
    features, labels = sample(10, 4, 2), torch.arange(10) % 3
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    first = otdd(source, features, labels, inner=inner)
    again = otdd(source, features[order], (5 - labels)[order], inner=inner)
    torch.testing.assert_close(first, again)


def test_one_class_against_itself_costs_nothing_under_exact_labels() -> None:
    x = sample(9, 3)
    source = SourceClasses(x, torch.zeros(9, dtype=torch.int64))
    value = otdd(source, x.flip(0), torch.zeros(9, dtype=torch.int64), inner="exact")
    assert value.item() == pytest.approx(0, abs=1e-12)


def test_the_entropic_distance_of_one_class_is_two_divergences_of_which_one_has_a_gradient() -> (
    None
):
    x, y = sample(12, 3, 1) / 3, (sample(7, 3, 2, shift=0.5) / 3).requires_grad_()
    ones = torch.zeros(12, dtype=torch.int64)
    value = entropic_otdd(EntropicClasses(x, ones), y, ones[:7])
    transport = sinkhorn_divergence(Blurred(Points(x), epsilon=0.1), y)
    label_term = sinkhorn_divergence(Blurred(Points(x), epsilon=0.1, scale=1.0), y)
    torch.testing.assert_close(value, transport + label_term / 2)
    (gradient,) = torch.autograd.grad(value, y)
    (expected,) = torch.autograd.grad(transport, y)
    torch.testing.assert_close(gradient, expected)


def test_without_blur_the_entropic_distance_is_half_of_the_exact_one(
    source: SourceClasses,
) -> None:
    x = source.features + source.center
    labels, features = torch.tensor([0] * 6 + [1] * 4 + [2]), sample(11, 4, 3, shift=0.5)
    weights = torch.tensor([0.2, 0.5, 0.3])
    exact = otdd(source, features, labels, class_weights=weights, inner="exact")
    blurred = EntropicClasses(x, source.labels)
    almost = {"epsilon": 5e-3, "rounds": 1000}
    blurred.whole = Blurred(Points(x), **almost)
    blurred.classes = [Blurred(Points(group), scale=1.0, **almost) for group in grouped(source)]
    value = entropic_otdd(blurred, features, labels, class_weights=weights)
    assert value.item() == pytest.approx(exact.item() / 2, rel=1e-2)


def test_wrong_arguments_are_refused(source: SourceClasses) -> None:
    labels = torch.tensor([0, 1, 5])
    with pytest.raises(ValueError, match="class weights"):
        otdd(source, sample(3, 4), labels, class_weights=torch.ones(5))
    with pytest.raises(ValueError, match="Expected"):
        otdd(source, sample(4, 4), labels)
    with pytest.raises(ValueError, match="Expected"):
        SourceClasses(sample(0, 4), torch.zeros(0, dtype=torch.int64))
