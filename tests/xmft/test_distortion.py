import math

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from xmft.alignment.distortion import feature_label_distortion


def conditional_entropy(joint: np.ndarray) -> float:
    """H(Z'|Z) of a table P(z', z), term by term."""
    total = 0.0
    for z in range(joint.shape[1]):
        for k in range(joint.shape[0]):
            if joint[k, z] > 0:
                total -= joint[k, z] * math.log(joint[k, z] / joint[:, z].sum())
    return total


def test_a_bijection_leaves_nothing_unknown() -> None:
    labels = torch.arange(12) % 4
    probabilities = one_hot((labels + 1) % 4, 4).double()
    result = feature_label_distortion(probabilities, labels, torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert result.conditional.item() == pytest.approx(0, abs=1e-6)
    assert result.source_given_target.item() == 0


@pytest.mark.parametrize("sharp", [True, False])
def test_a_constant_prediction_leaves_everything_unknown(sharp: bool) -> None:
    labels = torch.arange(12) % 3
    row = torch.tensor([1.0, 0, 0, 0]) if sharp else torch.tensor([0.1, 0.2, 0.3, 0.4])
    weights = torch.tensor([0.5, 0.25, 0.25])
    result = feature_label_distortion(row.expand(12, 4), labels, weights)
    assert result.target.item() == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert result.conditional.item() == pytest.approx(result.target.item(), rel=1e-6)
    # What the public code lowers takes the sharp constant for a bijection.
    assert (result.source_given_target.item() == 0) == sharp


def test_matches_the_joint_table() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(5), 30), rng.integers(0, 4, 30)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    joint = np.stack([weights[k] * probabilities[labels == k].mean(0) for k in range(4)])
    result = feature_label_distortion(
        torch.from_numpy(probabilities), torch.from_numpy(labels), torch.from_numpy(weights)
    )
    assert result.conditional.item() == pytest.approx(conditional_entropy(joint), rel=1e-9)
    parts = result.source_given_target - result.marginal + result.target
    torch.testing.assert_close(result.conditional, parts)


def test_weights_are_rescaled_over_the_classes_present() -> None:
    rng = np.random.default_rng(1)
    probabilities = torch.from_numpy(rng.dirichlet(np.ones(3), 10))
    labels = torch.tensor([0, 2] * 5)
    full = feature_label_distortion(probabilities, labels, torch.tensor([0.2, 0.5, 0.3]))
    dense = feature_label_distortion(probabilities, labels // 2, torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(full.conditional, dense.conditional, rtol=1e-6, atol=0)


def test_is_never_negative_and_never_above_the_target_entropy() -> None:
    rng = np.random.default_rng(2)
    for alpha in (0.01, 0.1, 1.0):
        probabilities = torch.from_numpy(rng.dirichlet(np.full(6, alpha), 40)).float()
        labels = torch.from_numpy(rng.integers(0, 5, 40))
        result = feature_label_distortion(probabilities, labels, torch.ones(5))
        assert -1e-6 < result.conditional.item() < result.target.item() + 1e-6


def test_gradient_matches_finite_differences_and_is_finite_at_zero() -> None:
    labels, weights = torch.arange(8) % 3, torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return feature_label_distortion(x.softmax(1), labels, weights).conditional

    assert torch.autograd.gradcheck(loss, (logits,))
    extreme = (1000 * one_hot(labels, 4)).double().requires_grad_()
    loss(extreme).backward()
    assert torch.isfinite(extreme.grad).all()


def test_half_precision_is_raised() -> None:
    probabilities = torch.full((4, 3), 1 / 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = feature_label_distortion(probabilities, torch.arange(4) % 2, torch.ones(2))
    assert result.conditional.dtype == torch.float32
    assert result.conditional.item() == pytest.approx(math.log(2), rel=1e-2)
    assert result.marginal.dtype == torch.float32


def test_wrong_arguments_are_refused() -> None:
    probabilities = torch.full((4, 2), 0.5)
    with pytest.raises(ValueError, match="class weights"):
        feature_label_distortion(probabilities, torch.tensor([0, 1, 2, 3]), torch.ones(3))
    with pytest.raises(ValueError, match="Expected"):
        feature_label_distortion(probabilities, torch.tensor([0, 1]), torch.ones(3))
