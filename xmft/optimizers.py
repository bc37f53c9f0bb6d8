"""What a stage does to parameters: which of them learn, by which optimizer, at what rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xmft.adapters import Adapter
from xmft.errors import RequestError
from xmft.parameter_groups import Group
from xmft.recipe import Recipe, Schedule
from xmft.stages import Stage

# One kernel for all parameters instead of several each.
_FUSED = frozenset({"cuda", "cpu"})
# Behind the colon of a part's name: which of its modules learn alone.
_ALONE: Mapping[str, type[nn.Module]] = {"norms": nn.LayerNorm, "adapters": Adapter}


def make_optimizer(
    parameters: Sequence[nn.Parameter] | Sequence[Group], recipe: Recipe, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the recipe's optimizer for `parameters`.

    `adamw` decays weights apart from the gradient (Loshchilov and Hutter, 2019); `adam` and `sgd`
    add `weight_decay` times the weight to the gradient, as the published settings with these
    optimizers do. `sgd` is heavy-ball: momentum is neither damped nor looked ahead.

    Args:
        parameters: What learns, on one device; or groups of it, which have rates and weight decay
            of their own.
        recipe: Optimizer, decay rates and weight decay.
        learning_rate: Peak rate.
    """
    given: list[Any] = list(parameters)
    flat = [p for each in given for p in (each["params"] if isinstance(each, dict) else [each])]
    # The fused kernels know no complex numbers, which are weights of the FNO.
    fused = all(p.device.type in _FUSED and p.is_floating_point() for p in flat)
    if recipe.optimizer == "sgd":
        # Nor does that of SGD know parameters that are divided among workers.
        fused = fused and all(type(p) is nn.Parameter for p in flat)
        return torch.optim.SGD(
            given,
            lr=learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=fused,
        )
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        given,
        lr=learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=fused,
    )


def freeze_all_but(model: nn.Module, trains: Sequence[str]) -> list[nn.Parameter]:
    """Let the named parts of a model learn and freeze the rest.

    Args:
        model: Its direct children are the parts.
        trains: Names of parts; of `name:norms` the LayerNorms alone learn, of `name:adapters` the
            low-rank adapters.

    Returns:
        The parameters that learn, in the order of the model.

    Raises:
        RequestError: a part has nothing of what is to learn of it alone.
        ValueError: the model has no part of that name, or a name has another suffix.
    """
    parts = dict(model.named_children())
    wanted = [_split(name) for name in trains]
    if unknown := [name for name, _ in wanted if name not in parts]:
        raise ValueError(f"The model has the parts {', '.join(parts)}, not {', '.join(unknown)}.")
    model.requires_grad_(False)
    for name, only in wanted:
        learning = list(_learning(parts[name], only))
        if not learning:
            raise RequestError(
                f"Of the part '{name}' the {only} alone are to learn, and it has none that are "
                "known. Choose another `encoder` in the recipe, or another method."
            )
        for module in learning:
            module.requires_grad_(True)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def check_stages(model: nn.Module, stages: Sequence[Stage], recipe: Recipe) -> None:
    """Make sure that something learns in every stage, before the first one is trained.

    Raises:
        RequestError: nothing does in one.
    """
    learning = [parameter.requires_grad for parameter in model.parameters()]
    for stage in stages:
        if not freeze_all_but(model, stage.trains):
            raise RequestError(
                f"Nothing learns in stage '{stage.name}': with encoder={recipe.encoder} and "
                f"dense_head={recipe.dense_head} there are no parameters in what it trains, "
                f"{', '.join(stage.trains)}. Choose another of them, or another method."
            )
    for parameter, before in zip(model.parameters(), learning, strict=True):
        parameter.requires_grad_(before)


def set_modes(model: nn.Module, trains: Sequence[str]) -> None:
    """Put the parts that learn into training mode and the others into evaluation mode.

    Random depth or dropout of a frozen part would be noise.
    """
    model.train()
    learning = {_split(name)[0] for name in trains}
    for name, part in model.named_children():
        part.train(name in learning)


def _split(name: str) -> tuple[str, str]:
    part, _, only = name.partition(":")
    if only and only not in _ALONE:
        ways = " or ".join(f"`part:{alone}`" for alone in _ALONE)
        raise ValueError(f"A stage trains a part, {ways}, found '{name}'.")
    return part, only


def _learning(part: nn.Module, only: str) -> Iterator[nn.Module]:
    if not only:
        yield part
    else:
        yield from (module for module in part.modules() if isinstance(module, _ALONE[only]))


def warmup_then_linear(warmup: float, steps: int) -> Callable[[int], float]:
    """Linear warm-up to the peak (the first step is not wasted on rate 0), then linear decay to 0.

    Args:
        warmup: Share of the steps that rise.
        steps: All steps.
    """
    return _after_warmup(warmup, steps, lambda left: left)


def warmup_then_cosine(warmup: float, steps: int) -> Callable[[int], float]:
    """The warm-up of `warmup_then_linear`, then half a cosine from the peak down to 0.

    Loshchilov and Hutter, 2017, without restarts.

    Args:
        warmup: Share of the steps that rise.
        steps: All steps.
    """
    return _after_warmup(warmup, steps, lambda left: _half_cosine(1.0, 0.0, 1 - left))


def _after_warmup(
    warmup: float, steps: int, fall: Callable[[float], float]
) -> Callable[[int], float]:
    """Return a linear rise to the peak, then `fall` of the share of the falling steps to come."""
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return fall(max(0.0, (steps - step) / max(1, steps - rising)))

    return factor


def one_cycle(warmup: float, steps: int) -> Callable[[int], float]:
    """Half a cosine from 1/25 of the peak up to it, and another one down to 1/250,000 of it.

    Smith and Topin, 2018, with the numbers of `torch.optim.lr_scheduler.OneCycleLR`, which most
    neural operators are trained with; the momentum stays as it is.

    Args:
        warmup: Share of the steps that rise (`pct_start`; the scheduler of torch rises in 0.3).
        steps: All steps.
    """
    # Without a step to rise in it starts at the peak; torch starts below, or divides by zero.
    top, end = max(warmup * steps - 1, 0.0), steps - 1
    low, lowest = 1 / 25, 1 / 25 / 1e4

    def factor(step: int) -> float:
        if step < top:
            return _half_cosine(low, 1.0, step / top)
        return _half_cosine(1.0, lowest, (step - top) / (end - top) if end > top else 0.0)

    return factor


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))


SCHEDULES: Mapping[Schedule, Callable[[float, int], Callable[[int], float]]] = {
    "linear": warmup_then_linear,
    "cosine": warmup_then_cosine,
    "onecycle": one_cycle,
}
"""Of the rate of target fitting: from the share of the warm-up and all steps to the factor."""


def in_three_parts(steps: int) -> Callable[[int], float]:
    """The peak for a third of the steps, then 1/5 and 1/25 of it, as in the published alignment.

    Args:
        steps: All steps.
    """

    def factor(step: int) -> float:
        return 0.2 ** min(3 * step // steps, 2)

    return factor


def constant(steps: int) -> Callable[[int], float]:
    """The peak at each of the steps."""

    def factor(step: int) -> float:
        return 1.0

    return factor
