"""Power spectra against closed forms, and what is drawn of them."""

from __future__ import annotations

import numpy as np
import pytest

from runner.report.plots.spectra import mean_spectrum, spectrum


@pytest.mark.parametrize("points", [32, 33])
@pytest.mark.parametrize("wavenumber", [1, 5, 12])
def test_a_sine_is_one_peak_of_half_its_squared_height(points: int, wavenumber: int) -> None:
    x = np.arange(points) / points
    power = spectrum(3.0 * np.sin(2 * np.pi * wavenumber * x + 0.3) + 2.0)
    expected = np.zeros(len(power))
    expected[0], expected[wavenumber] = 4.0, 4.5
    assert power == pytest.approx(expected, abs=1e-12)


def test_a_plane_wave_lies_in_the_ring_of_its_wavenumber() -> None:
    x, y = np.meshgrid(np.arange(24) / 24, np.arange(20) / 20, indexing="ij")
    power = spectrum(2.0 * np.cos(2 * np.pi * (3 * x - 4 * y)))
    expected = np.zeros(len(power))
    expected[5] = 2.0  # (3^2 + 4^2)^(1/2)
    assert power == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(8,), (9,), (8, 6), (7, 9), (16, 16)])
def test_powers_add_up_to_the_mean_square(shape: tuple[int, ...]) -> None:
    field = np.random.default_rng(0).standard_normal(shape)
    assert spectrum(field).sum() == pytest.approx(np.mean(field**2))


def test_rings_are_what_a_count_of_all_modes_gives() -> None:
    field = np.random.default_rng(1).standard_normal((6, 5))
    x, y = np.meshgrid(np.arange(6), np.arange(5), indexing="ij")
    found: dict[int, float] = {}
    for kx in range(-3, 3):
        for ky in range(-2, 3):
            wave = np.exp(-2j * np.pi * (kx * x / 6 + ky * y / 5))
            ring = round((kx**2 + ky**2) ** 0.5)
            found[ring] = found.get(ring, 0) + abs(np.mean(field * wave)) ** 2
    assert spectrum(field) == pytest.approx([found[ring] for ring in sorted(found)])


def test_means_are_over_samples_and_channels_up_to_the_finest_wave() -> None:
    fields = np.random.default_rng(2).standard_normal((3, 2, 8, 6))
    every = [spectrum(fields[i, j]) for i in range(3) for j in range(2)]
    assert mean_spectrum(fields) == pytest.approx(np.mean(every, axis=0)[:4])
