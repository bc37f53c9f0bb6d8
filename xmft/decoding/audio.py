"""Windows of sound as log-mel spectrograms, and bands and times masked in them."""

from __future__ import annotations

import torch
from torch import Tensor

from xmft.decoding.log_mel import MelSettings, log_mel
from xmft.samples import Decoded, Draws, Pieces


def spectrograms(pieces: Pieces, settings: MelSettings) -> Decoded:
    """Make windows `[n, samples]` of int16 spectrograms `[n, 1, bands, frames]` of mean 0.

    Each is shifted by its own mean. A silent window becomes zeros. The labels become float32.
    """
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    decibels = log_mel(pieces.inputs, settings)
    decibels -= decibels.mean(dim=(1, 2), keepdim=True)
    return Decoded(decibels[:, None], pieces.targets.float())


def masked(
    batch: Decoded, draws: Draws, *, chance: float, rounds: int, bands: float, times: float
) -> Decoded:
    """Mask bands and times of some spectrograms with their smallest value, after SpecAugment.

    Args:
        batch: Spectrograms `[n, 1, bands, frames]`.
        draws: Random numbers.
        chance: That a spectrogram is masked at all.
        rounds: Most masks of either kind; it has from 1 to so many, each number as likely.
        bands: Largest share of the bands in one mask; shares are drawn evenly from 0 on.
        times: Largest share of the frames in one mask, likewise.

    Source: Park et al. 2019, with shares instead of widths.
    """
    images = batch.inputs
    chosen = draws.uniform() < chance
    count = 1 + draws.integers(rounds)
    hidden = torch.zeros_like(images, dtype=torch.bool)
    for number in range(rounds):
        numbers = draws.uniform(shape=(4,))
        rows = _stretch(images.shape[2], bands, numbers[:, 0], numbers[:, 1])
        columns = _stretch(images.shape[3], times, numbers[:, 2], numbers[:, 3])
        either = rows[:, None, :, None] | columns[:, None, None, :]
        hidden |= either & (chosen & (number < count))[:, None, None, None]
    least = images.amin(dim=(1, 2, 3), keepdim=True)
    return batch._replace(inputs=torch.where(hidden, least, images))


def _stretch(points: int, share: float, size: Tensor, place: Tensor) -> Tensor:
    """Return which points of an axis a mask has, `[n, points]`.

    Args:
        points: Of the axis.
        share: Largest share of them in a mask.
        size: Uniform random numbers below 1, `[n]`.
        place: Likewise.
    """
    width = (size * share * points).floor()
    start = (place * (points - width + 1)).floor().clamp_max(points - width)
    numbers = torch.arange(points, device=size.device)
    return (numbers >= start[:, None]) & (numbers < (start + width)[:, None])
