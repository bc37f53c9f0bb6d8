from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import compressible_initial_1d, compressible_ns_1d
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

NEARLY_INVISCID = {"eta": 1e-8, "zeta": 1e-8}

CPU = torch.device("cpu")
ENDS = np.array([0.0, 1.0])


def rngs(samples: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(samples)]


def stacked(arrays: dict[str, Array]) -> Array:
    """`[samples, frames, points, 3]`."""
    return np.stack([arrays[name] for name in ("density", "pressure", "Vx")], axis=-1)


class TestInitialStates:
    def test_ranges_are_those_that_were_drawn(self) -> None:
        state = compressible_initial_1d.draw(rngs(500))
        density, pressure, velocity = state.sampled(64)
        for field, low, m, b in zip(
            (density, pressure), (1.0, 10.0), state.slope.T, state.offset.T, strict=True
        ):
            assert field.shape == (500, 64, 64)
            np.testing.assert_allclose(field.min(axis=(1, 2)), b)
            np.testing.assert_allclose(field.max(axis=(1, 2)), m + b)
            for drawn in (m, b):
                assert drawn.min() >= low and drawn.max() <= 10 * low
                # log-uniform
                assert np.log10(drawn / low).mean() == pytest.approx(0.5, abs=0.05)
                assert np.log10(drawn / low).std() == pytest.approx(12**-0.5, abs=0.03)
        np.testing.assert_array_equal(
            velocity.reshape(500, -1), state.fields[2](-1 + (np.arange(4096) + 0.5) / 2048)
        )

    def test_fields_have_modes_to_three_and_often_a_window_and_period_two(self) -> None:
        x = np.random.default_rng(1).uniform(-1, 1, 50)
        for field in compressible_initial_1d.draw(rngs(500)).fields:
            assert field.amplitude.shape == (500, 3)
            assert set(np.unique(field.wavenumber)) <= {0.0, 1.0, 2.0, 3.0, 4.0, 6.0}
            assert field.windowed.mean() == pytest.approx(0.5, abs=0.07)
            np.testing.assert_allclose(field(x + 2), field(x), atol=1e-11)
            # Mode n has n periods on the domain.
            lowest = (field.wavenumber.max(1) == 2) & ~field.windowed & ~field.absolute
            # To the seam of one cell of 1024 that repeats its neighbour.
            u = field(-1 + (np.arange(64) + 0.5) / 32)[lowest]
            power = np.abs(np.fft.rfft(u)) ** 2
            assert power[:, 3:].max() < 1e-5 * power.max()
            # Between 0.1 and 0.9, as on the unit interval.
            assert np.abs(field(np.array([-0.9, 0.0, 0.97]))[field.windowed]).max() < 1e-6

    def test_the_three_fields_are_independent(self) -> None:
        fields = compressible_initial_1d.draw(rngs(1000)).fields
        phases = np.concatenate([field.phase for field in fields], axis=1)
        assert np.abs(np.corrcoef(phases.T) - np.eye(9)).max() < 0.12


class TestSamples:
    def test_datasets_of_the_released_layout(self) -> None:
        times = compressible_ns_1d.TIMES[[0, 5, 10]]
        arrays = compressible_ns_1d.samples(rngs(3), NEARLY_INVISCID, 128, times, CPU)
        assert list(arrays) == ["density", "pressure", "Vx"]
        for values in arrays.values():
            assert values.shape == (3, 3, 128) and values.dtype == np.float64
            assert np.isfinite(values).all()
        assert arrays["density"].min() > 0 and arrays["pressure"].min() > 0
        # Every eighth cell of the released grid, not the averages of eight.
        density, _, _ = compressible_initial_1d.draw(rngs(3)).sampled(1024)
        np.testing.assert_allclose(arrays["density"][:, 0], density.mean(-1)[:, ::8], rtol=1e-6)
        np.testing.assert_allclose(
            compressible_ns_1d.coordinates(4)["x-coordinate"],
            np.array([-1, -0.5, 0, 0.5]) + 1 / 1024,
        )
        assert len(compressible_ns_1d.TIMES) == 101 and compressible_ns_1d.TIMES[-1] == 1

    def test_a_sample_does_not_depend_on_the_others(self) -> None:
        together = stacked(
            compressible_ns_1d.samples(
                rngs(5), NEARLY_INVISCID, 64, ENDS / 5, CPU, cells_per_point=2
            )
        )
        alone = stacked(
            compressible_ns_1d.samples(
                rngs(5)[3:4], NEARLY_INVISCID, 64, ENDS / 5, CPU, cells_per_point=2
            )
        )
        np.testing.assert_allclose(together[3:4], alone, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("parameters", [{"eta": -1.0, "zeta": 0.1}, {"eta": 0.1, "zeta": -1.0}])
    def test_negative_viscosities_are_refused(self, parameters: dict[str, float]) -> None:
        with pytest.raises(RequestError, match="not below zero"):
            compressible_ns_1d.samples(rngs(1), parameters, 64, ENDS, CPU)


class TestTolerance:
    def test_it_is_below_the_error_of_the_released_file(self) -> None:
        assert compressible_ns_1d.tolerance(NEARLY_INVISCID, 1024) < 5e-3
        for eta in (1e-8, 1e-3, 0.01, 0.1, 1.0):
            parameters = {"eta": eta, "zeta": eta}
            tolerances = [compressible_ns_1d.tolerance(parameters, n) for n in (16, 256, 1000)]
            assert all(1e-5 < tolerance < 5e-3 for tolerance in tolerances)
