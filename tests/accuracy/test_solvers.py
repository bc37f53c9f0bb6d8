from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.pdebench.solvers import (
    cell_centres,
    darcy,
    diffusion_reaction,
    random_field,
)

Array = npt.NDArray[np.float64]


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


def relative_error(found: Array, true: Array) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


class TestDiffusionReaction:
    def test_agrees_with_a_general_integrator(self) -> None:
        from scipy.integrate import solve_ivp

        n, nu, rho = 48, 0.05, 4.0
        x = cell_centres(n)
        u0 = 0.5 + 0.3 * np.sin(2 * np.pi * x) + 0.2 * np.cos(6 * np.pi * x)
        k2 = (2 * np.pi * np.fft.rfftfreq(n, 1 / n)) ** 2

        def slope(_: float, u: Array) -> Array:
            return nu * np.fft.irfft(-k2 * np.fft.rfft(u), n) + rho * u * (1 - u)

        true = solve_ivp(slope, (0, 0.5), u0, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        u = diffusion_reaction.solve(u0[None], nu=nu, rho=rho, time=0.5)
        assert relative_error(u[0], true) < 1e-6

    @pytest.mark.parametrize(("nu", "rho"), [(0.5, 1.0), (0.5, 10.0), (5.0, 1.0)])
    def test_the_tolerance_is_met_on_random_fields(self, nu: float, rho: float) -> None:
        u0 = random_field.draw(rngs(24))(cell_centres(4096))
        u0 -= u0.min(axis=1, keepdims=True)
        u0 /= u0.max(axis=1, keepdims=True)
        u = diffusion_reaction.solve(u0, nu=nu, rho=rho, time=1.0)
        finer = diffusion_reaction.solve(u0, nu=nu, rho=rho, time=1.0, tolerance=1e-9)
        assert max(map(relative_error, u, finer)) < diffusion_reaction.TOLERANCE


def poisson_on_square(points: int, side: float) -> Array:
    """-lap u = 1 with u = 0 around a square, at `points` equally spaced inner points per axis."""
    k = np.arange(1, 400, 2)
    x = np.arange(1, points + 1) / (points + 1)
    sines = np.sin(np.pi * k[:, None] * x)
    weight = 16 * side**2 / np.pi**4 / np.outer(k, k) / (k[:, None] ** 2 + k**2)
    return np.einsum("kl,ki,lj->ij", weight, sines, sines, optimize=True)


class TestDarcy:
    def test_constant_coefficient_converges_to_the_fourier_series(self) -> None:
        errors = []
        for n in (8, 16, 32):
            u = darcy.solve(np.full((1, n, n), 0.1), beta=3.0)[0]
            # u = 0 half a cell outside the unit square.
            true = poisson_on_square(n, 1 + 1 / n) * 3.0 / 0.1
            errors.append(relative_error(u, true))
        assert errors[-1] < 1e-3
        orders = np.log2(np.divide(errors[:-1], errors[1:]))
        assert (orders > 1.8).all() and (orders < 2.2).all()
