from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.pdebench.solvers import burgers, cell_centres, random_field

Array = npt.NDArray[np.float64]

# `smallest_phi` that sends every sample to one of the two ways of summing.
MODES, QUADRATURE = 0.0, 2.0


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


def relative_error(found: Array, true: Array) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def waves(x: Array) -> Array:
    """Return two smooth fields with means of both signs."""
    angle = 2 * np.pi * x
    return np.stack([0.4 + np.sin(angle) + 0.5 * np.cos(3 * angle), np.sin(2 * angle + 1) - 0.7])


def pseudo_spectral(u0: Array, nu: float, time: float, steps: int) -> Array:
    """Advance u0 with exact diffusion and classical Runge-Kutta, free of aliasing."""
    points = u0.shape[-1]
    k = 2 * np.pi * np.arange(points // 2 + 1)
    kept = np.arange(points // 2 + 1) <= points // 3
    dt = time / steps
    half = np.exp(-nu / np.pi * k**2 * dt / 2)

    def rate(v: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
        return -0.5j * k * kept * np.fft.rfft(np.fft.irfft(v, points) ** 2)

    v = np.fft.rfft(u0) * kept
    for _ in range(steps):
        a = dt * rate(v)
        b = dt * rate(half * (v + a / 2))
        c = dt * rate(half * v + b / 2)
        d = dt * rate(half * (half * v + c))
        v = half * (half * v + half * a / 6 + (b + c) / 3) + d / 6
    return np.fft.irfft(v, points)


def wave_trains(x: Array, time: float, kappa: float) -> Array:
    """Return -2 kappa theta_x / theta with theta = sum_n exp(-(x - n)^2 / (4 kappa time)).

    A sawtooth with one shock a period, of width 4 kappa time, for all times above zero.
    """
    distance = (x - 0.5) % 1.0 - 0.5 - np.arange(-3, 4)[:, None]
    logs = -(distance**2) / (4 * kappa * time)
    weights = np.exp(logs - logs.max(axis=0))
    return (weights * distance).sum(axis=0) / weights.sum(axis=0) / time


@pytest.mark.parametrize(("nu", "steps"), [(0.5, 2000), (0.05, 400), (0.01, 1500)])
def test_agrees_with_a_pseudo_spectral_method(nu: float, steps: int) -> None:
    true = pseudo_spectral(waves(cell_centres(1024)), nu, 0.3, steps)
    found = burgers.solve(waves, 1024, np.array([0.3]), nu=nu)[:, 0]
    assert relative_error(found, true) < 1e-8


@pytest.mark.parametrize("points", [64, 256])
def test_moving_shocks_of_the_smallest_nu(points: int) -> None:
    nu, start, speed = 0.001, 0.2, 0.37
    times = np.array([0.0, 0.01, 0.5, 2.0])
    found = burgers.solve(
        lambda y: speed + wave_trains(y, start, nu / np.pi)[None], points, times, nu=nu
    )[0]
    x = cell_centres(points)
    true = [speed + wave_trains(x - speed * t, start + t, nu / np.pi) for t in times]
    assert relative_error(found, np.stack(true)) < 1e-10


def test_both_ways_of_summing_agree() -> None:
    field = random_field.draw(rngs(12))
    times = np.array([0.0, 0.01, 0.2, 2.0])
    by_modes, by_quadrature = (
        burgers.solve(field, 64, times, nu=0.05, smallest_phi=way) for way in (MODES, QUADRATURE)
    )
    differences = np.linalg.norm(by_modes - by_quadrature, axis=-1)
    # The two treat a kink differently between its neighbouring points.
    assert differences[~field.absolute].max() < 1e-8
    assert differences.max() < 1e-4


@pytest.mark.parametrize("nu", [0.005, 0.02, 1.0])
def test_mean_is_conserved_and_no_value_leaves_the_range(nu: float) -> None:
    field = random_field.draw(rngs(8, seed=1))
    u = burgers.solve(field, 1024, np.array([0.01, 0.3, 2.0]), nu=nu)
    fine = field(cell_centres(40000))
    mean = fine.mean(axis=-1)[:, None]
    np.testing.assert_allclose(u.mean(axis=-1), np.tile(mean, 3), rtol=0, atol=2e-6)
    assert (u.max(axis=(1, 2)) <= fine.max(axis=1) + 1e-5).all()
    assert (u.min(axis=(1, 2)) >= fine.min(axis=1) - 1e-5).all()


@pytest.mark.parametrize("nu", [0.002, 0.5])
def test_galilean_invariance(nu: float) -> None:
    times, x = np.array([0.25, 1.5]), cell_centres(80)
    rest = burgers.solve(waves, 80, times, nu=nu)
    moved = burgers.solve(lambda y: waves(y) + 3.0, 80, times, nu=nu)
    for frame, time in enumerate(times):
        cells = round(3.0 * time * len(x))
        np.testing.assert_allclose(
            moved[:, frame], 3.0 + np.roll(rest[:, frame], cells, axis=-1), rtol=0, atol=1e-10
        )


def test_reflection() -> None:
    u = burgers.solve(waves, 64, np.array([0.5]), nu=0.001)
    mirrored = burgers.solve(lambda y: -waves(1 - y), 64, np.array([0.5]), nu=0.001)
    np.testing.assert_allclose(mirrored, -u[..., ::-1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("nu", [0.001, 1.0])
def test_short_times_follow_the_equation(nu: float) -> None:
    time, x = 1e-6, cell_centres(64)
    u = burgers.solve(waves, 64, np.array([time]), nu=nu)[:, 0]
    h = 1e-3
    slope = (waves(x + h) - waves(x - h)) / (2 * h)
    bend = (waves(x + h) - 2 * waves(x) + waves(x - h)) / h**2
    rate = nu / np.pi * bend - waves(x) * slope
    np.testing.assert_allclose((u - waves(x)) / time, rate, rtol=0, atol=2e-3 * np.abs(rate).max())


def test_error_is_within_the_tolerance() -> None:
    field = random_field.draw(rngs(24, seed=2))
    final = burgers.TIMES[-1:]
    found = burgers.solve(field, 64, final, nu=0.001)[:, 0]
    true = burgers.solve(field, 64, final, nu=0.001, fine_points=4 * burgers.FINE_POINTS)[:, 0]
    errors = np.linalg.norm(found - true, axis=-1) / np.linalg.norm(true, axis=-1)
    assert errors.mean() <= burgers.tolerance({"Nu": 0.001}, 64)
    assert errors[~field.absolute].max() < 1e-10


def test_fields_with_kinks_converge() -> None:
    field = random_field.draw(rngs(6, seed=3))
    field = dataclasses.replace(field, absolute=np.ones(6, dtype=bool))
    coarse, usual, fine = (
        burgers.solve(field, 64, np.array([0.1]), nu=0.001, fine_points=n)
        for n in (1024, burgers.FINE_POINTS, 16384)
    )
    assert relative_error(usual, fine) < min(2e-6, relative_error(coarse, fine) / 8)
