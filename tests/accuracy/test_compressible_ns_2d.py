"""The 2-D compressible flows of the generated files: initial conditions, accuracy, requests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import compressible_ns_2d

Array = npt.NDArray[np.float64]

CPU = torch.device("cpu")


def relative(a: dict[str, Array], b: dict[str, Array]) -> Array:
    """Relative L2 distance of the last frames, all channels together, per sample."""
    names = ("density", "pressure", "Vx", "Vy")
    x, y = (np.stack([data[name][:, -1] for name in names], axis=1) for data in (a, b))
    axes = (1, 2, 3)
    return np.sqrt(((x - y) ** 2).sum(axes) / (y**2).sum(axes))


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


def test_samples_are_within_the_stated_tolerance_of_a_finer_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got = make([1, 2])
    monkeypatch.setattr(compressible_ns_2d, "_stages", lambda parameters, points: [(108, 1.0)])
    errors = relative(got, make([1, 2]))
    assert errors.mean() < compressible_ns_2d.tolerance({"M": 0.1, "eta": 0.1, "zeta": 0.1}, 32)


def test_a_finer_grid_at_first_leaves_the_frames_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = make([3], 16, times=(0.0, 0.01, 0.02, 0.1))
    stages = [(96, 0.02), (80, 1.0)]
    monkeypatch.setattr(compressible_ns_2d, "_stages", lambda parameters, points: stages)
    for times in ((0.0, 0.01, 0.02, 0.1), (0.0, 0.1), (0.0, 0.01)):
        staged = make([3], 16, times=times)
        for name, values in staged.items():
            frames = np.isin((0.0, 0.01, 0.02, 0.1), times)
            assert values.shape == (1, len(times), 16, 16)
            np.testing.assert_allclose(values, plain[name][:, frames], rtol=5e-3, atol=5e-3)


def test_samples_are_the_same_function_at_every_resolution() -> None:
    # Both are cells of the released grid.
    fine = {
        name: values[:, :, ::2, ::2] for name, values in make([2], 32, times=(0.0, 0.3)).items()
    }
    coarse = make([2], 16, times=(0.0, 0.3))
    np.testing.assert_allclose(coarse["Vy"][:, 0], fine["Vy"][:, 0], atol=1e-12)
    assert relative(coarse, fine).max() < 1e-3
    np.testing.assert_allclose(
        compressible_ns_2d.coordinates(16)["y-coordinate"],
        compressible_ns_2d.coordinates(32)["x-coordinate"][::2],
    )


def test_samples_depend_neither_on_their_batch_nor_on_the_frames_asked_for() -> None:
    together, alone = make([0, 1]), make([1], times=(0.0, 0.1, 1.0))
    assert together["Vx"].shape == (2, 2, 32, 32)
    assert relative({k: v[1:] for k, v in together.items()}, alone)[0] < 2e-5
    np.testing.assert_array_equal(together["density"][1, 0], alone["density"][0, 0])
