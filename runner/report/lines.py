"""The lines of a leaderboard: entries and how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.report.entries import Contender
from runner.report.ranks import Standings, standings


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An entry's result on one task.

    Attributes:
        mean: Mean over the seeds.
        std: Sample standard deviation over the seeds, None for a single seed.
        seeds: The seeds.
        rank: Rank among the complete entries, None if the entry is incomplete.
    """

    mean: float
    std: float | None
    seeds: tuple[int, ...]
    rank: float | None


@dataclass(frozen=True, kw_only=True)
class Line(Contender):
    """One line of a board: an entry and how it stands.

    Attributes:
        scores: By task; a task without any result is not in it.
        average_rank: Mean rank over the tasks, None if the entry is incomplete.
        covered: Number of tasks that it has all seeds of.
        missing: What it lacks, by task; empty if it is complete.
    """

    scores: dict[str, Standing]
    average_rank: float | None
    covered: int
    missing: tuple[str, ...]


def ranked_lines(
    contenders: Sequence[Contender], directions: Mapping[str, str]
) -> tuple[list[Line], Standings]:
    """Return a line for each entry, and the statistics that they were made of.

    Args:
        contenders: The entries of one board.
        directions: `min` or `max` for each of its tasks.
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
    found = standings(scores, directions, [one.label for one in contenders])
    return [_line(one, found) for one in contenders], found


def _line(one: Contender, found: Standings) -> Line:
    label = one.label
    scores = {
        task: Standing(
            mean=found.mean_of(label, task),
            std=_known(found.std.at[label, task]),
            seeds=found.present[label, task],
            rank=_known(found.rank.at[label, task]),
        )
        for task in found.seeds
        if found.present[label, task]
    }
    return Line(
        **vars(one),
        scores=scores,
        average_rank=_known(found.average_rank[label]),
        covered=sum(found.complete(label, task) for task in found.seeds),
        missing=_missing(one, found),
    )


def _missing(one: Contender, found: Standings) -> tuple[str, ...]:
    """Say what an entry lacks: `pdebench/darcy seeds 1 (oom)`, `pdebench/advection`."""
    lacks = []
    for task, seeds in found.seeds.items():
        absent = [seed for seed in seeds if seed not in found.present[one.label, task]]
        if not absent:
            continue
        failures = sorted(
            {
                cell.failure
                for cell in one.cells
                if cell.task == task and cell.seed in absent and cell.failure
            }
        )
        part = "" if len(absent) == len(seeds) else f" seeds {', '.join(map(str, absent))}"
        why = f" ({', '.join(failures)})" if failures else ""
        lacks.append(f"{task}{part}{why}")
    return tuple(lacks)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
