from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import brentq

from benchmarks.pdebench.solvers import compressible_spectral, finite_volume

Array = npt.NDArray[np.float64]
State = tuple[float, float, float]

GAMMA = 5 / 3


def centres(cells: int, length: float = 1.0) -> Array:
    return length * (np.arange(cells) + 0.5) / cells


def conserved(density: Array, velocity: Array, pressure: Array) -> torch.Tensor:
    """Of `[samples, cells]`, or of arrays that broadcast to it."""
    arrays = np.broadcast_arrays(density, velocity, pressure)
    return finite_volume.conserved(*(torch.tensor(np.atleast_2d(a)) for a in arrays))


def final(
    initial: torch.Tensor, time: float, *, length: float = 1.0, viscosity: float = 0.0
) -> tuple[Array, Array, Array]:
    state = finite_volume.solve(
        initial, length=length, times=np.array([0.0, time]), viscosity=viscosity
    )
    density, velocity, pressure = finite_volume.primitive(state[:, :, 1])
    return density.numpy(), velocity.numpy(), pressure.numpy()


def smooth_flows(cells: int, samples: int = 3, seed: int = 0) -> torch.Tensor:
    """Random flows of a few modes, with shocks after a short time."""
    x = centres(cells)
    values = []
    rng = np.random.default_rng(seed)
    for _ in range(3):
        amplitude, phase = rng.random((2, samples, 3, 1))
        waves = amplitude * np.sin(2 * np.pi * (np.arange(1, 4)[:, None] * x + phase))
        values.append(waves.sum(axis=1))
    return conserved(np.exp(0.3 * values[0]), values[1], 3 * np.exp(0.3 * values[2]))


def riemann(left: State, right: State, speed: Array) -> Array:
    """The exact solution of the Riemann problem, density at x/t (Toro, chapter 4)."""

    def wave(p: float, state: State) -> float:
        density, _, pressure = state
        sound = np.sqrt(GAMMA * pressure / density)
        if p > pressure:
            a, b = 2 / ((GAMMA + 1) * density), (GAMMA - 1) / (GAMMA + 1) * pressure
            return float((p - pressure) * np.sqrt(a / (p + b)))
        power = (p / pressure) ** ((GAMMA - 1) / (2 * GAMMA))
        return float(2 * sound / (GAMMA - 1) * (power - 1))

    p = brentq(lambda p: wave(p, left) + wave(p, right) + right[1] - left[1], 1e-8, 1e3)
    middle = (left[1] + right[1] + wave(p, right) - wave(p, left)) / 2
    result = np.empty_like(speed)
    for (density, velocity, pressure), sign in ((left, 1.0), (right, -1.0)):
        here = sign * (speed - middle) <= 0
        s, v, star_v = sign * speed, sign * velocity, sign * middle
        sound = np.sqrt(GAMMA * pressure / density)
        g = (GAMMA - 1) / (GAMMA + 1)
        if p > pressure:
            ratio = p / pressure
            star = density * (ratio + g) / (g * ratio + 1)
            shock = v - sound * np.sqrt((GAMMA + 1) / (2 * GAMMA) * (ratio - 1) + 1)
            result[here] = np.where(s < shock, density, star)[here]
            continue
        star = density * (p / pressure) ** (1 / GAMMA)
        tail = star_v - np.sqrt(GAMMA * p / star)
        fan = 2 / (GAMMA + 1) + g / sound * (v - s)
        inside = density * np.maximum(fan, 1e-9) ** (2 / (GAMMA - 1))
        result[here] = np.where(s < v - sound, density, np.where(s < tail, inside, star))[here]
    return result


class TestShocks:
    @pytest.mark.parametrize(
        ("left", "right", "time", "bound"),
        [  # densities, velocities, pressures
            ((1.0, 0.0, 1.0), (0.125, 0.0, 0.1), 0.15, 0.008),
            ((1.0, 0.0, 1000.0), (1.0, 0.0, 0.01), 0.008, 0.04),
            ((1.0, -1.5, 0.4), (1.0, 1.5, 0.4), 0.1, 0.03),
        ],
        ids=["sod", "strong shock", "nearly vacuum"],
    )
    def test_riemann_problems(self, left: State, right: State, time: float, bound: float) -> None:
        errors = []
        for cells in (400, 800):
            # The left state around 0, the right one around 1, mirrored so as to be periodic.
            x = centres(cells, 2.0)
            inside = np.abs(x - 1) < 0.5
            density, velocity, pressure = (
                np.where(inside, b, a) for a, b in zip(left, right, strict=True)
            )
            velocity = np.where(x < 1, velocity, -velocity)
            found = final(conserved(density, velocity, pressure), time, length=2.0)
            assert min(found[0].min(), found[2].min()) > 0
            true = riemann(left, right, (x - 0.5) / time)
            near = np.abs(x - 0.5) < 0.3  # where nothing has come from the other end
            errors.append(np.abs(found[0][0] - true)[near].mean() / true[near].mean())
        assert errors[1] < bound
        assert errors[0] > 1.2 * errors[1]

    def test_mass_momentum_and_energy_are_kept(self) -> None:
        initial = smooth_flows(128)
        for viscosity in (0.0, 0.03):
            state = finite_volume.solve(
                initial, length=1.0, times=np.array([0.0, 0.2, 1.0]), viscosity=viscosity
            )
            sums = state.sum(-1)
            scale = state.abs().sum(-1)
            assert ((sums - sums[..., :1]).abs() / scale).max() < 1e-13
            assert (state[:, :, 1] - state[:, :, 0]).abs().max() > 0.1

    def test_the_mirror_image_is_a_solution(self) -> None:
        initial = smooth_flows(128)
        sign = torch.tensor([1.0, -1.0, 1.0])[:, None, None]
        for viscosity in (0.0, 0.03):
            states = [
                finite_volume.solve(
                    start, length=1.0, times=np.array([0.0, 0.4]), viscosity=viscosity
                )[:, :, 1]
                for start in (initial, initial.flip(-1) * sign)
            ]
            torch.testing.assert_close(states[0], states[1].flip(-1) * sign, rtol=1e-9, atol=1e-9)

    def test_noise_keeps_density_and_pressure_positive(self) -> None:
        rng = np.random.default_rng(1)
        shape = (40, 64)
        initial = conserved(
            np.exp(rng.normal(0, 1, shape)),
            rng.normal(0, 1, shape),
            np.exp(rng.normal(0, 1, shape)),
        )
        for viscosity in (0.0, 0.01):
            density, velocity, pressure = final(initial, 0.05, viscosity=viscosity)
            assert density.min() > 0 and pressure.min() > 0 and np.isfinite(velocity).all()


class TestSmoothFlow:
    def test_a_density_wave_is_carried_along_to_second_order(self) -> None:
        errors = []
        for cells in (32, 64, 128):
            edges = np.arange(cells + 1) / cells
            average = -np.diff(np.cos(2 * np.pi * edges)) * cells / (2 * np.pi)
            found = final(conserved(1 + 0.2 * average, 1.0, 1.0), 1.0)
            errors.append(np.abs(found[0][0] - 1 - 0.2 * average).mean())
            np.testing.assert_allclose(found[1], 1, atol=1e-9)
            np.testing.assert_allclose(found[2], 1, atol=1e-9)
        assert errors[0] > 3.5 * errors[1] > 3.5**2 * errors[2]

    @pytest.mark.parametrize("wind", [0.0, 2.0])
    @pytest.mark.parametrize("viscosity", [0.01, 0.2])
    def test_sound_is_damped_at_the_rate_of_linear_theory(
        self, wind: float, viscosity: float
    ) -> None:
        x, time, k, small = centres(256), 0.4, 2 * np.pi, 1e-3
        density, pressure, velocity = 1.4, 1.0, small * np.sin(k * x)
        found = final(conserved(density, wind + velocity, pressure), time, viscosity=viscosity)
        rate = viscosity * k**2 / 2
        frequency = np.sqrt(GAMMA * pressure / density * k**2 - rate**2)
        phase = frequency * time
        wave = small * np.exp(-rate * time) * (np.cos(phase) - rate / frequency * np.sin(phase))
        true = wind + wave * np.sin(k * (x - wind * time))
        assert np.abs(found[1][0] - true).max() < 0.01 * small

    def test_viscous_flow_agrees_with_the_spectral_solver(self) -> None:
        cells, eta, zeta = 512, 0.01, 0.02
        initial = smooth_flows(cells)
        density, velocity, pressure = (a.numpy() for a in finite_volume.primitive(initial))
        true = compressible_spectral.solve(
            density,
            velocity[:, None],
            pressure,
            lengths=[1.0],
            eta=eta,
            zeta=zeta,
            times=np.array([0.0, 0.3]),
            grid=[256],
        )
        found = final(initial, 0.3, viscosity=4 / 3 * eta + zeta)
        for a, b in zip(
            found, (true.density[:, 1], true.velocity[:, 1, 0], true.pressure[:, 1]), strict=True
        ):
            assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(b)


class TestBatches:
    def test_more_frames_hardly_change_the_last_one(self) -> None:
        initial = smooth_flows(256)
        few, many = (
            finite_volume.solve(initial, length=1.0, times=times)[:, :, -1]
            for times in (np.array([0.0, 0.5]), np.linspace(0, 0.5, 26))
        )
        assert (few - many).norm() < 2e-3 * few.norm()

    def test_single_precision_is_enough(self) -> None:
        initial = smooth_flows(256)
        times = np.array([0.0, 0.5])
        double, single = (
            finite_volume.solve(initial.to(kind), length=1.0, times=times)[:, :, 1].double()
            for kind in (torch.float64, torch.float32)
        )
        assert (single - double).norm() < 1e-5 * double.norm()
