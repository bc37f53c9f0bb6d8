from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

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


def poisson_on_square(x: Array, side: float = 1.0) -> Array:
    """-lap u = 1 with u = 0 around a square, at points `x` of each axis, in units of its side."""
    k = np.arange(1, 1200, 2)
    sines = np.sin(np.pi * k[:, None] * x)
    weight = 16 * side**2 / np.pi**4 / np.outer(k, k) / (k[:, None] ** 2 + k**2)
    return np.einsum("kl,ki,lj->ij", weight, sines, sines, optimize=True)


def in_parts(field: Array, times: int) -> Array:
    return field.repeat(times, axis=-2).repeat(times, axis=-1)


def drawn(samples: int) -> Array:
    return darcy.draw_coefficient(rngs(samples), darcy.RELEASED_POINTS)


class TestDarcy:
    def test_constant_coefficient_converges_to_the_fourier_series(self) -> None:
        errors = []
        for n in (8, 16, 32):
            u = darcy.solve(np.full((1, n, n), 0.1), beta=3.0)[0]
            # u = 0 half a cell outside the unit square.
            true = poisson_on_square(np.arange(1, n + 1) / (n + 1), 1 + 1 / n) * 3.0 / 0.1
            errors.append(relative_error(u, true))
        assert errors[-1] < 1e-3
        orders = np.log2(np.divide(errors[:-1], errors[1:]))
        assert (orders > 1.8).all() and (orders < 2.2).all()

    def test_of_the_equation_itself_the_released_stencil_is_of_first_order(self) -> None:
        for n, off in ((32, 0.109), (64, 0.054), (128, 0.027)):
            true, one = poisson_on_square(cell_centres(n)), np.ones((1, n, n))
            assert relative_error(darcy.solve(one, beta=1.0)[0], true) == pytest.approx(
                off, rel=0.01
            )
            accurate = darcy.solve(one, beta=1.0, scheme="accurate")[0]
            assert relative_error(accurate, true) < 2.4 / n**2

    @pytest.mark.parametrize("points", [128, 32, 16])
    def test_samples_are_off_the_equation_by_what_is_stated(self, points: int) -> None:
        parameters = {"beta": 0.1}
        u = darcy.samples(rngs(12), parameters, points, darcy.TIMES, torch.device("cpu"))["tensor"]
        fine = darcy.solve(in_parts(drawn(12), 3), beta=0.1, scheme="accurate")[:, 1::3, 1::3]
        stride = darcy.RELEASED_POINTS // points
        errors = list(map(relative_error, u[:, 0], fine[:, ::stride, ::stride]))
        stated = darcy.tolerance(parameters, points)
        assert 0.8 * stated < np.mean(errors) <= stated
        assert min(errors) > 0.02 and max(errors) < 0.05

    def test_the_accurate_scheme_resolves_a_tenth_of_that(self) -> None:
        nu = drawn(6)
        accurate = darcy.solve(nu, beta=1.0, scheme="accurate")
        thirds, fifths = (
            darcy.solve(in_parts(nu, n), beta=1.0, scheme="accurate")[:, n // 2 :: n, n // 2 :: n]
            for n in (3, 5)
        )
        assert max(map(relative_error, accurate, fifths)) < 4e-3
        assert max(map(relative_error, thirds, fifths)) < 6e-4
