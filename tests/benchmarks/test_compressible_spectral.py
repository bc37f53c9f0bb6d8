"""The spectral solver of compressible flow: closed forms, conservation laws, symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import (
    compressible_spectral,
    etdrk4,
)
from benchmarks.pdebench.solvers.compressible_spectral import GAMMA, Fields, solve
from xmft.errors import DataError, RequestError

Array = npt.NDArray[np.float64]

ETA, ZETA = 0.02, 0.03


def mesh(points: int, axes: int) -> Array:
    return np.stack(np.meshgrid(*[np.arange(points) / points] * axes, indexing="ij"))


def smooth(
    points: int, axes: int, *, seed: int = 0, amplitude: float = 0.2
) -> tuple[Array, Array, Array]:
    """Density, velocity and pressure of a few long waves, `[1, ...]`."""
    rng = np.random.default_rng(seed)
    x = mesh(points, axes)

    def wave() -> Array:
        total = np.zeros_like(x[0])
        for _ in range(3):
            angle = np.tensordot(rng.integers(-2, 3, axes), x, 1) * 2 * np.pi
            total += rng.normal() * np.sin(angle + rng.uniform(0, 2 * np.pi))
        return amplitude * total

    velocity = np.stack([wave() for _ in range(axes)])
    return np.exp(wave())[None], velocity[None], 2 * np.exp(wave())[None]


def run(
    density: Array,
    velocity: Array,
    pressure: Array,
    times: Sequence[float],
    *,
    eta: float = ETA,
    zeta: float = ZETA,
    **options: Any,
) -> Fields:
    lengths = [1.0] * (density.ndim - 1)
    options |= {"lengths": lengths, "eta": eta, "zeta": zeta, "times": np.array(times)}
    return solve(density, velocity, pressure, **options)


def test_a_sound_wave_along_an_axis_is_damped_by_half_the_viscosity() -> None:
    # Textbook: frequency^2 = (c k)^2 - (nu k^2 / 2)^2, damping nu k^2 / 2, nu = 4/3 eta + zeta.
    k, nu, amplitude, time = 2 * np.pi, 4 / 3 * ETA + ZETA, 1e-6, 0.7
    damping = nu * k**2 / 2
    frequency = np.sqrt(GAMMA * k**2 - damping**2)
    x = mesh(16, 1)
    ones = np.ones((1, 16))
    got = run(ones, amplitude * np.cos(k * x)[None], ones, [0.0, time], cfl=0.5)
    oscillation = np.cos(frequency * time) - damping / frequency * np.sin(frequency * time)
    expected = amplitude * np.exp(-damping * time) * oscillation * np.cos(k * x)
    np.testing.assert_allclose(got.velocity[0, -1], expected, atol=1e-4 * amplitude)


def test_a_shear_wave_decays_exactly() -> None:
    y = mesh(16, 2)[1]
    shear = 1e-4 * np.sin(4 * np.pi * y)
    got = run(
        np.ones((1, 16, 16)), np.stack([shear, 0 * y])[None], np.ones((1, 16, 16)), [0, 0.3, 1]
    )
    for frame, time in ((1, 0.3), (2, 1.0)):
        expected = shear * np.exp(-ETA * (4 * np.pi) ** 2 * time)
        np.testing.assert_allclose(got.velocity[0, frame, 0], expected, atol=1e-10)


def test_etdrk4_is_exact_for_linear_decay_and_constant_slopes() -> None:
    rates = torch.tensor([0.0, 1e-8, 1e-3, 0.7, 1.3, 40.0, 1e5], dtype=torch.float64)
    h, force = 0.9, 2.0
    rows = etdrk4.factors(rates, torch.ones(7, dtype=torch.float64), [h], torch.float64)
    start = torch.linspace(1, 2, 7, dtype=torch.float64)[None]
    slope = torch.full_like(start, force)
    got = etdrk4.step(lambda state: torch.full_like(state, force), start, slope, rows)
    safe = rates.clamp_min(1e-12)
    expected = start * torch.exp(-rates * h) - force * torch.expm1(-safe * h) / safe
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


def test_wrong_arguments_of_the_solver_are_refused() -> None:
    density, velocity, pressure = smooth(16, 2)
    with pytest.raises(RequestError, match="eta"):
        run(density, velocity, pressure, [0.0, 0.1], eta=0.0)
    with pytest.raises(RequestError, match="Times"):
        run(density, velocity, pressure, [0.1, 0.2])
    with pytest.raises(DataError, match="above zero"):
        run(-density, velocity, pressure, [0.0, 0.1])


def test_a_flow_that_runs_out_of_bounds_is_no_result() -> None:
    with pytest.raises(DataError, match="out of bounds"):
        run(*smooth(32, 2), [0.0, 1.0], cfl=20.0)


def test_a_wave_that_runs_away_stops_after_the_most_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressible_spectral, "MOST_STEPS", 3)
    with pytest.raises(DataError, match="after 3 steps"):
        run(*smooth(16, 2), [0.0, 1.0])
