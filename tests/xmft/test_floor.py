from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xmft.errors import DataError
from xmft.floor import Floor, floor_of
from xmft.metrics import METRICS
from xmft.task import TaskData

RNG = np.random.default_rng(0)
FIELDS = RNG.normal(size=(12, 2, 8)).astype(np.float32)


def data(**options: Any) -> TaskData:
    fields = FIELDS * np.array([1, 100], np.float32)[:, None]
    return TaskData.from_arrays(
        "toy/fields", train=(fields, fields), test=(fields, fields), **options
    )


def test_a_perfect_prediction_is_scored_by_the_metric_that_ranks() -> None:
    for metric, score in (("nrmse", 0.1 / 2**0.5), ("nrmse_pdebench", 0.1 / 2)):
        task = data(metrics=(metric,))
        # One channel in two is off by a tenth; with fields of one size for both of them.
        targets = np.ones_like(FIELDS)
        exact = targets.copy()
        exact[:, 1] *= 1.1
        test = replace(task.test, targets=targets)
        found = floor_of(replace(task, test=test, perfect=exact, floor=9.0, floor_note="so"))
        assert found is not None and found.note == "so"
        assert found.score == pytest.approx(score, rel=1e-5)
        assert (found.median, found.largest) == pytest.approx((score, score), rel=1e-5)
        assert found.samples == 12


def test_the_spread_is_that_of_the_samples() -> None:
    task = data()
    size = np.array([0.0, 0.01, 0.02, *[0.03] * 8, 0.9], np.float32)[:, None, None]
    exact = np.asarray(task.test.targets) * (1 + size)
    found = floor_of(replace(task, perfect=exact))
    assert found is not None
    assert found.score == pytest.approx(size.mean(), rel=1e-5)
    assert found.median == pytest.approx(0.03, rel=1e-5)
    assert found.largest == pytest.approx(0.9, rel=1e-5)


def test_a_constant_is_one_of_nrmse_and_of_no_other_metric() -> None:
    assert floor_of(replace(data(), floor=0.5, floor_note="so")) == Floor(score=0.5, note="so")
    other = next(name for name in ("rmse", "nrmse_pdebench") if name in METRICS)
    assert floor_of(replace(data(metrics=(other, "nrmse")), floor=0.5)) is None
    assert floor_of(data()) is None


def test_predictions_for_other_samples_are_refused() -> None:
    with pytest.raises(DataError, match=r"have the shape \(11, 2, 8\), .* \(12, 2, 8\)"):
        floor_of(replace(data(), perfect=FIELDS[1:]))
