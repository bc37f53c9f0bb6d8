"""The spectral solver of compressible flow: closed forms, conservation laws, symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg

from benchmarks.pdebench.solvers.compressible_spectral import GAMMA, Fields, solve

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


def difference(a: Fields, b: Fields) -> float:
    pairs = [(a.density, b.density), (a.velocity, b.velocity), (a.pressure, b.pressure)]
    return max(np.abs(x - y).max() for x, y in pairs)


@pytest.mark.parametrize("wave", [(1,), (1, 0), (2, 1)])
def test_a_sound_wave_follows_the_linearised_equations(wave: tuple[int, ...]) -> None:
    density, pressure, amplitude = 2.0, 3.0, 1e-6
    k, axes = 2 * np.pi * np.array(wave, dtype=float), len(wave)
    viscosity = np.full((axes, axes), ETA) + np.eye(axes) * (ETA / 3 + ZETA)
    # d/dt of the amplitudes of ln rho, v.., ln p.
    matrix = np.zeros((axes + 2, axes + 2), dtype=complex)
    matrix[0, 1:-1] = -1j * k
    matrix[1:-1, 1:-1] = -np.diag(viscosity @ k**2)
    matrix[1:-1, -1] = -1j * k * pressure / density
    matrix[-1, 1:-1] = -1j * k * GAMMA
    start = np.array([0.3, *[0.5 - 0.2j, -0.4][:axes], 0.6j]) * amplitude
    phase = np.exp(1j * np.tensordot(k, mesh(16, axes), 1))

    def fields(t: float) -> tuple[Array, Array, Array]:
        now = (scipy.linalg.expm(matrix * t) @ start)[(..., *[None] * axes)] * phase
        return density * np.exp(now[0].real), now[1:-1].real, pressure * np.exp(now[-1].real)

    rho, v, p = (np.asarray(field)[None] for field in fields(0.0))
    got = run(rho, v, p, [0.0, 0.2, 0.5], cfl=0.5)
    for frame, time in enumerate([0.0, 0.2, 0.5]):
        rho, v, p = fields(time)
        np.testing.assert_allclose(got.density[0, frame], rho, atol=1e-4 * amplitude)
        np.testing.assert_allclose(got.velocity[0, frame], v, atol=1e-4 * amplitude)
        np.testing.assert_allclose(got.pressure[0, frame], p, atol=1e-4 * amplitude)


@pytest.mark.parametrize("axes", [1, 2])
def test_mass_momentum_and_energy_are_conserved(axes: int) -> None:
    got = run(*smooth(64, axes), [0.0, 0.25, 0.5], cfl=1.0)
    space = tuple(range(-axes, 0))
    mass = got.density.mean(space)
    momentum = (got.density[:, :, None] * got.velocity).mean(space)
    kinetic = 0.5 * got.density * (got.velocity**2).sum(2)
    energy = (got.pressure / (GAMMA - 1) + kinetic).mean(space)
    # Heating counts: without it the lost kinetic energy would show.
    assert kinetic.mean(space)[0, 0] - kinetic.mean(space)[0, -1] > 1e-2
    for total in (mass, momentum, energy):
        np.testing.assert_allclose(total, np.broadcast_to(total[:, :1], total.shape), atol=2e-6)


def test_exchanging_the_axes_exchanges_the_solution() -> None:
    density, velocity, pressure = smooth(32, 2)
    times = [0.0, 0.2]
    got = run(density, velocity, pressure, times)
    turned = run(
        density.swapaxes(1, 2), velocity[:, ::-1].swapaxes(2, 3), pressure.swapaxes(1, 2), times
    )
    np.testing.assert_allclose(got.density, turned.density.swapaxes(2, 3), atol=1e-11)
    np.testing.assert_allclose(got.velocity, turned.velocity[:, :, ::-1].swapaxes(3, 4), atol=1e-11)


def test_a_moving_observer_sees_the_same_flow() -> None:
    density, velocity, pressure = smooth(48, 2)
    speed = np.array([2.0, -2.0])[:, None, None]
    got = run(density, velocity, pressure, [0.0, 0.5], cfl=0.7)
    # In that time both components go around the domain once.
    moved = run(density, velocity + speed, pressure, [0.0, 0.5], cfl=0.7)
    moved = Fields(density=moved.density, velocity=moved.velocity - speed, pressure=moved.pressure)
    assert difference(got, moved) < 2e-5
    assert difference(got, run(density, velocity, pressure, [0.0, 0.4])) > 0.1


def test_two_dimensions_agree_with_one() -> None:
    density, velocity, pressure = smooth(48, 1)
    times = [0.0, 0.1, 0.3]
    line = run(density, velocity, pressure, times, cfl=0.5)

    def spread(values: Array) -> Array:
        return np.repeat(values[..., None], 8, axis=-1)

    flat = np.concatenate([velocity, 0 * velocity], axis=1)
    plane = run(spread(density), spread(flat), spread(pressure), times, cfl=0.5, kept=0.6)
    np.testing.assert_allclose(plane.density, spread(line.density), atol=1e-5)
    np.testing.assert_allclose(plane.pressure, spread(line.pressure), atol=1e-5)
    np.testing.assert_allclose(plane.velocity[:, :, :1], spread(line.velocity), atol=1e-5)
    assert np.abs(plane.velocity[:, :, 1]).max() < 1e-12


def test_the_order_in_time_is_four() -> None:
    start = smooth(24, 2)
    exact = run(*start, [0.0, 0.2], cfl=0.25)
    coarse, fine = (difference(run(*start, [0.0, 0.2], cfl=cfl), exact) for cfl in (2.0, 1.0))
    assert coarse / fine > 2**3.4


def test_other_grids_give_the_same_points() -> None:
    density, velocity, pressure = smooth(48, 2)
    full = run(density, velocity, pressure, [0.0, 0.1])
    fewer = run(density, velocity, pressure, [0.0, 0.1], points=(24, 16))
    np.testing.assert_allclose(fewer.density, full.density[..., ::2, ::3], atol=1e-12)
    coarse = run(density, velocity, pressure, [0.0, 0.1], grid=(40, 40))
    assert difference(coarse, full) < 1e-3
    np.testing.assert_array_equal(coarse.density[:, 0], density.astype(np.float64))
