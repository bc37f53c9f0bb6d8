from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.pdebench.solvers import finite_volume
from xmft.errors import DataError, RequestError

Array = npt.NDArray[np.float64]


def centres(cells: int, length: float = 1.0) -> Array:
    return length * (np.arange(cells) + 0.5) / cells


def conserved(density: Array, velocity: Array, pressure: Array) -> torch.Tensor:
    """Of `[samples, cells]`, or of arrays that broadcast to it."""
    arrays = np.broadcast_arrays(density, velocity, pressure)
    return finite_volume.conserved(*(torch.tensor(np.atleast_2d(a)) for a in arrays))


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


class TestBatches:
    @pytest.mark.parametrize("viscosity", [0.0, 0.02])
    def test_a_sample_does_not_depend_on_the_others(
        self, viscosity: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        initial = smooth_flows(64, samples=7)
        times = np.array([0.0, 0.05, 0.4])
        solve = finite_volume.solve
        alone = torch.cat(
            [
                solve(initial[:, i : i + 1], length=1.0, times=times, viscosity=viscosity)
                for i in range(7)
            ],
            dim=1,
        )
        # All at once, and three at once with others taking the places of the finished.
        for at_once in (7, 3):
            monkeypatch.setattr(finite_volume, "CPU_CELLS", 64 * at_once)
            together = solve(initial, length=1.0, times=times, viscosity=viscosity)
            torch.testing.assert_close(together, alone, rtol=1e-11, atol=1e-11)

    def test_points_are_averages_of_cells(self) -> None:
        initial = smooth_flows(64)
        times = np.array([0.0, 0.1])
        fine = finite_volume.solve(initial, length=1.0, times=times)
        coarse = finite_volume.solve(initial, length=1.0, times=times, points=16)
        torch.testing.assert_close(coarse, fine.unflatten(-1, (16, 4)).mean(-1))


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"viscosity": -1.0}, "viscosity"),
            ({"viscosity": float("nan")}, "viscosity"),
            ({"length": 0.0}, "length"),
            ({"cfl": 1.5}, "CFL"),
            ({"times": np.array([0.1, 0.2])}, "Times"),
            ({"times": np.array([0.0, 0.2, 0.2])}, "Times"),
            ({"points": 5}, "5 points"),
        ],
    )
    def test_wrong_arguments(self, wrong: dict[str, object], message: str) -> None:
        arguments = {"length": 1.0, "times": np.array([0.0, 0.1]), **wrong}
        with pytest.raises(RequestError, match=message):
            finite_volume.solve(smooth_flows(16), **arguments)  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [-1.0, float("nan")])
    def test_a_state_that_is_no_gas(self, value: float) -> None:
        initial = smooth_flows(16)
        initial[2, 1, 3] = value
        with pytest.raises(DataError, match="sample 1 of the batch, time 0"):
            finite_volume.solve(initial, length=1.0, times=np.array([0.0, 0.1]))
