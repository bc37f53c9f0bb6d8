from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import scipy.stats
import torch

from benchmarks.pdebench.solvers import (
    advection,
    cell_centres,
    darcy,
    diffusion_reaction,
    random_field,
)
from xmft.errors import DataError, RequestError


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


# Of the released fields: from the first to the last of 1024 cell centres.
PERIOD = 1 - 1 / 1024


class TestRandomField:
    def test_without_switches_it_is_the_sum_of_sines(self) -> None:
        field = random_field.draw(rngs(200))
        x = cell_centres(1024)[::16]
        plain = ~field.absolute & ~field.windowed
        total = sum(
            field.amplitude[:, n, None]
            * np.sin(
                2 * np.pi * field.wavenumber[:, n, None] * x / PERIOD + field.phase[:, n, None]
            )
            for n in range(4)
        )
        np.testing.assert_allclose(field(x)[plain], (field.sign[:, None] * total)[plain])

    def test_wavenumbers_are_modes_times_how_often_they_were_drawn(self) -> None:
        wavenumber = random_field.draw(rngs(500)).wavenumber
        times_drawn = wavenumber / np.arange(1, 5)
        assert set(np.unique(times_drawn)) == {0.0, 1.0, 2.0}
        np.testing.assert_array_equal(times_drawn.sum(axis=1), 2)
        # The same mode twice: 4 of the 16 pairs of draws.
        assert (times_drawn == 2).any(axis=1).mean() == pytest.approx(0.25, abs=0.06)

    def test_shares_and_ranges(self) -> None:
        field = random_field.draw(rngs(4000))
        assert field.absolute.mean() == pytest.approx(0.1, abs=0.02)
        assert field.windowed.mean() == pytest.approx(0.1, abs=0.02)
        assert (field.sign == -1).mean() == pytest.approx(0.5, abs=0.04)
        assert field.amplitude.mean() == pytest.approx(0.5, abs=0.02)
        assert field.phase.mean() == pytest.approx(np.pi, abs=0.1)
        # One number says whether there is a window, and where.
        left = field.left[field.windowed]
        assert scipy.stats.kstest(left, scipy.stats.uniform(0.1, 0.035).cdf).pvalue > 0.01
        often = random_field.draw(rngs(4000), share_windowed=0.5)
        left = often.left[often.windowed]
        assert scipy.stats.kstest(left, scipy.stats.uniform(0.1, 0.175).cdf).pvalue > 0.01
        choices = np.corrcoef([field.absolute, field.windowed, field.sign < 0])
        assert np.abs(choices - np.eye(3)).max() < 0.06

    def test_has_period_one(self) -> None:
        field = random_field.draw(rngs(100))
        x = cell_centres(50)
        np.testing.assert_allclose(field(x - 3), field(x), atol=1e-11)

    def test_absolute_fields_keep_one_sign_and_windowed_ones_vanish_outside(self) -> None:
        field = random_field.draw(rngs(300))
        u = field(cell_centres(256))
        assert (u[field.absolute] * field.sign[field.absolute, None] >= 0).all()
        assert np.abs(u[field.windowed][:, [0, -1]]).max() < 1e-6

    def test_windows_are_equally_wide(self) -> None:
        """Seen in the files of the released recipe: 0.4500 in all, to the rounding of float32."""
        field = random_field.draw(rngs(2000), share_windowed=0.5)
        x = cell_centres(8192)
        full = dataclasses.replace(field, windowed=np.zeros(2000, dtype=np.bool_))(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            window = np.where(np.abs(full) > 1e-3, field(x) / full, np.nan)[field.windowed]
        inside = np.where(window >= 0.5, x, np.nan)
        width = np.nanmax(inside, axis=1) - np.nanmin(inside, axis=1)
        assert np.median(width) == pytest.approx(0.45, abs=1e-3)
        assert (width < 0.4505).all()

    def test_the_first_and_the_last_cell_hold_the_same_and_so_does_what_is_between(self) -> None:
        field = random_field.draw(rngs(300))
        x = cell_centres(1024)
        u = field(x)
        # A window has tails of 1e-9 there.
        np.testing.assert_allclose(u[:, 0], u[:, -1], atol=1e-8)
        seam = field(np.linspace(x[-1], 1 + x[0], 7))
        np.testing.assert_allclose(seam, np.tile(u[:, :1], 7), atol=1e-8)


class TestAdvection:
    def test_a_sine_is_shifted(self) -> None:
        x = cell_centres(100)
        u = advection.solve(
            lambda x: np.sin(2 * np.pi * x)[None], x, beta=0.4, times=np.array([0.3, 1.7])
        )
        np.testing.assert_allclose(u[0, 1], np.sin(2 * np.pi * (x - 0.68)), atol=1e-12)

    @pytest.mark.parametrize("beta", [1.0, -2.0])
    def test_whole_turns_bring_the_field_back(self, beta: float) -> None:
        field = random_field.draw(rngs(50))
        x = cell_centres(64)
        turned = advection.solve(field, x, beta=beta, times=np.array([2.0]))
        np.testing.assert_allclose(turned[:, 0], field(x), atol=1e-11)

    def test_windows_move_with_the_field(self) -> None:
        field = random_field.draw(rngs(100))
        field = dataclasses.replace(field, windowed=np.ones(100, dtype=np.bool_))
        u = advection.solve(field, cell_centres(128), beta=0.25, times=np.array([2.0]))
        np.testing.assert_allclose(
            u[:, 0], np.roll(field(cell_centres(128)), 64, axis=1), atol=1e-11
        )


class TestDiffusionReaction:
    def test_constant_fields_follow_the_logistic_equation(self) -> None:
        u0 = np.array([0.0, 1e-3, 0.3, 0.9, 1.0])
        u = diffusion_reaction.solve(np.tile(u0[:, None], 64), nu=0.5, rho=3.0, time=1.0)
        growth = np.exp(3.0)
        true = u0 * growth / (1 - u0 + u0 * growth)
        np.testing.assert_allclose(u, np.tile(true[:, None], 64), atol=1e-12)

    def test_without_reaction_modes_decay_exactly(self) -> None:
        x = cell_centres(64)
        u0 = 0.5 + 0.5 * np.cos(2 * np.pi * 2 * x)[None]
        u = diffusion_reaction.solve(u0, nu=0.01, rho=0.0, time=1.0)
        true = 0.5 + 0.5 * np.exp(-0.01 * (4 * np.pi) ** 2) * np.cos(4 * np.pi * x)
        np.testing.assert_allclose(u[0], true, atol=1e-13)

    def test_small_fields_grow_and_decay_as_the_linearised_equation(self) -> None:
        x = cell_centres(64)
        u0 = 1e-7 * (1 + np.cos(2 * np.pi * x))[None]
        u = diffusion_reaction.solve(u0, nu=0.02, rho=2.0, time=1.0)
        mode = np.exp(-0.02 * 4 * np.pi**2) * np.cos(2 * np.pi * x)
        np.testing.assert_allclose(u[0], 1e-7 * np.exp(2.0) * (1 + mode), rtol=3e-6)

    def test_a_sample_does_not_depend_on_its_batch(self) -> None:
        # The second sample needs more refinements than the first.
        x = cell_centres(512)
        u0 = np.stack([0.5 + 0.1 * np.sin(2 * np.pi * x), (np.abs(x - 0.5) < 0.1) * 1.0])
        both = diffusion_reaction.solve(u0, nu=0.01, rho=5.0, time=1.0)
        for i in range(2):
            alone = diffusion_reaction.solve(u0[i : i + 1], nu=0.01, rho=5.0, time=1.0)
            np.testing.assert_allclose(both[i], alone[0], rtol=1e-12)

    @pytest.mark.parametrize(
        "wrong", [{"nu": 0.0}, {"nu": -1.0}, {"rho": -1.0}, {"time": 0.0}, {"nu": float("nan")}]
    )
    def test_parameters_out_of_range(self, wrong: dict[str, float]) -> None:
        with pytest.raises(RequestError, match="Nu > 0"):
            diffusion_reaction.solve(
                np.zeros((1, 16)), **{"nu": 0.5, "rho": 1.0, "time": 1.0, **wrong}
            )

    def test_an_unreachable_tolerance_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(diffusion_reaction, "LEVELS", 3)
        u0 = random_field.draw(rngs(2))(cell_centres(64)) ** 2 / 16
        with pytest.raises(DataError, match=r"2 of 2 samples with Nu=0\.5"):
            diffusion_reaction.solve(u0, nu=0.5, rho=1.0, time=1.0, tolerance=1e-30)


class TestDarcy:
    def test_agrees_with_fluxes_written_out(self) -> None:
        n = 12
        nu = np.random.default_rng(0).uniform(0.1, 1.0, (n, n))
        u = darcy.solve(nu[None], beta=2.0)[0]
        u_wide = np.pad(u, 1)
        nu_wide = np.pad(nu, 1, mode="edge")
        divergence = np.zeros((n, n))
        for i in range(1, n + 1):
            for j in range(1, n + 1):
                for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    face = (nu_wide[i, j] + nu_wide[a, b]) / 2
                    divergence[i - 1, j - 1] += face * (u_wide[a, b] - u_wide[i, j]) * n**2
        np.testing.assert_allclose(-divergence, 2.0, rtol=1e-6)

    def test_the_accurate_scheme_keeps_the_flux_and_its_zero_on_the_wall(self) -> None:
        n = 16
        nu = np.random.default_rng(0).uniform(0.1, 1.0, (n, n))
        u = darcy.solve(nu[None], beta=2.0, scheme="accurate")[0]
        flux_in = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    own = 0.5 / n / nu[i, j]  # resistance of half a cell
                    if 0 <= a < n and 0 <= b < n:
                        flux_in[i, j] += (u[a, b] - u[i, j]) / (own + 0.5 / n / nu[a, b])
                    else:
                        flux_in[i, j] += (0 - u[i, j]) / own
        np.testing.assert_allclose(-flux_in * n, 2.0, rtol=1e-6)

    def test_a_coefficient_of_any_contrast_is_solved_or_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nu = 10.0 ** np.random.default_rng(1).uniform(-1.5, 1.5, (1, 16, 16))
        for scheme in get_args(darcy.Scheme):
            u = darcy.solve(nu, beta=1.0, scheme=scheme)
            again = darcy.solve(1e3 * nu, beta=1e3, scheme=scheme)
            np.testing.assert_allclose(u, again, rtol=1e-6)
        monkeypatch.setattr(darcy, "MOST_STEPS", 3)
        with pytest.raises(DataError, match=r"relative residual of .*narrow that range"):
            darcy.solve(nu, beta=1.0)

    def test_mirrored_and_turned_coefficients_give_mirrored_and_turned_solutions(self) -> None:
        nu = darcy.draw_coefficient(rngs(4), 24)
        u = darcy.solve(nu, beta=1.0)
        np.testing.assert_allclose(darcy.solve(nu[:, ::-1], beta=1.0), u[:, ::-1], rtol=1e-8)
        np.testing.assert_allclose(
            darcy.solve(nu.transpose(0, 2, 1), beta=1.0), u.transpose(0, 2, 1), rtol=1e-8
        )

    def test_positive_and_linear_in_beta(self) -> None:
        nu = darcy.draw_coefficient(rngs(3), 16)
        u = darcy.solve(nu, beta=1.0)
        assert (u > 0).all()
        np.testing.assert_allclose(darcy.solve(nu, beta=0.01), 0.01 * u)
        np.testing.assert_array_equal(darcy.solve(nu, beta=0.0), 0.0)

    def test_coefficient_has_two_values_in_even_shares(self) -> None:
        nu = darcy.draw_coefficient(rngs(400), 32)
        assert set(np.unique(nu)) == {0.1, 1.0}
        # The mean of the sum is the threshold; its median lies a little lower.
        assert (nu == 1.0).mean() == pytest.approx(0.485, abs=0.04)

    def test_threshold_is_the_expected_sum(self) -> None:
        rng = np.random.default_rng(0)
        spread = 0.5 * rng.random(200_000)
        distance2 = ((rng.random((2, 200_000)) - rng.random((2, 200_000))) ** 2).sum(axis=0)
        assert darcy.threshold() == pytest.approx(5 * np.exp(-distance2 / spread).mean(), rel=0.01)

    def test_coarse_coefficients_are_those_of_the_same_function(self) -> None:
        coarse, fine = (darcy.draw_coefficient(rngs(5), n) for n in (16, 48))
        np.testing.assert_array_equal(coarse, fine[:, 1::3, 1::3])

    def test_a_resolution_is_a_stride_of_the_released_grid(self) -> None:
        whole, *strides = (
            darcy.samples(rngs(3), {"beta": 1.0}, points, darcy.TIMES, torch.device("cpu"))
            for points in (128, 64, 32)
        )
        for every, strided in zip((2, 4), strides, strict=True):
            for name, values in strided.items():
                np.testing.assert_array_equal(values, whole[name][..., ::every, ::every])
        centres = darcy.coordinates(32)["x-coordinate"]
        np.testing.assert_array_equal(centres, cell_centres(128)[::4])
        for wrong in (48, 256):
            with pytest.raises(RequestError, match=f"{wrong} does not divide 128"):
                darcy.coordinates(wrong)

    @pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
    def test_coefficients_must_be_positive(self, wrong: float) -> None:
        nu = np.ones((1, 4, 4))
        nu[0, 1, 2] = wrong
        with pytest.raises(DataError, match="positive and finite"):
            darcy.solve(nu, beta=1.0)
