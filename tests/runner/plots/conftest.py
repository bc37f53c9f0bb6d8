from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from runner.ledger import Ledger
from runner.usage import Usage
from tests.runner.attempts import attempt_of, cell_of, score_of
from xmft.examples import Examples
from xmft.task import CurvePoint

Add = Callable[..., str]


@pytest.fixture
def add(ledger: Ledger) -> Add:
    """Write a finished cell with curves and predictions, and return its id."""

    def add(
        task: str = "s/a",
        method: str = "nft",
        seed: int = 0,
        value: float = 0.5,
        *,
        curve: Sequence[float] = (),
        first: int = 1,
        truth: npt.NDArray[np.float64] | None = None,
        prediction: npt.NDArray[np.float64] | None = None,
        channels: Sequence[str] = (),
    ) -> str:
        cell = cell_of(task, method, seed)
        scores = [score_of(value), score_of(value, selection="last")]
        ledger.write_attempt(attempt_of(cell, *scores, usage=Usage(cpu_s=3.0, flops=2e12)))
        if curve:
            points = [
                CurvePoint(epoch=epoch, split=split, name=name, value=number * factor)
                for epoch, number in enumerate(curve, first)
                for split, name, factor in (
                    ("val", "nrmse", 1.0), ("val", "rmse", 9.0), ("train", "fitting/loss", 2.0),
                )
            ]  # fmt: skip
            ledger.write_curves(cell.id, points)
        if truth is not None and prediction is not None:
            targets, predictions = truth.astype(np.float32), prediction.astype(np.float32)
            kept = Examples(inputs=targets[:, :1], targets=targets, predictions=predictions)
            ledger.write_examples(cell.id, kept, channels)
        return cell.id

    return add


def waves(*numbers: int, points: int = 32, samples: int = 3) -> npt.NDArray[np.float64]:
    """A sum of sines of height 1, `[samples, 1, points]`."""
    x = np.arange(points) / points
    wave = sum(np.sin(2 * np.pi * number * x) for number in numbers)
    return np.broadcast_to(wave, (samples, 1, points)).copy()
