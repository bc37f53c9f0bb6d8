"""The lines of a leaderboard: entries and how they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from runner.report.budget import Over
from runner.report.entries import Contender
from runner.report.ranks import Standings, standings
from runner.report.statistics import Summary, summary


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An entry's result on one task.

    Attributes:
        mean: Mean over the seeds.
        std: Sample standard deviation over the seeds, None for a single seed.
        seeds: The seeds.
        rank: Rank among the complete entries, None if the entry is incomplete.
        close: Whether it is the best of the complete entries or not significantly worse.
    """

    mean: float
    std: float | None
    seeds: tuple[int, ...]
    rank: float | None
    close: bool = False


@dataclass(frozen=True, kw_only=True)
class Line(Contender):
    """One line of a board: an entry and how it stands.

    Attributes:
        scores: By task; a task without any result is not in it.
        average_rank: Mean rank over the tasks, None if the entry is incomplete.
        rank_interval: Of the average rank, 95 %, by resampling the tasks; None if the entry is
            incomplete or alone, or there is one task.
        win_rate: Share of the other complete entries that it beats, mean over the tasks; None if
            it is incomplete or alone.
        normalised: Mean over the tasks of a score that is 1 for the best of the complete entries
            and 0 for the median and below; None if it is incomplete or alone.
        covered: Number of tasks that it has all seeds of.
        missing: What it lacks, by task; empty if it is complete.
        failures: Classes of the failures of the seeds it lacks, by task.
        over: Why it is not within the budget; None if it is. It is ranked as an incomplete one is.
    """

    scores: dict[str, Standing]
    average_rank: float | None
    rank_interval: tuple[float, float] | None = None
    win_rate: float | None = None
    normalised: float | None = None
    covered: int
    missing: tuple[str, ...]
    failures: dict[str, str]
    over: Over | None = None

    @property
    def why_unranked(self) -> str:
        """Why it has no rank, with a verb in front; empty if it has one."""
        lacks = f"lacks {'; '.join(self.missing)}" if self.missing else ""
        over = str(self.over) if self.over else ""
        return " and ".join(filter(None, (lacks, over)))


@dataclass(frozen=True, kw_only=True)
class Stand:
    """How the entries of a board stand.

    Attributes:
        lines: A line for each.
        seeds: All seeds of each task, over all entries.
        sentences: What can be said of the ranks.
    """

    lines: list[Line]
    seeds: dict[str, tuple[int, ...]]
    sentences: tuple[str, ...]


def ranked_lines(
    contenders: Sequence[Contender],
    directions: Mapping[str, str],
    over: Mapping[str, Over] = MappingProxyType({}),
) -> Stand:
    """Return a line for each entry.

    Args:
        contenders: The entries of one board.
        directions: `min` or `max` for each of its tasks.
        over: Why entries are not within the budget, by label.
    """
    scores = pd.DataFrame(
        [
            (one.label, cell.task, cell.seed, cell.value)
            for one in contenders
            for cell in one.cells
            if cell.value is not None
        ],
        columns=["entry", "task", "seed", "value"],
    )
    found = standings(scores, directions, [one.label for one in contenders], over)
    # The others take no part: what is said of ranks is said of entries that have all of them.
    dense = scores[scores["entry"].isin(found.average_rank.dropna().index)]
    told = summary(dense, directions)
    return Stand(
        lines=[_line(one, found, told, over.get(one.label)) for one in contenders],
        seeds=found.seeds,
        sentences=tuple(told.sentences()),
    )


def _line(one: Contender, found: Standings, told: Summary, over: Over | None) -> Line:
    label = one.label
    failures = _failures(one, found)
    scores = {
        task: Standing(
            mean=found.mean_of(label, task),
            std=_known(found.std.at[label, task]),
            seeds=found.present[label, task],
            rank=_known(found.rank.at[label, task]),
            close=label in told.not_worse.get(task, ()),
        )
        for task in found.seeds
        if found.present[label, task]
    }
    return Line(
        **vars(one),
        scores=scores,
        average_rank=_known(found.average_rank[label]),
        rank_interval=told.intervals.tasks.get(label) if told.intervals else None,
        win_rate=told.win_rate.get(label),
        normalised=told.normalised.get(label),
        covered=sum(found.complete(label, task) for task in found.seeds),
        missing=_missing(one, found, failures),
        failures=failures,
        over=over,
    )


def _absent(one: Contender, found: Standings, task: str) -> list[int]:
    return [seed for seed in found.seeds[task] if seed not in found.present[one.label, task]]


def _failures(one: Contender, found: Standings) -> dict[str, str]:
    """Return why an entry lacks seeds, by task: `oom`, `2 oom, 1 data`."""
    told = {}
    for task in found.seeds:
        absent = _absent(one, found, task)
        # Where it has nothing, failures of seeds that nobody has tell why as well.
        nothing = not found.present[one.label, task]
        classes = Counter(
            cell.failure
            for cell in one.cells
            if cell.task == task and cell.failure and (nothing or cell.seed in absent)
        )
        if len(classes) == 1:
            told[task] = str(*classes)
        elif classes:
            told[task] = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    return told


def _missing(one: Contender, found: Standings, failures: Mapping[str, str]) -> tuple[str, ...]:
    """Say what an entry lacks: `pdebench/darcy seeds 1 (oom)`, `pdebench/advection`."""
    lacks = []
    for task, seeds in found.seeds.items():
        absent = _absent(one, found, task)
        if not absent:
            continue
        part = "" if len(absent) == len(seeds) else f" seeds {', '.join(map(str, absent))}"
        why = f" ({failures[task]})" if task in failures else ""
        lacks.append(f"{task}{part}{why}")
    return tuple(lacks)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
