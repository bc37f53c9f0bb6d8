"""Errors of predicted fields `[n, channels, *grid]` against their targets.

All but `nrmse` and the loss `rmse` (ORCA's, over all channels at once) are those of PDEBench
(Takamoto et al. 2022, `metric_func`) for one predicted frame, without its averaging over batches.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Keeps weights that are zero everywhere from making a mean infinite.
_SMALLEST_WEIGHT = 1e-8


def nrmse(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample over all points and channels: ||p - y|| / ||y||.

    Weights multiply the squares in both norms. Where the target is zero everywhere there is no
    relative error: it is 0 for a prediction that is zero as well, and 1, that of predicting
    nothing, for every other. As a loss it pulls there all the same, as beside a
    target of ones.
    """
    error = prediction - target
    if weights is not None:
        error, target = error * weights.sqrt(), target * weights.sqrt()
    size = target.flatten(1).norm(dim=1)
    return _relative(error.flatten(1).norm(dim=1), size, points=target[0].numel())


def channel_nrmse(prediction: Tensor, target: Tensor) -> Float[Tensor, "n channels"]:
    """Relative L2 error of each sample and channel over space; of zero channels as in `nrmse`."""
    error = (prediction - target).flatten(2).norm(dim=2)
    return _relative(error, target.flatten(2).norm(dim=2), points=target[0, 0].numel())


def _relative(error: Tensor, size: Tensor, *, points: int) -> Tensor:
    """Return error / size; where the size is zero, 1 if there is any error."""
    zero = size == 0
    # A constant teaches nobody to say zero: the gradient is that of an error over fields of size 1.
    pull = (error - error.detach()) / points**0.5
    constant = (error.detach() > 0).to(error.dtype) + pull
    return torch.where(zero, constant, error / size.masked_fill(zero, 1.0))


def nrmse_pdebench(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Relative L2 error of each sample and channel over space, then the mean over channels.

    Every channel weighs the same, whatever its units: a velocity of 1e-2 beside a pressure of 100.
    """
    return channel_nrmse(prediction, target).mean(dim=1)


def rmse(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Float[Tensor, " n"]:
    """Root mean square error of each sample over all points and channels, in physical units.

    With weights, the mean is a weighted one.
    """
    error = (prediction - target).flatten(1)
    # A norm has a gradient where the error is zero, the root of a mean has none.
    if weights is None:
        return error.norm(dim=1) / error.shape[1] ** 0.5
    each = torch.broadcast_to(weights, target.shape).flatten(1)
    return (error * each.sqrt()).norm(dim=1) / each.sum(dim=1).clamp_min(_SMALLEST_WEIGHT).sqrt()


def channel_rmse(prediction: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Root mean square error of each sample and channel over space, then the mean over channels."""
    return (prediction - target).flatten(2).square().mean(dim=2).sqrt().mean(dim=1)


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


def band_error(
    power: Float[Tensor, "channels ..."], *, first: int, end: int | None
) -> Tensor | None:
    """Mean over channels and wavenumbers `first <= k < end` of the root of the `error_spectrum`.

    In two dimensions wavenumber k is a shell, the sum over all modes with k <= |(i, j)| < k + 1,
    as long as k is below half the points of the shorter axis. A band is cut where the wavenumbers
    of the grid end; one without any, on a grid too coarse for it, has no error: None.
    """
    if power.ndim == 3:
        power = _shells(power)
    band = power[:, first:end].sqrt()
    return band.mean() if band.numel() else None


def _shells(power: Float[Tensor, "channels i j"]) -> Float[Tensor, "channels k"]:
    i, j = (torch.arange(count, device=power.device) for count in power.shape[1:])
    shell = (i[:, None].square() + j.square()).double().sqrt().long()
    sums = power.new_zeros(len(power), sum(power.shape[1:]))
    sums.index_add_(1, shell.flatten(), power.flatten(1))
    return sums[:, : min(power.shape[1:])]


def of_channel(means: Tensor, *, channel: int) -> Tensor | None:
    """Return one of the channels' means; None where there are not so many."""
    return means[channel] if channel < len(means) else None


def root_mean(means: Tensor) -> Tensor:
    """Root of each channel's mean, then the mean over channels."""
    return means.sqrt().mean()
