"""What so many tasks and seeds can show, and how many would be needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.report.statistics.friedman import critical_difference, spread


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a comparison by average ranks can show.

    Attributes:
        alpha: Level of Nemenyi's test.
        probability: With which `shown` is found.
        critical_difference: Observed average ranks must differ by this much.
        shown: True difference of average ranks that is found with that probability.
        largest: Difference of average ranks where one entry is first and one last on all tasks.
    """

    entries: int
    tasks: int
    alpha: float
    probability: float
    critical_difference: float
    shown: float
    largest: float

    @property
    def nothing(self) -> bool:
        """Whether no result at all could tell two entries apart."""
        return self.critical_difference > self.largest


def power(entries: int, tasks: int, *, alpha: float = 0.05, probability: float = 0.8) -> Power:
    """Say what Nemenyi's test can show.

    An observed difference of average ranks is taken as normal with the deviation that it has where
    all entries perform alike. Where some differ it is smaller, so that `shown` errs on the safe
    side.

    Raises:
        ValueError: fewer than two entries, no task, or a level outside of (0, 1).
    """
    difference = critical_difference(entries, tasks, alpha)
    return Power(
        entries=entries,
        tasks=tasks,
        alpha=alpha,
        probability=probability,
        critical_difference=difference,
        shown=difference + float(stats.norm.ppf(probability)) * spread(entries, tasks),
        largest=entries - 1.0,
    )


def tasks_needed(
    entries: int, difference: float, *, alpha: float = 0.05, probability: float = 0.8
) -> int | None:
    """Return how many tasks a true difference of average ranks needs to be found (see `power`).

    None if there is no difference.
    """
    if difference <= 0:
        return None
    # All that `power` says goes with the square root of the number of tasks.
    one = power(entries, 1, alpha=alpha, probability=probability).shown
    return max(1, math.ceil((one / difference) ** 2 * (1 - 1e-12)))


def seeds_needed(
    first: Sequence[float],
    second: Sequence[float],
    *,
    alpha: float = 0.05,
    probability: float = 0.8,
) -> int | None:
    """Return how many seeds of each entry tell two means apart at the spread that is seen.

    By the t test, two-sided, at these means and this spread. Deterministic entries that differ
    need one seed. None if the means are equal or if an entry has a single seed, whose spread is
    not known.

    Args:
        first: Values over the seeds of one entry, on one task.
        second: Of the other.
        alpha: Level.
        probability: With which the test is to find the difference.
    """
    if min(len(first), len(second)) < 2:
        return None
    # Of a size that squares can be taken of, whatever the scale.
    largest = max(map(abs, (*first, *second))) or 1.0
    one, other = np.asarray(first) / largest, np.asarray(second) / largest
    difference = abs(float(one.mean() - other.mean()))
    if difference <= 1e-12:
        return None
    if max(np.ptp(one), np.ptp(other)) == 0:
        return 1
    deviation = math.sqrt((float(one.var(ddof=1)) + float(other.var(ddof=1))) / 2)
    effect = difference / deviation if deviation > 0 else math.inf
    # Closed form of the normal distribution, from below; the t test needs a few more.
    z = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(probability))
    count = max(2, math.floor(2 * (z / effect) ** 2))
    if count > 1000:  # where they agree
        return count + 1
    while _finds(count, effect, alpha) < probability:
        count += 1
    return count


def _finds(seeds: int, effect: float, alpha: float) -> float:
    """Probability that the two-sided t test finds an effect, in deviations."""
    freedom, shift = 2 * (seeds - 1), effect * math.sqrt(seeds / 2)
    limit = float(stats.t.ppf(1 - alpha / 2, freedom))
    if shift > limit + 40:  # beyond what the distribution is computed for
        return 1.0
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))
