"""Losses and metrics; both map a batch to one number per sample, so means over a split are exact.

A metric of a split is the mean over *all* its samples, accumulated in float64 and summed over
workers: never an average of batch scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.registry import Registry

PerSample = Callable[[Tensor, Tensor], Tensor]

# Keeps a sample whose target is zero everywhere from making the mean infinite.
_SMALLEST_NORM = 1e-8


def nrmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample over all points and channels: ||p - y|| / ||y||."""
    error = (prediction - target).flatten(1).norm(dim=1)
    return error / target.flatten(1).norm(dim=1).clamp_min(_SMALLEST_NORM)


def nrmse_pdebench(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample and channel over space, then the mean over channels.

    PDEBench's `metric_func` without its initial frames and without its per-batch averaging;
    here there is one frame.
    """
    error = (prediction - target).flatten(2).norm(dim=2)
    return (error / target.flatten(2).norm(dim=2).clamp_min(_SMALLEST_NORM)).mean(dim=1)


def rmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Root mean square error of each sample over all points and channels, in physical units."""
    return (prediction - target).flatten(1).square().mean(dim=1).sqrt()


def cross_entropy(logits: Tensor, labels: Tensor) -> Float[Tensor, " n"]:
    """Cross-entropy of each sample, natural logarithm."""
    return functional.cross_entropy(logits, labels, reduction="none")


def error_pct(logits: Tensor, labels: Tensor) -> Float[Tensor, " n"]:
    """0-1 error in percent: 100 where the largest logit is not the label's."""
    return (logits.argmax(dim=1) != labels).to(torch.float32) * 100


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric id with its version; a change of the definition raises the version."""

    name: str
    version: int
    direction: Literal["min", "max"]
    per_sample: PerSample

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`."""
        return value < than if self.direction == "min" else value > than


losses: Registry[PerSample] = Registry("loss")
losses.add("nrmse", nrmse)
losses.add("cross_entropy", cross_entropy)

metrics: Registry[Metric] = Registry("metric")
for _function in (nrmse, nrmse_pdebench, rmse, error_pct):
    metrics.add(
        _function.__name__,
        Metric(name=_function.__name__, version=1, direction="min", per_sample=_function),
    )
