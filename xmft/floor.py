"""The error floor: what a perfect solver would score on the test data, which are not exact.

Targets that a solver computed have an error of their own, and a model that predicts the exact
solution is charged with it. So the floor is a score, in the metric that ranks the task: the error
divided by the norm of the data, as that metric does, not by that of the solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from xmft.errors import DataError
from xmft.metrics import METRICS
from xmft.task import TaskData

CONSTANT_METRIC = "nrmse"
"""What `TaskData.floor` is a value of."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a perfect solver scores.

    Attributes:
        score: In the metric that ranks the task, over the test split.
        note: Where it comes from, for people.
        median: Of the scores of the samples; None where the floor was measured on others.
        largest: Likewise.
        samples: Likewise, how many.
    """

    score: float
    note: str
    median: float | None = None
    largest: float | None = None
    samples: int | None = None


def floor_of(data: TaskData) -> Floor | None:
    """Return the error floor of a task's test data; None: not known.

    Raises:
        DataError: `data.perfect` is not shaped like the targets.
    """
    metric = METRICS[data.task.metrics[0]]
    if data.perfect is None:
        if data.floor is None or metric.name != CONSTANT_METRIC:
            return None
        return Floor(score=data.floor, note=data.floor_note)
    exact, stored = np.asarray(data.perfect), np.asarray(data.test.targets)
    found, wanted = exact.shape, stored.shape
    if found != wanted:
        raise DataError(
            f"{data.task.name}: the perfect predictions have the shape {found}, the targets of "
            f"the test {wanted}; give one for each test sample."
        )
    predictions, targets = (torch.from_numpy(np.array(values)) for values in (exact, stored))
    score = metric.score(predictions, targets)
    if score is None:
        return None
    each = metric.statistics(predictions, targets).double().reshape(len(targets), -1).mean(dim=1)
    return Floor(
        score=score,
        note=data.floor_note,
        median=each.quantile(0.5).item(),
        largest=each.max().item(),
        samples=len(each),
    )
