"""Log-mel spectrograms are those of scipy's transform and of filters written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from xmft.decoding.audio import masked
from xmft.decoding.log_mel import MelSettings, log_mel, mel_filters
from xmft.samples import Decoded, Draw, Draws, Pieces

SETTINGS = MelSettings(rate=22_050, transform=1920, window=661, hop=220, bands=96)
RNG = np.random.default_rng(2)


def filters() -> np.ndarray[Any, Any]:
    """Triangles on the HTK scale, corner by corner."""
    top = 2595 * math.log10(1 + 11_025 / 700)
    corners = [700 * (10 ** (top * k / 97 / 2595) - 1) for k in range(98)]
    out = np.zeros((961, 96))
    for bin_number in range(961):
        frequency = bin_number * 11_025 / 960
        for band in range(96):
            low, middle, high = corners[band : band + 3]
            if low < frequency <= middle:
                out[bin_number, band] = (frequency - low) / (middle - low)
            elif middle < frequency < high:
                out[bin_number, band] = (high - frequency) / (high - middle)
    return out


def slow(sound: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One spectrogram in float64, frame by frame."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(661) / 661)
    whole = np.zeros(1920)
    whole[(1920 - 661) // 2 : (1920 - 661) // 2 + 661] = window
    padded = np.pad(sound.astype(np.float64) / 32768, 960, mode="reflect")
    frames = [padded[220 * k : 220 * k + 1920] * whole for k in range(1 + len(sound) // 220)]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    decibels = 10 * np.log10(np.maximum(power @ filters(), 1e-10))
    return np.maximum(decibels, decibels.max() - 80).T


@pytest.mark.parametrize("kind", ["noise", "tone", "quiet"])
def test_spectrograms_are_those_of_a_slow_computation(kind: str) -> None:
    time = np.arange(22_050) / 22_050
    sound = {
        "noise": RNG.normal(0, 5000, 22_050),
        "tone": 20_000 * np.sin(2 * np.pi * 1234.5 * time),
        "quiet": RNG.normal(0, 1.5, 22_050),
    }[kind].astype(np.int16)
    found = log_mel(torch.from_numpy(sound[None]), SETTINGS)
    assert found.shape == (1, 96, 101) and found.dtype == torch.float32
    assert np.abs(found[0].numpy() - slow(sound)).max() < 1e-4


def test_filters_are_triangles_of_height_one() -> None:
    assert np.abs(mel_filters(SETTINGS).numpy() - filters()).max() < 1e-9


def test_silence_has_one_level_and_batches_do_not_mix() -> None:
    loud = RNG.normal(0, 5000, (3, 22_050)).astype(np.int16)
    loud[1] = 0
    together = log_mel(torch.from_numpy(loud), SETTINGS)
    assert (together[1] == together[1, 0, 0]).all()
    alone = log_mel(torch.from_numpy(loud[2:]), SETTINGS)
    assert torch.allclose(together[2:], alone, atol=1e-5)


def test_masks_have_the_smallest_value_in_about_every_second_spectrogram() -> None:
    rows = np.arange(400)
    images = torch.from_numpy(RNG.normal(0, 1, (400, 1, 96, 101)).astype(np.float32))
    nothing = torch.zeros(400)
    pieces = Pieces(
        inputs=images, targets=nothing, weights=None, samples=nothing.long(), starts=None
    )
    draws = Draws(Draw(seed=0, stage="fitting", epoch=0), rows, torch.device("cpu"), pieces)
    changed = masked(
        Decoded(images, nothing), draws, chance=0.5, rounds=2, bands=0.15, times=0.2
    ).inputs
    hidden = (changed != images)[:, 0]
    assert (changed[hidden[:, None]] == images.amin(dim=(1, 2, 3))[hidden.nonzero()[:, 0]]).all()
    share = hidden.flatten(1).any(dim=1).float().mean().item()
    assert 0.4 < share < 0.6
    bands = hidden.all(dim=2).sum(dim=1)
    assert 0 < bands.max() <= 2 * math.floor(0.15 * 96)
