"""Losses and metrics, exact over a split.

A loss maps a batch to one number per sample. A metric takes three steps: statistics of each sample
`[n, ...]`, their mean or maximum over *all* samples of the split (in float64, over batches and
workers), and one number made of that. It is never an average of batch scores, so a mean over
samples may stand inside a square root and a maximum is one over the whole split.

The metrics `nrmse_pdebench`, `rmse`, `max_error`, `crmse`, `brmse` and `frmse_*` are those
of PDEBench (Takamoto et al. 2022, `metric_func`) for one predicted frame, without its averaging
over batches. The loss `rmse` is that of ORCA, over all channels at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.registry import Registry

PerSample = Callable[[Tensor, Tensor], Tensor]
Reduction = Literal["mean", "max"]

# Wavenumbers from the first up to, but without, the second.
_BANDS: dict[str, tuple[int, int | None]] = {"low": (0, 4), "mid": (4, 12), "high": (12, None)}
# Keeps a sample whose target is zero everywhere from making the mean infinite.
_SMALLEST_NORM = 1e-8


def nrmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample over all points and channels: ||p - y|| / ||y||."""
    error = (prediction - target).flatten(1).norm(dim=1)
    return error / target.flatten(1).norm(dim=1).clamp_min(_SMALLEST_NORM)


def nrmse_pdebench(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample and channel over space, then the mean over channels."""
    error = (prediction - target).flatten(2).norm(dim=2)
    return (error / target.flatten(2).norm(dim=2).clamp_min(_SMALLEST_NORM)).mean(dim=1)


def rmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Root mean square error of each sample over all points and channels, in physical units."""
    error = (prediction - target).flatten(1)
    # A norm has a gradient where the error is zero, the root of a mean has none.
    return error.norm(dim=1) / error.shape[1] ** 0.5


def channel_rmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Root mean square error of each sample and channel over space, then the mean over channels."""
    return (prediction - target).flatten(2).square().mean(dim=2).sqrt().mean(dim=1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Float[Tensor, " n"]:
    """Cross-entropy of each sample, natural logarithm."""
    return functional.cross_entropy(logits, labels, reduction="none")


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Float[Tensor, " n"]:
    """Binary cross-entropy of each sample, mean over its labels, natural logarithm."""
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return each.mean(dim=1)


def error_pct(logits: Tensor, labels: Tensor) -> Float[Tensor, " n"]:
    """0-1 error in percent: 100 where the largest logit is not the label's."""
    return (logits.argmax(dim=1) != labels).to(torch.float32) * 100


def label_error_pct(logits: Tensor, targets: Tensor) -> Float[Tensor, " n"]:
    """Share of wrong labels of each sample in percent; a label is given where its logit is above 0.

    Args:
        logits: `[n, labels]`.
        targets: `[n, labels]` of 0 and 1.
    """
    return ((logits > 0) != (targets > 0)).to(torch.float32).mean(dim=1) * 100


def peak_error(prediction: Tensor, target: Tensor) -> Float[Tensor, "n channels"]:
    """Largest absolute error of each sample and channel, in physical units."""
    return (prediction - target).flatten(2).abs().amax(dim=2)


def squared_mean_error(prediction: Tensor, target: Tensor) -> Float[Tensor, "n channels"]:
    """Square of the mean error over space, float64: what the conserved quantity is off by."""
    # The sum of a good prediction nearly cancels, and float32 would leave its rounding.
    return (prediction - target).flatten(2).mean(dim=2, dtype=torch.float64).square()


def boundary_rmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Root mean square error on the boundary of each channel, then the mean over channels.

    In one dimension the boundary is the first and the last point; in two dimensions the four
    edges, where corners lie on two edges and count twice.
    """
    error = prediction - target
    edges = [
        error.narrow(axis, start, 1).flatten(2)
        for axis in range(2, error.ndim)
        for start in (0, error.shape[axis] - 1)
    ]
    return torch.cat(edges, dim=2).square().mean(dim=2).sqrt().mean(dim=1)


def error_spectrum(prediction: Tensor, target: Tensor) -> Float[Tensor, "n channels ..."]:
    """Squared Fourier amplitudes of the error, float64, with the transform divided by all points.

    One grid axis of x points gives the wavenumbers 0 to x // 2; two axes give the quadrant where
    both wavenumbers are at least 0 and below half the points.
    """
    error = (prediction - target).double()
    grid = error.shape[2:]
    modes = torch.fft.rfftn(error, dim=tuple(range(2, error.ndim)), norm="forward")
    if len(grid) == 2:
        modes = modes[..., : grid[0] // 2, : grid[1] // 2]
    return modes.real.square() + modes.imag.square()


def band_error(power: Float[Tensor, "channels ..."], *, first: int, end: int | None) -> Tensor:
    """Mean over channels and wavenumbers `first <= k < end` of the root of the `error_spectrum`.

    In two dimensions wavenumber k is a shell, the sum over all modes with k <= |(i, j)| < k + 1,
    as long as k is below half the points of the shorter axis. A band is cut where the wavenumbers
    of the grid end; one without any, on a grid too coarse for it, has error 0.
    """
    if power.ndim == 3:
        power = _shells(power)
    band = power[:, first:end].sqrt()
    return band.mean() if band.numel() else power.new_zeros(())


def _shells(power: Float[Tensor, "channels i j"]) -> Float[Tensor, "channels k"]:
    i, j = (torch.arange(count, device=power.device) for count in power.shape[1:])
    shell = (i[:, None].square() + j.square()).double().sqrt().long()
    sums = power.new_zeros(len(power), sum(power.shape[1:]))
    sums.index_add_(1, shell.flatten(), power.flatten(1))
    return sums[:, : min(power.shape[1:])]


def root_mean(means: Tensor) -> Tensor:
    """Root of each channel's mean, then the mean over channels."""
    return means.sqrt().mean()


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric id with its version; a change of the definition raises the version.

    Attributes:
        per_sample: Statistics `[n, ...]` of a batch. Metrics that share this function and the
            reduction have it computed once.
        reduction: How the statistics of all samples become one `[...]`.
        finish: Makes the score, a scalar, of the reduced statistics (float64, on the CPU).
    """

    name: str
    version: int
    direction: Literal["min", "max"]
    per_sample: PerSample
    reduction: Reduction = "mean"
    finish: Callable[[Tensor], Tensor] = torch.mean

    def score(self, prediction: Tensor, target: Tensor) -> float:
        """Score a whole split that is at hand as one batch."""
        statistics = self.per_sample(prediction, target).double().cpu()
        over_samples = torch.amax if self.reduction == "max" else torch.mean
        return self.finish(over_samples(statistics, dim=0)).item()

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`."""
        return value < than if self.direction == "min" else value > than


losses: Registry[PerSample] = Registry("loss")
for _function in (nrmse, rmse, cross_entropy, binary_cross_entropy):
    losses.add(_function.__name__, _function)

metrics: Registry[Metric] = Registry("metric")


def _add(
    name: str,
    per_sample: PerSample,
    *,
    version: int = 1,
    reduction: Reduction = "mean",
    finish: Callable[[Tensor], Tensor] = torch.mean,
) -> None:
    metrics.add(
        name,
        Metric(
            name=name,
            version=version,
            direction="min",
            per_sample=per_sample,
            reduction=reduction,
            finish=finish,
        ),
    )


_add("nrmse", nrmse)
_add("nrmse_pdebench", nrmse_pdebench)
_add("rmse", channel_rmse, version=2)  # 1: over all channels at once
_add("max_error", peak_error, reduction="max")
_add("crmse", squared_mean_error, finish=root_mean)
_add("brmse", boundary_rmse)
for _band, (_first, _end) in _BANDS.items():
    _add(f"frmse_{_band}", error_spectrum, finish=partial(band_error, first=_first, end=_end))
_add("error_pct", error_pct)
_add("label_error_pct", label_error_pct)
