"""How far an average rank could be another with other tasks, and with other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from runner.report.statistics.losses import Matrix, level, losses_of, matrix_of, ranks_of

_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Percentile bootstrap intervals of average ranks, by entry: (low, high).

    With fewer than ten tasks or so they are too narrow, as all bootstrap intervals are.

    Attributes:
        level: Of the intervals.
        resamples: Number of bootstrap samples.
        tasks: With tasks drawn again; seeds as they are.
        tasks_and_seeds: With the seeds of each entry on each drawn task drawn again too, and their
            means ranked anew. Single seeds do not spread.
    """

    level: float
    resamples: int
    tasks: Mapping[str, tuple[float, float]]
    tasks_and_seeds: Mapping[str, tuple[float, float]]


def rank_intervals(
    scores: pd.DataFrame,
    directions: Mapping[str, str],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Return intervals of the entries' average ranks.

    Args:
        scores: See `losses_of`.
        directions: See `losses_of`.
        level: Of the intervals, say 0.95.
        resamples: Number of bootstrap samples.
        seed: Of the bootstrap samples.

    Raises:
        ValueError: fewer than two entries or tasks, or something missing.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            "a level between 0 and 1 and a resample or more are needed, "
            f"found {level} and {resamples}"
        )
    losses = losses_of(scores, directions)
    matrix = matrix_of(losses)
    random = np.random.default_rng(seed)
    drawn = random.integers(matrix.shape[1], size=(resamples, matrix.shape[1]))
    entries = list(map(str, losses.index))

    def limits(averages: Matrix) -> dict[str, tuple[float, float]]:
        tail = (1 - level) / 2
        low, high = np.quantile(averages, (tail, 1 - tail), axis=0)
        return {
            entry: (float(one), float(other))
            for entry, one, other in zip(entries, low, high, strict=True)
        }

    counts = np.stack([np.bincount(row, minlength=matrix.shape[1]) for row in drawn])
    over_tasks = limits(counts @ ranks_of(matrix).T / matrix.shape[1])
    values, number = _padded(scores, directions, losses)
    return Intervals(
        level=level,
        resamples=resamples,
        tasks=over_tasks,
        # Without a spread over seeds there is nothing else to draw.
        tasks_and_seeds=limits(_with_seeds(values, number, drawn, random))
        if number.max() > 1
        else over_tasks,
    )


def _padded(
    scores: pd.DataFrame, directions: Mapping[str, str], losses: pd.DataFrame
) -> tuple[Matrix, np.ndarray]:
    """Return values as tasks x entries x seeds, lower is better, and how many seeds there are."""
    row = losses.columns.get_indexer(pd.Index(scores["task"]))
    column = losses.index.get_indexer(pd.Index(scores["entry"]))
    place = scores.groupby(["task", "entry"]).cumcount().to_numpy()
    number = np.zeros(losses.shape[::-1], dtype=int)
    np.add.at(number, (row, column), 1)
    values = np.zeros((*number.shape, int(number.max())))
    sign = scores["task"].map({t: -1.0 if way == "max" else 1.0 for t, way in directions.items()})
    values[row, column, place] = scores["value"].to_numpy(dtype=float) * sign.to_numpy(dtype=float)
    return values, number


def _with_seeds(
    values: Matrix, number: np.ndarray, drawn: np.ndarray, random: np.random.Generator
) -> Matrix:
    """Return average ranks, resamples x entries."""
    tasks, entries, seeds = values.shape
    found = np.empty((len(drawn), entries))
    step = max(1, _AT_ONCE // values.size)
    for start in range(0, len(drawn), step):
        chosen = drawn[start : start + step].ravel()
        count = number[chosen][..., None]
        where = (random.random((len(chosen), entries, seeds)) * count).astype(int)
        taken = np.take_along_axis(values[chosen], where, axis=-1)
        # As many draws as there are seeds; where all are one value the mean is to be that.
        taken = np.where(np.arange(seeds) < count, taken, 0.0)
        means = taken.sum(axis=-1) / count[..., 0]
        ranks = np.asarray(stats.rankdata(level(means), axis=1), dtype=float)
        found[start : start + step] = ranks.reshape(-1, tasks, entries).mean(axis=1)
    return found
