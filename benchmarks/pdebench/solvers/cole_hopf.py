"""The heat equation that Burgers' equation becomes, and the way back, on a periodic line.

With kappa the diffusion coefficient and u = c + w, c the mean, phi = exp(-W / (2 kappa)) of the
antiderivative W of w follows phi_t = kappa phi_xx in the frame that moves with c, and there
w = -2 kappa phi_x / phi. W comes as `exponent` = W / (2 kappa), `[samples, fine]`, at equally
spaced points of a period of length 1; the solution is wanted at every `finer`-th of them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]

# Weights below exp(-CUTOFF) times the largest are left out.
CUTOFF = 40.0
# Powers of e between a block's centre and its ends, and between the entries of a step's sums;
# double precision has 700.
LARGEST_EXPONENT = 300.0
LARGEST_OF_STEP = 600.0
BLOCK = 64
STEP_BLOCK = 32
# Grid points per width of the narrowest peak of the weights, for a sum to be exact.
PER_WIDTH = 1.5


def least_points(kappa: float, time: float, steepest: float) -> float:
    """Return how many points a sum over a period needs.

    Args:
        kappa: Diffusion coefficient.
        time: Time that the sum goes forward.
        steepest: Largest slope of u before that.
    """
    return PER_WIDTH / math.sqrt(2 * kappa / (1 / time + steepest))


def by_modes(
    exponent: torch.Tensor, mean: torch.Tensor, kappa: float, times: Array, finer: int
) -> torch.Tensor:
    """Return u from the Fourier modes of phi, which are found once.

    Args:
        exponent: See the module.
        mean: c, `[samples]`.
        kappa: Diffusion coefficient.
        times: `[frames]`, rising, above zero.
        finer: See the module.

    Returns:
        `[samples, frames, points]`.
    """
    fine = exponent.shape[1]
    points = fine // finer
    lowest = exponent.amin(dim=1, keepdim=True)
    modes = torch.fft.rfft(torch.exp(lowest - exponent), norm="forward")
    k = 2 * math.pi * torch.arange(modes.shape[1], dtype=torch.float64, device=exponent.device)
    range_of_phi = float((exponent.amax(dim=1, keepdim=True) - lowest).max())
    frames = []
    for time in times.tolist():
        # The higher modes are gone by then, and fewer points hold the others.
        left = int(math.sqrt((CUTOFF + range_of_phi) / (kappa * time)) / (2 * math.pi)) + 1
        size, stride = (points, 1) if 2 * left < points else (fine, finer)
        some = k[: min(left, fine // 2) + 1]
        decay = -kappa * time * some**2 - 1j * some * (mean * time)[:, None]
        then = modes[:, : len(some)] * torch.exp(decay)
        phi = torch.fft.irfft(then, n=size, norm="forward")[:, ::stride]
        slope = torch.fft.irfft(1j * some * then, n=size, norm="forward")[:, ::stride]
        frames.append(mean[:, None] - 2 * kappa * slope / phi)
    return torch.stack(frames, dim=1)


def by_quadrature(
    exponent: torch.Tensor, mean: torch.Tensor, kappa: float, times: Array, finer: int
) -> torch.Tensor:
    """Return u from sums over phi; arguments and result are those of `by_modes`.

    The first frame is a sum over phi at the start, any other one over phi of the frame before,
    which takes fewer terms and fewer points. Frames too far apart for that are like the first.
    """
    fine = exponent.shape[1]
    slopes = exponent.diff(dim=1, append=exponent[:, :1]).abs().amax(dim=1) * fine
    fastest = float((2 * kappa * slopes + mean.abs()).max())
    steps: dict[tuple[int, float], _Step] = {}
    frames = []
    logs: torch.Tensor | None = None
    now = 0.0
    for time, following in zip(times.tolist(), [*times[1:].tolist(), math.inf], strict=True):
        step = None
        if logs is not None:
            key = (logs.shape[1], round(time - now, 9))
            if key not in steps:
                steps[key] = _Step(key[0], kappa, time - now, fastest, exponent.device)
            step = steps[key]
        if logs is not None and step is not None and step.possible:
            u, logs = step(logs, mean)
        else:
            # The slopes are below 1 / time now: the sums over this frame need fewer points.
            least = least_points(kappa, following - time, 1 / time)
            strides = [n for n in range(1, finer + 1) if finer % n == 0]
            stride = max(n for n in strides if fine // n >= least or n == 1)
            u, logs = _from_start(exponent, mean, kappa, time, stride)
        frames.append(u[:, :: u.shape[1] * finer // fine])
        now = time
    return torch.stack(frames, dim=1)


class _Step:
    """Solutions of the heat equation a span of time later, as sums over near points.

    Attributes:
        possible: Whether the terms of the sums are within the range of double precision, and
            all of them within one period.
    """

    def __init__(
        self, points: int, kappa: float, span: float, fastest: float, device: torch.device
    ) -> None:
        """Prepare for fields of `points` points that are never above `fastest`."""
        self.points, self.kappa, self.span = points, kappa, span
        # log phi has slopes up to fastest / (2 kappa), so that beyond this distance the weights
        # are below the cutoff.
        way = fastest * span
        self.reach = math.ceil(points * (way + math.sqrt(way**2 + 4 * kappa * span * CUTOFF)))
        width = STEP_BLOCK + 2 * self.reach
        longest = (STEP_BLOCK + self.reach) / points
        lowest = max(longest**2 / (4 * kappa * span), fastest * width / points / (2 * kappa))
        self.possible = lowest < LARGEST_OF_STEP and width <= points
        target = torch.arange(STEP_BLOCK, dtype=torch.float64, device=device)
        source = torch.arange(-self.reach, STEP_BLOCK + self.reach, device=device)
        distance = (target - source[:, None]) / points
        gaussian = torch.exp(-(distance**2) / (4 * kappa * span))
        self.kernel = torch.cat([gaussian, gaussian * distance], dim=1)

    def __call__(self, logs: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u and log phi later, `[samples, points]` each.

        Args:
            logs: log phi in the frame at rest, which changes by -c / (2 kappa) in a period.
            mean: c, `[samples]`.
        """
        change = (mean / (2 * self.kappa))[:, None]
        blocks = math.ceil(self.points / STEP_BLOCK)
        beyond = self.reach + blocks * STEP_BLOCK - self.points
        around = [logs[:, self.points - self.reach :] + change, logs, logs[:, :beyond] - change]
        near = torch.cat(around, dim=1).unfold(1, STEP_BLOCK + 2 * self.reach, STEP_BLOCK)
        top = near.amax(dim=2, keepdim=True)
        # The mean distance from where a point's weights are, over time, is the speed.
        total, moment = (torch.exp(near - top) @ self.kernel).split(STEP_BLOCK, dim=2)
        u = (moment / total / self.span).flatten(1)[:, : self.points]
        return u, (total.log() + top).flatten(1)[:, : self.points]


def _from_start(
    exponent: torch.Tensor, mean: torch.Tensor, kappa: float, time: float, finer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return u and log phi in the frame at rest, up to a constant, at every `finer`-th point."""
    fine = exponent.shape[1]
    points = fine // finer
    device = exponent.device
    highest = float((exponent.amax(dim=1) - exponent.amin(dim=1)).max())
    # Farther away the Gaussian alone is below the cutoff, whatever phi(y, 0) does.
    reach = math.sqrt(4 * kappa * time * (highest + CUTOFF))
    half = int(points * min(reach, LARGEST_EXPONENT * kappa * time / reach))
    block = min(BLOCK, 2 * half + 1, points)
    offset = (torch.arange(block, dtype=torch.float64, device=device) - block // 2) / points
    side = math.ceil((reach + (block // 2 + 1) / points) * fine)
    column = torch.arange(-side, side + 1, device=device)
    distance = column.to(torch.float64) / fine
    across = torch.exp(distance[:, None] * offset / (2 * kappa * time))

    # The frame has moved by whole steps of the fine grid, taken by the columns, and a rest.
    moved = mean * time
    whole = torch.round(moved * fine)
    rest = (moved - whole / fine)[:, None]
    gaussian = -((distance + rest) ** 2) / (4 * kappa * time)
    u = torch.empty(len(exponent), points, dtype=torch.float64, device=device)
    logs = torch.empty_like(u)
    for first in range(0, points, block):
        centre = (first + block // 2) * finer
        source = (column + centre - whole.long()[:, None]) % fine
        logits = gaussian - exponent.gather(1, source)
        top = logits.amax(dim=1, keepdim=True)
        weights = torch.exp(logits - top)
        sums = torch.cat([weights, weights * distance]) @ across
        total, moment = sums.split(len(exponent))
        here = slice(first, min(first + block, points))
        inside = slice(0, here.stop - first)
        w = (offset - rest - moment / total) / time
        u[:, here] = (mean[:, None] + w)[:, inside]
        # What `across` leaves out of (x - c t - y)^2, and the mean's share of log phi.
        left_out = (2 * rest * offset - offset**2) / (4 * kappa * time)
        x = centre / fine + offset
        logs_here = total.log() + top + left_out - mean[:, None] * x / (2 * kappa)
        logs[:, here] = logs_here[:, inside]
    return u, logs
