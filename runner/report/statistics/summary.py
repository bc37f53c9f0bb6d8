"""All that can be said of one dense board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import pandas as pd

from runner.report.statistics.bayes import Bayesian, bayesian
from runner.report.statistics.friedman import Friedman, cliques, friedman
from runner.report.statistics.intervals import Intervals, rank_intervals
from runner.report.statistics.losses import average_ranks, losses_of
from runner.report.statistics.pairs import Pair, pairs
from runner.report.statistics.power import Power, power, seeds_needed, tasks_needed
from runner.report.statistics.seeds import not_worse
from runner.report.statistics.shares import normalised, win_rates

# More entries are compared with the best alone: nobody reads 20,000 pairs, and the correction for
# so many leaves none that differ.
_MOST_PAIRED = 30


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the statistics say of a board; what cannot be said is None or empty.

    Attributes:
        tasks: Their names.
        seeds: Fewest and most seeds that an entry has on a task.
        alpha: Level of all tests.
        average_rank: By entry, the best first.
        win_rate: By entry; empty with one entry.
        normalised: By entry; likewise.
        not_worse: By task, the best entries and those not significantly worse.
        friedman: None with one task or one entry, as are those that follow.
        power: What Nemenyi's test can show.
        cliques: Groups of entries that Nemenyi's test cannot tell apart.
        pairs: All of them, or with more than 30 entries those with the best; likely fewer differ
            than seem to by average ranks.
        bayesian: Of the first two entries.
        intervals: Of the average ranks.
        tasks_needed: To find the difference of the first two entries; None if they tie.
        seeds_needed: Likewise, by task where it can be said.
    """

    tasks: tuple[str, ...]
    seeds: tuple[int, int]
    alpha: float
    average_rank: Mapping[str, float]
    win_rate: Mapping[str, float]
    normalised: Mapping[str, float]
    not_worse: Mapping[str, frozenset[str]]
    friedman: Friedman | None = None
    power: Power | None = None
    cliques: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[Pair, ...] = ()
    bayesian: Bayesian | None = None
    intervals: Intervals | None = None
    tasks_needed: int | None = None
    seeds_needed: Mapping[str, int | None]

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries, the best average rank first."""
        return tuple(self.average_rank)

    @property
    def critical_difference(self) -> float | None:
        """By how much average ranks must differ to be told apart; None where nothing is tested."""
        return None if self.power is None else self.power.critical_difference

    def sentences(self) -> list[str]:
        """Say it in plain words, one thing a sentence, what cannot be said included."""
        from runner.report.statistics.sentences import sentences

        return sentences(self)


class _OverTasks(TypedDict, total=False):
    friedman: Friedman
    power: Power
    cliques: tuple[tuple[str, ...], ...]
    pairs: tuple[Pair, ...]
    bayesian: Bayesian
    tasks_needed: int | None


def summary(
    scores: pd.DataFrame,
    directions: Mapping[str, str],
    *,
    alpha: float = 0.05,
    rope: float = 0.01,
    resamples: int = 2000,
) -> Summary:
    """Say all that can be said of entries that have all tasks.

    One entry, one task, ties everywhere and even no entry are boards too, of which less is said.

    Args:
        scores: See `losses_of`.
        directions: See `losses_of`.
        alpha: Level of all tests; the intervals have `1 - alpha`.
        rope: Relative differences up to this are equivalent in practice.
        resamples: Of the bootstrap.

    Raises:
        ValueError: an entry lacks a task, a value is not finite, or a direction is unknown.
    """
    losses = losses_of(scores, directions)
    k, n = losses.shape
    values = _by_task(scores)
    ranks = average_ranks(losses) if k and n else {}
    counts = [len(own) for task in values.values() for own in task.values()]
    first, second = (*ranks, "", "")[:2]
    return Summary(
        tasks=tuple(directions),
        seeds=(min(counts, default=0), max(counts, default=0)),
        alpha=alpha,
        average_rank=ranks,
        win_rate=win_rates(losses) if k > 1 and n else {},
        normalised=normalised(losses) if k > 1 and n else {},
        not_worse={
            task: frozenset(not_worse(values[task], way, alpha))
            for task, way in directions.items()
            if task in values
        },
        seeds_needed={
            task: seeds_needed(own[first], own[second], alpha=alpha)
            for task, own in values.items()
            if k > 1
        },
        intervals=(
            rank_intervals(scores, directions, 1 - alpha, resamples) if k > 1 and n > 1 else None
        ),
        **_over_tasks(losses, ranks, alpha, rope),
    )


def _over_tasks(
    losses: pd.DataFrame, ranks: Mapping[str, float], alpha: float, rope: float
) -> _OverTasks:
    k, n = losses.shape
    if k < 2 or n < 2:
        return {}
    first, second = list(ranks)[:2]
    can = power(k, n, alpha=alpha)
    return {
        "friedman": friedman(losses),
        "power": can,
        "cliques": tuple(cliques(ranks, can.critical_difference)),
        "pairs": tuple(
            pairs(losses.loc[list(ranks)], alpha, against=first if k > _MOST_PAIRED else None)
        ),
        "bayesian": bayesian(losses, first, second, rope),
        "tasks_needed": tasks_needed(k, ranks[second] - ranks[first], alpha=alpha),
    }


def _by_task(scores: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for (task, entry), own in scores.groupby(["task", "entry"], sort=False)["value"]:
        found.setdefault(str(task), {})[str(entry)] = [float(value) for value in own]
    return found
