"""A bilevel objective: what one step on an inner loss does to an outer one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Parameters = Mapping[str, Tensor]
Gather = Callable[[Tensor], Tensor]

# Length of the move along the direction, over all parameters together. Encoders have a length of
# around 100: much less drowns in the rounding of float32, much more meets the curvature.
_MOVE = 0.01


@dataclass(frozen=True, kw_only=True)
class Bilevel:
    """A bilevel objective and its two levels; what is minimised is `loss`.

    Attributes:
        loss: Per sample `[n]` of the first order, a scalar of the exact one.
        inner: Inner loss before the step, of the shape of `loss`.
        outer: Outer loss, a scalar.
    """

    loss: Tensor
    inner: Tensor
    outer: Float[Tensor, ""]


def inner_gradient(
    inner: Callable[[Parameters], Float[Tensor, " n"]], parameters: Parameters
) -> tuple[Float[Tensor, " n"], Float[Tensor, "1 p"]]:
    """Return L_inner of each sample, and the sum of its gradients, flat.

    Both are in a graph of what is to be learned, unless gradients are switched off; second
    derivatives of `inner` must exist. Attention runs on its plain implementation here; the fused
    ones have none. Parts of a batch have sums that add up to that of the batch.

    Args:
        inner: Parameters to one loss per sample, in a graph of what is to be learned.
        parameters: theta, by name; stays where it is, and gets no gradient.
    """
    graph = torch.is_grad_enabled()
    theta = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        losses = inner(theta)
        gradients = torch.autograd.grad(losses.sum(), list(theta.values()), create_graph=graph)
        total = torch.cat([gradient.flatten() for gradient in gradients])[None]
    return (losses, total) if graph else (losses.detach(), total.detach())


def after_step(
    losses: Float[Tensor, " n"],
    total: Float[Tensor, "1 p"],
    outer: Callable[[Parameters], Float[Tensor, ""]],
    parameters: Parameters,
    *,
    rate: float,
    weight: float,
    gather: Gather,
) -> Bilevel:
    """Return mean L_inner(theta) + weight * L_outer(theta - rate * grad mean L_inner(theta)).

    It is differentiated through the step.

    Args:
        losses: Inner losses of this worker's samples, of `inner_gradient`.
        total: Sum of their gradients, likewise.
        outer: Parameters to a loss; equal for all workers.
        parameters: theta, by name; stays where it is, and gets no gradient.
        rate: Size of the step.
        weight: Weight of the outer loss.
        gather: Puts the workers' parts `[n, ...]` of a tensor together (`Batch.gather`), all
            parts of one size: the step is that of the global batch, whoever has which part.
    """
    everyone = gather(losses)
    step = rate * gather(total).sum(dim=0) / len(everyone)
    parts = step.split([value.numel() for value in parameters.values()])
    moved = {
        name: value.detach() - part.view_as(value)
        for (name, value), part in zip(parameters.items(), parts, strict=True)
    }
    with sdpa_kernel(SDPBackend.MATH):
        after = outer(moved)
    before = everyone.mean()
    return Bilevel(loss=before + weight * after, inner=before, outer=after)


def first_order(
    inner: Callable[[Parameters], Float[Tensor, " n"]],
    outer: Callable[[Parameters], Float[Tensor, ""]],
    parameters: Parameters,
    *,
    rate: float,
    weight: float,
) -> Bilevel:
    """Return L_inner - weight * rate * <v, grad L_inner> of each sample, v = grad L_outer.

    Both gradients are those at theta; up to the constant weight * L_outer(theta) the mean is that
    of `after_step` to the first order in `rate`. The derivative of L_inner along v is a central
    difference of two forward passes, and so is its gradient: no graph of second order is made,
    samples do not interact, and neither workers nor micro-batches change anything. The move is too
    short for bfloat16, so autocast is switched off.

    Args:
        inner: Parameters to one loss per sample, in a graph of what is to be learned.
        outer: Parameters to a loss; equal for all workers.
        parameters: theta, by name; stays where it is, and gets no gradient.
        rate: Size of the step.
        weight: Weight of the outer loss.

    Source: the finite difference is that of DARTS (Liu et al., ICLR 2019), section 2.3.
    """
    theta = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    fixed = {name: value.detach() for name, value in parameters.items()}
    device = next(iter(fixed.values())).device
    with torch.autocast(device.type, enabled=False):
        before = outer(theta)
        direction = torch.autograd.grad(before, list(theta.values()))
        length = torch.stack([part.norm() for part in direction]).norm()
        scale = _MOVE / length.clamp_min(torch.finfo(length.dtype).tiny)
        ahead, behind = (
            inner(
                {
                    name: value + sign * scale * part
                    for (name, value), part in zip(fixed.items(), direction, strict=True)
                }
            )
            for sign in (1, -1)
        )
        losses = inner(fixed)
    slope = (ahead - behind) * (length / (2 * _MOVE))
    return Bilevel(loss=losses - weight * rate * slope, inner=losses, outer=before.detach())
