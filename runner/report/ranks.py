"""Statistics over entries, tasks and seeds; knows neither the ledger nor the runner.

Ranks need a dense matrix: an entry that lacks a task or a seed is not ranked, and takes no rank
from the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from runner.report.statistics import means_of, ranks_of


@dataclass(frozen=True, kw_only=True)
class Standings:
    """What `standings` found; frames have one row per entry and one column per task.

    Attributes:
        seeds: All seeds of each task, over all entries.
        present: The seeds that an entry has for a task, by (entry, task).
        mean: Mean over the seeds that are there; NaN where there is none.
        std: Sample standard deviation (one degree of freedom is spent); NaN below two seeds.
        rank: Rank of the mean among complete entries, 1 is best, ties share the average rank; NaN
            for those that are incomplete or set apart.
        average_rank: Mean of an entry's ranks, each task weighing the same; NaN likewise.
    """

    seeds: dict[str, tuple[int, ...]]
    present: dict[tuple[str, str], tuple[int, ...]]
    mean: pd.DataFrame
    std: pd.DataFrame
    rank: pd.DataFrame
    average_rank: pd.Series[float]

    def mean_of(self, entry: str, task: str) -> float:
        """Return an entry's mean on a task as a plain number."""
        return float(cast(float, self.mean.at[entry, task]))

    def complete(self, entry: str, task: str) -> bool:
        """Tell whether an entry has all seeds of a task."""
        return self.present[entry, task] == self.seeds[task]


def standings(
    scores: pd.DataFrame,
    directions: Mapping[str, str],
    entries: Sequence[str],
    apart: Collection[str] = (),
) -> Standings:
    """Compute means, deviations and ranks.

    Args:
        scores: Columns `entry`, `task`, `seed`, `value`; one row per result, all values finite.
        directions: `min` or `max` for each task; the board has these tasks, in this order.
        entries: All entries, those without any score included.
        apart: Those that are not to be ranked, however complete.

    Raises:
        ValueError: two values for one seed of one entry on one task.
    """
    twice = scores[scores.duplicated(["entry", "task", "seed"])]
    if len(twice):
        entry, task, seed = twice.iloc[0][["entry", "task", "seed"]]
        raise ValueError(f"{entry} has two values for seed {seed} of {task}")
    tasks = list(directions)
    seeds = {
        task: tuple(sorted({int(seed) for seed in scores["seed"][scores["task"] == task]}))
        for task in tasks
    }
    present: dict[tuple[str, str], tuple[int, ...]] = {
        (entry, task): () for entry in entries for task in tasks
    }
    grouped = scores.groupby(["entry", "task"])
    for (entry, task), group in grouped:
        present[str(entry), str(task)] = tuple(sorted(int(seed) for seed in group["seed"]))
    mean = means_of(scores).reindex(index=list(entries), columns=tasks)
    std = grouped["value"].std(ddof=1).unstack().reindex(index=list(entries), columns=tasks)
    dense = [
        entry
        for entry in entries
        if entry not in apart and all(present[entry, task] == seeds[task] for task in tasks)
    ]
    rank = pd.DataFrame(index=list(entries), columns=tasks, dtype=float)
    if dense:
        signs = [-1.0 if directions[task] == "max" else 1.0 for task in tasks]
        rank.loc[dense] = ranks_of(mean.loc[dense].to_numpy(dtype=float) * signs)
    return Standings(
        seeds=seeds,
        present=present,
        mean=mean,
        std=std,
        rank=rank,
        average_rank=rank.mean(axis=1, skipna=False),
    )
