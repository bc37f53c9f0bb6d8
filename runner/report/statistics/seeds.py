"""Which entries the seeds of one task cannot tell from the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from runner.report.statistics.losses import level
from runner.report.statistics.pairs import holm


def not_worse(
    values: Mapping[str, Sequence[float]], direction: str, alpha: float = 0.05
) -> set[str]:
    """Return the best entries of a task and those that are not significantly worse.

    Each entry is compared with the one of the best mean by Welch's t test, one-sided, with Holm's
    correction over all that can be tested. Where neither of two entries varies over its seeds any
    difference counts. A single seed says nothing about chance: an entry with one, and all entries
    where the best has one, are not on the list unless their means tie with the best.

    The best was chosen by these very values, which favours it a little.

    Args:
        values: Of each entry over its seeds.
        direction: `min` or `max`.
        alpha: Level.

    Raises:
        ValueError: no value for an entry, one that is not finite, or an unknown direction.
    """
    if direction not in ("min", "max"):
        raise ValueError(f"a task's direction is min or max, not {direction}")
    for entry, own in values.items():
        if not len(own) or not np.isfinite(own).all():
            raise ValueError(f"{entry} has no value, or one that is not finite")
    if not values:
        return set()
    entries = list(values)
    # Of a size that squares can be taken of, whatever the scale.
    largest = max(float(np.abs(own).max()) for own in values.values()) or 1.0
    scale = -largest if direction == "max" else largest
    scaled = [np.asarray(values[entry], dtype=float) / scale for entry in entries]
    count = np.array(list(map(len, scaled)))
    mean = level(np.array([math.fsum(own) / len(own) for own in scaled]))
    # Of equal values the deviation may be not zero.
    std = np.array([float(np.std(own, ddof=1)) if np.ptp(own) else 0.0 for own in scaled])
    best = min(range(len(entries)), key=lambda i: (mean[i], -count[i]))
    ties = mean == mean[best]
    others = np.flatnonzero((count > 1) & (count[best] > 1) & ~ties)
    p = np.zeros(len(others))
    vary = (std[others] > 0) | (std[best] > 0)
    rows = others[vary]
    if len(rows):
        p[vary] = stats.ttest_ind_from_stats(
            mean[rows],
            std[rows],
            count[rows],
            mean[best],
            std[best],
            count[best],
            equal_var=False,
            alternative="greater",
        ).pvalue
    alike = others[holm(p) >= alpha] if len(others) else others
    return {entries[i] for i in (*np.flatnonzero(ties), *alike)}
