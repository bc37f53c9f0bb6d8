"""Per-sample gradient norms of a loss in feature space, and a penalty that bounds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# Gradients go through samples of this many feature values at once: 5 images of swin-base, 85
# sequences of 32 tokens of roberta-base. Every activation is kept on the way.
_GRADIENT_VALUES = 2**21


def samples_at_once(u: Float[Tensor, "n t d"]) -> int:
    """Return how many samples with features of this size `gradient_norms` has memory for."""
    return max(1, _GRADIENT_VALUES // u[0].numel())


def gradient_norms(
    loss_fn: Callable[[Float[Tensor, "n t d"]], Float[Tensor, " n"]],
    u: Float[Tensor, "n t d"],
    *,
    create_graph: bool = False,
) -> Float[Tensor, " n"]:
    """Return |grad_u l_i|_2 of every sample, over all its tokens and channels.

    One backward pass of the summed losses gives all gradients, because samples do not interact
    (use evaluation mode: batch norm and random depth would make them). The norms are therefore
    the same in every batch that a sample is part of.

    Args:
        loss_fn: Maps features `[n, t, d]` to one loss per sample `[n]`.
        u: Features `[n, t, d]`, on or off a graph; any trailing shape is accepted.
        create_graph: Keep the graph, so that the norms can be differentiated. Attention then runs
            on its plain implementation; the fused ones have no second derivative.

    Returns:
        The norms `[n]`.

    Raises:
        ValueError: `loss_fn` does not return one loss per sample.

    Source: the Lipschitz condition on the source predictor of RECRAFT (arXiv 2601.18231); its
    released code takes norms per channel of the gradient of the batch mean instead.
    """
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH) if create_graph else nullcontext():
        if not u.requires_grad:
            u = u.detach().requires_grad_()
        losses = loss_fn(u)
        if losses.shape != u.shape[:1]:
            raise ValueError(
                f"The loss must be one number per sample, shape ({len(u)},), "
                f"found {tuple(losses.shape)}."
            )
        (gradient,) = torch.autograd.grad(losses.sum(), u, create_graph=create_graph)
        return torch.linalg.vector_norm(gradient.flatten(1), dim=1)


def lipschitz_penalty(norms: Float[Tensor, " n"], threshold: float) -> Float[Tensor, ""]:
    """Return mean_i max(0, norm_i - threshold)^2.

    Args:
        norms: Gradient norms `[n]` of `gradient_norms(..., create_graph=True)`.
        threshold: The bound tau that the norms should stay below.
    """
    return (norms - threshold).clamp_min(0).square().mean()


def violation_share(norms: Float[Tensor, " n"], threshold: float) -> float:
    """Return the share of samples whose gradient norm exceeds `threshold`."""
    return float((norms > threshold).double().mean())
