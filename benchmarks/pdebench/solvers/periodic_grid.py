"""Change the points of functions on periodic grids by their Fourier modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType

import torch


def resample(values: torch.Tensor, points: Sequence[int]) -> torch.Tensor:
    """Evaluate band-limited functions at other equally spaced points.

    A coarser grid gets the functions' values at its points, not averages.

    Args:
        values: `[..., *grid]`, at equally spaced points of one period of each axis.
        points: Points wanted along each of the last axes; the first point stays where it is.

    Returns:
        `[..., *points]`.
    """
    given = values.shape[values.ndim - len(points) :]
    strides = [math.ceil(n / m) for n, m in zip(given, points, strict=True)]
    fine = [m * stride for m, stride in zip(points, strides, strict=True)]
    index: tuple[EllipsisType | slice, ...] = (..., *[slice(None, None, n) for n in strides])
    return stretch(values, fine)[index]


def stretch(values: torch.Tensor, points: Sequence[int]) -> torch.Tensor:
    """Like `resample`, but a coarser grid gets only the modes that it can hold."""
    for axis, size in enumerate(points, start=-len(points)):
        given = values.shape[axis]
        if size != given:
            modes = torch.fft.rfft(values, dim=axis, norm="forward")
            # Without the Nyquist mode of the coarser grid, whose sine is lost.
            modes = modes.narrow(axis, 0, (min(given, size) + 1) // 2)
            values = torch.fft.irfft(modes, n=size, dim=axis, norm="forward")
    return values
