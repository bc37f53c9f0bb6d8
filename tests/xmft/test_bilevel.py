from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from xmft.alignment.bilevel import Bilevel, Parameters, after_step, first_order, inner_gradient

RATE, WEIGHT = 0.3, 0.7


class Tiny:
    """A bilinear inner loss with a bend, and an outer one, of theta and of what is learned."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.theta = {
            "a": torch.randn(4, 3, generator=rng, dtype=torch.float64),
            "b": torch.randn(4, generator=rng, dtype=torch.float64),
        }
        self.learned = torch.randn(6, 3, generator=rng, dtype=torch.float64).requires_grad_()
        self.y = torch.randn(6, 4, generator=rng, dtype=torch.float64)
        self.source = torch.randn(5, 3, generator=rng, dtype=torch.float64)

    def encode(self, theta: Parameters, x: Tensor) -> Tensor:
        return torch.tanh(x @ theta["a"].T + theta["b"])

    def inner(self, theta: Parameters) -> Tensor:
        return (self.encode(theta, self.learned) - self.y).square().mean(dim=1)

    def outer(self, theta: Parameters) -> Tensor:
        return self.encode(theta, self.source).prod(dim=1).sum() + theta["b"].square().sum()

    def exact(self, rate: float = RATE, weight: float = WEIGHT) -> Bilevel:
        losses, total = inner_gradient(self.inner, self.theta)
        return after_step(
            losses,
            total,
            self.outer,
            self.theta,
            rate=rate,
            weight=weight,
            gather=lambda x: x,
        )

    def first(self, rate: float = RATE, weight: float = WEIGHT) -> Bilevel:
        return first_order(self.inner, self.outer, self.theta, rate=rate, weight=weight)

    def gradient(self, loss: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(loss.mean(), self.learned)
        return found


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


def by_hand(tiny: Tiny) -> float:
    """Take the inner step with numbers alone: gradients by central differences."""
    step = {}
    with torch.no_grad():
        for name, value in tiny.theta.items():
            slope = torch.zeros_like(value)
            for i in range(value.numel()):
                ends = []
                for sign in (1, -1):
                    moved = value.clone()
                    moved.view(-1)[i] += sign * 1e-5
                    ends.append(tiny.inner({**tiny.theta, name: moved}).mean())
                slope.view(-1)[i] = (ends[0] - ends[1]) / 2e-5
            step[name] = value - RATE * slope
        return float(tiny.inner(tiny.theta).mean() + WEIGHT * tiny.outer(step))


def test_exact_is_the_outer_loss_after_one_step(tiny: Tiny) -> None:
    found = tiny.exact()
    assert found.loss.item() == pytest.approx(by_hand(tiny), rel=1e-8)
    assert found.inner.item() == pytest.approx(tiny.inner(tiny.theta).mean().item())
    assert found.loss.item() == pytest.approx((found.inner + WEIGHT * found.outer).item())


def test_the_exact_gradient_is_that_of_the_whole_objective(tiny: Tiny) -> None:
    gradient = tiny.gradient(tiny.exact().loss)
    with torch.no_grad():
        for place in [(0, 0), (2, 1), (5, 2)]:
            ends = []
            for move in (1e-5, -2e-5):
                tiny.learned[place] += move
                ends.append(by_hand(tiny))
            tiny.learned[place] += 1e-5
            slope = (ends[0] - ends[1]) / 2e-5
            assert gradient[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_first_order_is_the_product_of_both_gradients(tiny: Tiny) -> None:
    theta = {name: value.clone().requires_grad_() for name, value in tiny.theta.items()}
    direction = torch.autograd.grad(tiny.outer(theta), list(theta.values()))
    for sample in range(len(tiny.y)):
        loss, found = tiny.inner(theta)[sample], tiny.first().loss[sample]
        parts = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        product = torch.stack([(v * g).sum() for v, g in zip(direction, parts, strict=True)]).sum()
        expected = loss - WEIGHT * RATE * product
        assert found.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
        torch.testing.assert_close(
            tiny.gradient(found), tiny.gradient(expected), rtol=1e-4, atol=1e-6
        )


def test_small_steps_make_the_first_order_exact(tiny: Tiny) -> None:
    """The step adds to the gradient in the order of the rate, the rest in that of its square."""
    plain = tiny.gradient(tiny.inner(tiny.theta))
    ratios = []
    for rate in (1e-1, 1e-2, 1e-3):
        whole = tiny.gradient(tiny.exact(rate=rate).loss) - plain
        short = tiny.gradient(tiny.first(rate=rate).loss) - plain
        ratios.append(((whole - short).norm() / whole.norm()).item())
    assert ratios[0] < 0.5 and ratios[2] < 1e-3
    assert ratios[1] / ratios[0] == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("form", [Tiny.exact, Tiny.first])
def test_without_weight_it_is_the_inner_loss(form: Callable[..., Bilevel], tiny: Tiny) -> None:
    found = form(tiny, weight=0.0)
    plain = tiny.inner(tiny.theta)
    torch.testing.assert_close(found.loss.mean(), plain.mean())
    torch.testing.assert_close(tiny.gradient(found.loss), tiny.gradient(plain))


@pytest.mark.parametrize("form", [Tiny.exact, Tiny.first])
def test_the_parameters_stay_and_get_no_gradient(form: Callable[..., Bilevel], tiny: Tiny) -> None:
    before = {name: value.clone() for name, value in tiny.theta.items()}
    tiny.theta = {name: nn.Parameter(value) for name, value in tiny.theta.items()}
    form(tiny).loss.sum().backward()
    for name, value in tiny.theta.items():
        assert value.grad is None and torch.equal(value, before[name])
    assert tiny.learned.grad is not None and tiny.learned.grad.any()


def test_a_flat_outer_loss_changes_nothing(tiny: Tiny) -> None:
    found = first_order(
        tiny.inner,
        lambda theta: 0 * theta["a"].sum() + 0 * theta["b"].sum(),
        tiny.theta,
        rate=RATE,
        weight=WEIGHT,
    )
    assert torch.equal(found.loss, tiny.inner(tiny.theta))


def test_the_first_order_keeps_its_digits_under_autocast() -> None:
    tiny = Tiny()
    for name in ("learned", "y", "source"):
        setattr(tiny, name, getattr(tiny, name).detach().float().requires_grad_(name == "learned"))
    tiny.theta = {name: value.float() for name, value in tiny.theta.items()}
    plain = tiny.first().loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(tiny.first().loss, plain)
