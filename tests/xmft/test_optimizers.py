"""Updates against the equations written out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xmft.optimizers import make_optimizer
from xmft.task import Recipe

DECAY, RATE = 0.1, 0.05
Update = Callable[[Tensor, list[Tensor]], Tensor]


def adamw(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    return _adam(weight, gradients, decoupled=True)


def adam(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    return _adam(weight, gradients, decoupled=False)


def _adam(weight: Tensor, gradients: list[Tensor], *, decoupled: bool) -> Tensor:
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        if decoupled:
            weight = weight - RATE * DECAY * weight
        else:
            gradient = gradient + DECAY * weight
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        weight = weight - RATE * (mean / (1 - 0.8**step)) / (
            (square / (1 - 0.95**step)).sqrt() + 1e-8
        )
    return weight


def sgd(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    speed = torch.zeros_like(weight)
    for gradient in gradients:
        speed = 0.7 * speed + gradient + DECAY * weight
        weight = weight - RATE * speed
    return weight


@pytest.mark.parametrize(
    ("update", "dtype"),
    [
        (adamw, torch.float64),
        (adam, torch.float64),
        (sgd, torch.float64),
        (sgd, torch.complex128),  # Adam takes a complex weight for two real ones
    ],
)
def test_steps_are_those_of_the_equations(update: Update, dtype: torch.dtype) -> None:
    recipe = Recipe(optimizer=update.__name__, betas=(0.8, 0.95), momentum=0.7, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 5, dtype=dtype, generator=generator)
    gradients = [torch.randn(3, 5, dtype=dtype, generator=generator) for _ in range(4)]
    parameter = nn.Parameter(weight.clone())
    optimizer = make_optimizer([parameter], recipe, RATE)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), update(weight, gradients))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_clipping_and_the_state_do_not_mind_one_kernel(name: Any) -> None:
    # The clipped gradients are scaled in place, and the state goes through a checkpoint.
    recipe = Recipe(optimizer=name, momentum=0.9)

    def trained(*, restart: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(7, 33), nn.Tanh(), nn.Linear(33, 1))
        optimizer = make_optimizer(list(model.parameters()), recipe, RATE)
        for step in range(6):
            if restart and step == 3:
                state = optimizer.state_dict()
                optimizer = make_optimizer(list(model.parameters()), recipe, RATE)
                optimizer.load_state_dict(state)
            optimizer.zero_grad(set_to_none=True)
            (model(torch.ones(2, 7) * step).square().sum() * 100).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        return [p.detach() for p in model.parameters()]

    for one, other in zip(trained(restart=False), trained(restart=True), strict=True):
        assert torch.equal(one, other)
