from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
import torch

from benchmarks.pdebench.solvers import burgers, cell_centres, random_field
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

CPU = torch.device("cpu")

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


@pytest.mark.parametrize("way", [MODES, QUADRATURE])
@pytest.mark.parametrize("time", [0.05, 0.4])
def test_sine_is_coles_series(way: float, time: float) -> None:
    nu = 0.06
    kappa, x = nu / np.pi, cell_centres(96)
    n = np.arange(1, 60)[:, None]
    bessel = scipy.special.ive(np.arange(60), 1 / (4 * np.pi * kappa))
    decayed = 2 * bessel[1:, None] * np.exp(-kappa * (2 * np.pi * n) ** 2 * time)
    phi = bessel[0] + (decayed * np.cos(2 * np.pi * n * x)).sum(axis=0)
    slope = -(decayed * 2 * np.pi * n * np.sin(2 * np.pi * n * x)).sum(axis=0)
    found = burgers.solve(
        lambda y: np.sin(2 * np.pi * y)[None],
        96,
        np.array([time]),
        nu=nu,
        smallest_phi=way,
    )[0, 0]
    assert relative_error(found, -2 * kappa * slope / phi) < 1e-11


@pytest.mark.parametrize("nu", [0.001, 0.01, 0.4])
def test_all_frames_are_those_of_each_alone(nu: float) -> None:
    """A frame that is computed from the one before it is the one computed from the start."""
    field = random_field.draw(rngs(6))
    times = np.arange(201) / 100
    every = burgers.solve(field, 256, times, nu=nu)
    for frame in (1, 2, 50, 117, 200):
        alone = burgers.solve(field, 256, times[[frame]], nu=nu)
        assert relative_error(every[:, frame], alone[:, 0]) < 1e-8


@pytest.mark.parametrize("nu", [0.001, 0.4])
def test_samples_depend_on_neither_batch_nor_points_nor_other_frames(nu: float) -> None:
    times = np.array([0.0, 0.3, 2.0])
    tensor = burgers.samples(rngs(5), {"Nu": nu}, 32, times, CPU)["tensor"]
    assert tensor.shape == (5, 3, 32) and tensor.dtype == np.float64
    np.testing.assert_array_equal(
        tensor[:, 0], random_field.draw(rngs(5))(cell_centres(1024)[::32])
    )

    alone = burgers.samples(rngs(5)[3:4], {"Nu": nu}, 32, times, CPU)["tensor"]
    np.testing.assert_allclose(alone[0], tensor[3], rtol=0, atol=1e-11)
    # Both are points of the released grid.
    finer = burgers.samples(rngs(5), {"Nu": nu}, 128, times, CPU)["tensor"]
    np.testing.assert_allclose(finer[:, :, ::4], tensor, rtol=0, atol=1e-5)
    ends = burgers.samples(rngs(5), {"Nu": nu}, 32, times[[0, 2]], CPU)["tensor"]
    np.testing.assert_allclose(ends, tensor[:, [0, 2]], rtol=0, atol=1e-11)


def test_layout() -> None:
    assert len(burgers.TIMES) == 201 and burgers.TIMES[-1] == 2.0
    assert burgers.coordinates(8).keys() == {"x-coordinate"}
    np.testing.assert_allclose(burgers.coordinates(8)["x-coordinate"], cell_centres(1024)[::128])


@pytest.mark.parametrize(("nu", "time"), [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, -1)])
def test_values_out_of_range_are_refused(nu: float, time: float) -> None:
    with pytest.raises(RequestError, match="Nu > 0"):
        burgers.solve(waves, 16, np.array([time]), nu=nu)
