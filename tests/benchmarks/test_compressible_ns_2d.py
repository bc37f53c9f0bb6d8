"""The 2-D compressible flows of the generated files: initial conditions, accuracy, requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import compressible_initial_2d, compressible_ns_2d
from benchmarks.pdebench.solvers.compressible_initial_2d import GAMMA
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]

CPU = torch.device("cpu")


def initial(count: int, *, mach: float = 0.1) -> compressible_initial_2d.InitialCondition:
    return compressible_initial_2d.draw(
        [np.random.default_rng([5, i]) for i in range(count)], mach=mach
    )


def test_initial_conditions_have_the_stated_statistics() -> None:
    condition = initial(200)
    x = np.arange(48) / 48
    density, velocity, pressure = condition(x, x)
    plain = ~condition.windowed
    assert 0.4 < plain.mean() < 0.6
    for values in (condition.density, condition.pressure / condition.density):
        assert values.min() > 0.1 and values.max() < 10
        assert values.mean() == pytest.approx(5.05, abs=0.6)
    sound = np.sqrt(GAMMA * condition.pressure / condition.density)
    mean = np.hypot(velocity[:, 0], velocity[:, 1]).mean((1, 2)) / sound
    np.testing.assert_allclose(mean[plain], 0.1, rtol=2e-3)
    assert (mean[~plain] < 0.05).all()
    for values, middle in ((density, condition.density), (pressure, condition.pressure)):
        assert values.min() > 0
        np.testing.assert_allclose(values[plain].mean((1, 2)), middle[plain])
        ratio = np.abs(values / middle[:, None, None] - 1).mean((1, 2))[plain]
        assert ratio.min() > 0.0099 and ratio.max() < 0.2005
        assert ratio.mean() == pytest.approx(0.105, abs=0.02)
        # Outside any window.
        np.testing.assert_allclose(values[~plain, 0, 0], middle[~plain], rtol=1e-6)
    # Only modes with 1 <= |kx|, |ky| <= 4; their mean square is 1 / |k|.
    power = (np.abs(np.fft.fft2(velocity[plain, 0], norm="forward")) ** 2).mean(0)
    power[0, 0] += 1
    assert power[5:-4].max() < 1e-20 and power[0, 1:].max() < 1e-20
    k = np.hypot(*np.meshgrid(np.arange(1, 5), np.arange(1, 5)))
    shape = power[1:5, 1:5] * k
    np.testing.assert_allclose(shape / shape.mean(), 1, atol=0.6)


def test_initial_conditions_depend_on_their_own_generator_only() -> None:
    x, y = np.array([0.2, 0.31]), np.array([0.5, 0.7])
    for alone, among in zip(
        compressible_initial_2d.draw([np.random.default_rng([5, 3])], mach=0.1)(x, y),
        initial(6)(x, y),
        strict=True,
    ):
        np.testing.assert_allclose(alone[0], among[3], rtol=1e-12)


def make(
    seeds: Sequence[int],
    points: int = 32,
    *,
    mach: float = 0.1,
    eta: float = 0.1,
    times: Sequence[float] = (0.0, 1.0),
) -> dict[str, Array]:
    rngs = [np.random.default_rng([5, seed]) for seed in seeds]
    parameters = {"M": mach, "eta": eta, "zeta": eta}
    return compressible_ns_2d.samples(rngs, parameters, points, np.array(times), CPU)


def test_fast_flows_start_on_a_finer_grid() -> None:
    parameters = {"M": 1.0, "eta": 0.01, "zeta": 0.01}
    (first, end), (second, _) = compressible_ns_2d._stages(parameters, 128)
    assert first > second and 0 < end < 1
    assert len(compressible_ns_2d._stages({**parameters, "M": 0.1}, 128)) == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"eta": 1e-8}, "official file"),
        ({"eta": float("nan")}, "official file"),
        ({"mach": 3.0}, "M=3"),
        ({"points": 4}, "points"),
        ({"points": 5000}, "points"),
    ],
)
def test_requests_out_of_range_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        make([0], **changes)
