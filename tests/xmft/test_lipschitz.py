import pytest
import torch
from torch import Tensor, nn

from xmft.alignment.lipschitz import gradient_norms, lipschitz_penalty, violation_share


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Predictor(nn.Module):
    """One encoder layer, mean pooling and a linear head, as the source predictor has them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=torch.float64)
        self.head = nn.Linear(8, 3, dtype=torch.float64)
        self.eval()

    def losses(self, u: Tensor, labels: Tensor) -> Tensor:
        logits = self.head(self.layer(u).mean(1))
        return nn.functional.cross_entropy(logits, labels, reduction="none")


def test_linear_losses_have_the_norm_of_their_weights() -> None:
    u, weights = sample(5, 4, 3), sample(5, 4, 3, seed=1)
    norms = gradient_norms(lambda v: (v * weights).sum((1, 2)), u)
    torch.testing.assert_close(norms, weights.flatten(1).norm(dim=1))


def test_linear_softmax_matches_the_closed_form() -> None:
    u, weight, labels = sample(6, 4, 3), sample(3, 5, seed=1), torch.arange(6) % 5

    def losses(v: Tensor) -> Tensor:
        logits = v.mean(1) @ weight
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    error = (u.mean(1) @ weight).softmax(1) - nn.functional.one_hot(labels, 5)
    # Mean pooling spreads the gradient over 4 tokens, 1/4 each: the norm over them is halved.
    expected = (error @ weight.T).norm(dim=1) / 2
    torch.testing.assert_close(gradient_norms(losses, u), expected)


def test_norms_do_not_depend_on_the_batch() -> None:
    model, u, labels = Predictor(), sample(6, 4, 8), torch.arange(6) % 3
    together = gradient_norms(lambda v: model.losses(v, labels), u)
    alone = [
        gradient_norms(lambda v, i=i: model.losses(v, labels[i : i + 1]), u[i : i + 1])
        for i in range(6)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_penalty_reaches_the_parameters_of_a_transformer() -> None:
    model, u, labels = Predictor(), sample(6, 4, 8), torch.arange(6) % 3
    weight = model.head.weight

    def penalty() -> Tensor:
        norms = gradient_norms(lambda v: model.losses(v, labels), u, create_graph=True)
        return lipschitz_penalty(norms, 0.01)

    (gradient,) = torch.autograd.grad(penalty(), weight)
    direction, step = sample(*weight.shape, seed=2), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
        values.append(penalty().item())
        with torch.no_grad():
            weight -= sign * step * direction
    slope = (values[0] - values[1]) / (2 * step)
    assert slope == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


def test_features_on_a_graph_stay_on_it() -> None:
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    u = sample(3, 2, 2) * scale
    norms = gradient_norms(lambda v: v.pow(2).sum((1, 2)) / 2, u, create_graph=True)
    (gradient,) = torch.autograd.grad(norms.sum(), scale)
    torch.testing.assert_close(gradient, sample(3, 2, 2).flatten(1).norm(dim=1).sum())


def test_works_without_gradient_mode_and_at_a_flat_loss() -> None:
    u = sample(3, 2, 2)
    with torch.no_grad():
        norms = gradient_norms(lambda v: v.pow(2).sum((1, 2)), u)
    torch.testing.assert_close(norms, 2 * u.flatten(1).norm(dim=1))
    assert not u.requires_grad and not norms.requires_grad
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    flat = gradient_norms(lambda v: (scale * v).sum((1, 2)), u, create_graph=True)
    (gradient,) = torch.autograd.grad(lipschitz_penalty(flat, 0.4), scale)
    assert gradient.item() == 0


def test_penalty_and_violations_by_hand() -> None:
    norms = torch.tensor([0.1, 0.4, 1.4, 2.4])
    assert lipschitz_penalty(norms, 0.4).item() == pytest.approx((1 + 4) / 4)
    assert violation_share(norms, 0.4) == 0.5


def test_a_loss_per_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="one number per sample"):
        gradient_norms(lambda v: v.mean(), sample(3, 2, 2))
