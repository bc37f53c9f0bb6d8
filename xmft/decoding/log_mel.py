"""Log-mel spectrograms on the device, many at once.

The definition is that of two libraries put together, as benchmarks of audio use them: frames, power
and mel filters by torchaudio's defaults (frames centred with reflected ends, periodic Hann window,
filters on the HTK scale that are not normed; librosa's own are Slaney's, and normed), decibels by
librosa's `power_to_db` (reference 1, at least 1e-10, at most 80 below the peak of the spectrogram).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LEAST_POWER = 1e-10
_RANGE_DB = 80.0


@dataclass(frozen=True, kw_only=True)
class MelSettings:
    """How a spectrogram is made.

    Attributes:
        rate: Samples a second.
        transform: Points of the Fourier transform, frames filled up with zeros on both sides.
        window: Samples of a frame.
        hop: Samples from one frame to the next.
        bands: Mel bands, from 0 Hz to half the rate.
    """

    rate: int
    transform: int
    window: int
    hop: int
    bands: int


def log_mel(signal: Tensor, settings: MelSettings) -> Float[Tensor, "n bands frames"]:
    """Return decibels in mel bands, `[n, bands, 1 + samples // hop]`.

    Spectra are computed in float64: bands 80 dB below a pure tone lie where float32 has rounding
    errors of a thousandth of a decibel. What is made of their squares is float32.

    Args:
        signal: `[n, samples]` between -1 and 1, or int16, which is divided by 32768. More than
            half a transform of samples.
        settings: See `MelSettings`.
    """
    power = _power(signal, settings)
    filters = _on_device(settings, signal.device)[1]
    decibels = 10 * torch.log10((power @ filters).clamp_min(_LEAST_POWER))
    floor = decibels.amax(dim=(1, 2), keepdim=True) - _RANGE_DB
    return torch.maximum(decibels, floor).mT.contiguous()


def _power(signal: Tensor, settings: MelSettings) -> Float[Tensor, "n frames bins"]:
    """Return the squared spectrum of each frame.

    Frames are cut as wide as the window, not as the transform, whose other values are zeros: where
    they stand changes the phase alone.
    """
    window = _on_device(settings, signal.device)[0]
    if signal.dtype == torch.int16:
        window = window / 32768
    half = settings.transform // 2
    padded = functional.pad(signal.double()[:, None], (half, half), mode="reflect")[:, 0]
    first = (settings.transform - settings.window) // 2
    frames = padded[:, first:].unfold(1, settings.window, settings.hop)
    count = 1 + signal.shape[1] // settings.hop
    spectrum = torch.fft.rfft(frames[:, :count] * window, n=settings.transform)
    real, imaginary = spectrum.real.float(), spectrum.imag.float()
    return real.square_().addcmul_(imaginary, imaginary)


@lru_cache(maxsize=8)
def _on_device(settings: MelSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the window `[samples]`, float64, and the filters `[bins, bands]`, float32."""
    window = torch.hann_window(settings.window, periodic=True, dtype=torch.float64)
    return window.to(device), mel_filters(settings).float().to(device)


def mel_filters(settings: MelSettings) -> Float[Tensor, "bins bands"]:
    """Return triangles of height 1 whose corners are evenly spaced in mel, float64."""
    bins = torch.linspace(0, settings.rate // 2, settings.transform // 2 + 1, dtype=torch.float64)
    top = 2595 * math.log10(1 + settings.rate // 2 / 700)
    mels = torch.linspace(0, top, settings.bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    rising = (bins[:, None] - corners[:-2]) / corners.diff()[:-1]
    falling = (corners[2:] - bins[:, None]) / corners.diff()[1:]
    return torch.minimum(rising, falling).clamp_min(0)
