"""Which two entries differ: Wilcoxon's signed-rank test with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from runner.report.statistics.losses import Matrix, matrix_of, relative

# All signs of so many tasks are tried; with more, ties make p approximate.
_EXACT_TASKS = 13
_EXACT_WITHOUT_TIES = 50
_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two entries compared over the tasks.

    Attributes:
        wins: Tasks on which the first has the lower loss.
        losses: Tasks on which the second has; on the others they tie.
        statistic: The smaller sum of ranks of the signed differences.
        p: Two-sided.
        p_holm: With Holm's correction for all pairs that were compared.
        differs: Whether that is below the level asked for.
    """

    first: str
    second: str
    wins: int
    losses: int
    statistic: float
    p: float
    p_holm: float
    differs: bool


def pairs(
    losses: pd.DataFrame,
    alpha: float = 0.05,
    *,
    against: str | None = None,
    absolute: bool = False,
) -> list[Pair]:
    """Compare entries two by two.

    Where two entries tie on a task the rank of that zero is split evenly between the signs, as
    Demsar (2006) does. p is exact up to 13 tasks, and up to 50 without ties.

    Args:
        losses: Entries x tasks, lower is better.
        alpha: Level.
        against: Compare this entry with each other one, instead of all pairs.
        absolute: Rank the differences of the losses themselves. Otherwise they are relative ones
            (see `relative`), for errors on tasks may differ by orders of magnitude.

    Raises:
        ValueError: fewer than two entries or tasks, a value that is not finite, or an entry that
            is not there.
    """
    matrix = matrix_of(losses)
    entries = list(map(str, losses.index))
    if against is None:
        first, second = np.triu_indices(len(entries), 1)
    elif against in entries:
        second = np.array([i for i, entry in enumerate(entries) if entry != against])
        first = np.full_like(second, entries.index(against))
    else:
        raise ValueError(f"there is no entry {against} to compare with")
    one, other = matrix[first], matrix[second]
    differences = one - other if absolute else relative(one, other)
    statistic, p = _signed_rank(differences)
    corrected = holm(p)
    return [
        Pair(
            first=entries[i],
            second=entries[j],
            wins=int(won),
            losses=int(lost),
            statistic=float(s),
            p=float(single),
            p_holm=float(held),
            differs=bool(held < alpha),
        )
        for i, j, won, lost, s, single, held in zip(
            first,
            second,
            (differences < 0).sum(axis=1),
            (differences > 0).sum(axis=1),
            statistic,
            p,
            corrected,
            strict=True,
        )
    ]


def smallest_p(tasks: int) -> float:
    """Return the smallest p that the signed-rank test can have with so many tasks."""
    return min(1.0, 2.0 ** (1 - tasks))


def holm(p: Sequence[float] | Matrix) -> Matrix:
    """Return p values corrected by Holm's step-down procedure (1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty_like(values)
    found[order] = np.minimum(steps, 1)
    return found


def _signed_rank(differences: Matrix) -> tuple[Matrix, Matrix]:
    """Return the statistic and p of each row."""
    n = differences.shape[1]
    size = np.abs(differences)
    ranks = np.asarray(stats.rankdata(size, axis=1), dtype=float)
    free = np.where(differences == 0, 0.0, ranks)
    half = (ranks - free).sum(axis=1) / 2
    plus = (free * (differences > 0)).sum(axis=1) + half
    statistic = np.minimum(plus, ranks.sum(axis=1) - plus)
    if n <= _EXACT_TASKS:
        return statistic, _by_all_signs(free, plus - half)
    ordered = np.sort(size, axis=1)
    tied = ((ordered[:, :-1] == ordered[:, 1:]).any(axis=1)) | (ordered[:, 0] == 0)
    p = np.ones(len(differences))
    exact = ~tied if n <= _EXACT_WITHOUT_TIES else np.zeros_like(tied)
    if exact.any():
        p[exact] = stats.wilcoxon(differences[exact], method="exact", axis=1).pvalue
    if not exact.all():
        p[~exact] = stats.wilcoxon(
            differences[~exact], zero_method="zsplit", correction=True, method="approx", axis=1
        ).pvalue
    return statistic, p


def _by_all_signs(ranks: Matrix, plus: Matrix) -> Matrix:
    """Return p of rows of ranks (0 for ties of the entries): their signs are all tried."""
    n = ranks.shape[1]
    signs = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    p = np.empty(len(ranks))
    step = max(1, _AT_ONCE // len(signs))
    for start in range(0, len(ranks), step):
        part = slice(start, start + step)
        sums = ranks[part] @ signs.T  # multiples of a half: exact
        more = (sums >= plus[part, None]).mean(axis=1)
        less = (sums <= plus[part, None]).mean(axis=1)
        p[part] = np.minimum(1, 2 * np.minimum(more, less))
    return p
