"""Do the entries differ at all, and which by enough (Demsar 2006, JMLR 7, sections 3.2.2-3.2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from runner.report.statistics.losses import matrix_of, ranks_of


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Friedman's test that all entries perform alike, and Iman and Davenport's F beside it.

    Attributes:
        entries: Number of entries.
        tasks: Number of tasks.
        chi2: Friedman's statistic, corrected for ties; 0 if all entries tie everywhere.
        p: Of `chi2` with `entries - 1` degrees of freedom. Two entries: of the exact sign test,
            for chi2's is too small there.
        f: Iman and Davenport's statistic (1980); infinite if all tasks rank the entries alike.
        f_p: Its p with `entries - 1` and `(entries - 1) * (tasks - 1)` degrees of freedom. With few
            tasks it is too small.
        tie_correction: What chi2 was divided by; 1 without ties, 0 where all tie.
    """

    entries: int
    tasks: int
    chi2: float
    p: float
    f: float
    f_p: float
    tie_correction: float

    @property
    def freedom(self) -> int:
        """Degrees of freedom of chi2."""
        return self.entries - 1


def friedman(losses: pd.DataFrame) -> Friedman:
    """Test whether all entries perform alike over the tasks.

    Args:
        losses: Entries x tasks, lower is better.

    Raises:
        ValueError: fewer than two entries or tasks, or a value that is not finite.
    """
    matrix = matrix_of(losses)
    k, n = matrix.shape
    ranks = ranks_of(matrix)
    ties = sum(float((c**3 - c).sum()) for c in map(_counts, ranks.T))
    correction = 1 - ties / (k * (k**2 - 1) * n)
    if correction <= 0:  # all tie on all tasks
        chi2, p = 0.0, 1.0
    elif k == 2:  # scipy wants three
        lost = ranks[0] - ranks[1]
        wins, losses_ = int((lost < 0).sum()), int((lost > 0).sum())
        chi2 = float((wins - losses_) ** 2 / (wins + losses_))
        p = float(stats.binomtest(wins, wins + losses_).pvalue)
    else:
        found = stats.friedmanchisquare(*matrix)
        chi2, p = float(found.statistic), float(found.pvalue)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 * n * k else np.inf
    return Friedman(
        entries=k,
        tasks=n,
        chi2=chi2,
        p=p,
        f=float(f),
        f_p=float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))),
        tie_correction=max(correction, 0.0),
    )


@lru_cache(maxsize=256)
def critical_difference(entries: int, tasks: int, alpha: float = 0.05) -> float:
    """Return by how much average ranks must differ to be told apart by Nemenyi's test.

    Raises:
        ValueError: fewer than two entries, no task, or a level outside of (0, 1).
    """
    if entries < 2 or tasks < 1 or not 0 < alpha < 1:
        raise ValueError(
            "two entries or more, a task or more and a level between 0 and 1 are needed, "
            f"found {entries}, {tasks} and {alpha}"
        )
    return (
        float(stats.studentized_range.ppf(1 - alpha, entries, np.inf))
        * spread(entries, tasks)
        / float(np.sqrt(2))
    )


def spread(entries: int, tasks: int) -> float:
    """Standard deviation of the difference of two average ranks where all perform alike."""
    return float(np.sqrt(entries * (entries + 1) / (6 * tasks)))


def cliques(average_rank: Mapping[str, float], difference: float) -> list[tuple[str, ...]]:
    """Return the largest groups of entries that cannot be told apart, the best first.

    Args:
        average_rank: By entry.
        difference: Average ranks that differ by this much or more are told apart.
    """
    entries = sorted(average_rank, key=lambda entry: (average_rank[entry], entry))
    found: list[tuple[str, ...]] = []
    end = 0
    for start, first in enumerate(entries):
        reached = end
        while end < len(entries) and average_rank[entries[end]] - average_rank[first] < difference:
            end += 1
        if end > reached and end - start > 1:  # otherwise it is within the one before
            found.append(tuple(entries[start:end]))
    return found


def nemenyi(losses: pd.DataFrame) -> pd.DataFrame:
    """Return p of Nemenyi's test for each pair, entries x entries, 1 on the diagonal.

    Raises:
        ValueError: fewer than two entries or tasks, or a value that is not finite.
    """
    matrix = matrix_of(losses)
    k, n = matrix.shape
    means = ranks_of(matrix).mean(axis=1)
    first, second = np.triu_indices(k, 1)
    q = np.abs(means[first] - means[second]) / spread(k, n) * np.sqrt(2)
    # Pairs share their differences, which are multiples of 1 / (2 n).
    unique, where = np.unique(np.round(q, 12), return_inverse=True)
    p = np.ones((k, k))
    p[first, second] = p[second, first] = np.clip(
        stats.studentized_range.sf(unique, k, np.inf), 0, 1
    )[where]
    return pd.DataFrame(p, index=losses.index, columns=losses.index)


def _counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1]
