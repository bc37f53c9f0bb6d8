"""Which stages clip gradients, and what that does to a step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xmft.fit import fit
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, TaskData

Build = Callable[..., tuple[Any, list[Stage]]]


@pytest.mark.parametrize(
    ("method", "clipped"),
    [
        ("orca", {"alignment", "fitting"}),
        ("orca:released", {"fitting"}),
        ("recraft", {"alignment", "fitting"}),
        ("recraft:paper", {"alignment", "fitting"}),
        ("recraft:released", {"fitting"}),
        ("mona", {"alignment", "fitting"}),
        ("pare:released", {"fitting"}),
    ],
)
def test_public_code_clips_in_fitting_alone(
    method: str, clipped: set[str], class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    _, stages = build(method, class_data, recipe)
    assert {stage.name for stage in stages if stage.clip} == clipped


@pytest.mark.parametrize("clip", [True, False])
def test_one_step_of_plain_descent_is_as_long_as_the_norm_allows(
    clip: bool, class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    limit, rate = 1e-3, 1e-2
    plain = recipe.model_copy(
        update={"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip_grad_norm": limit}
    )
    model, (alignment, _) = build(
        "orca", class_data, plain, alignment_steps=1, alignment_rate=rate, alignment_clip=clip
    )
    before = vector(model.embedder)
    fit(model, [replace(alignment, schedule=None)], class_data, plain, Session(), seed=0)
    gradient = torch.cat(
        [p.grad.flatten() for p in model.embedder.parameters() if p.grad is not None]
    )
    moved = (vector(model.embedder) - before).norm()
    if clip:
        assert moved.item() == pytest.approx(rate * limit, rel=1e-2)
    else:
        assert gradient.norm() > 10 * limit
        assert moved.item() == pytest.approx(rate * gradient.norm().item(), rel=1e-3)


def vector(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])
