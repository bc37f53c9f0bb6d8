"""What a leaderboard is: its tasks, its lines and what a reader must know besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TaskColumn:
    """A task of a board: its main metric and all seeds that any entry has for it.

    Attributes:
        floor: The score of a perfect solver, whose error is that of the data; None if unknown.
    """

    task: str
    metric: str
    metric_version: int
    direction: str
    seeds: tuple[int, ...]
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
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
class Line:
    """One line of a board.

    Attributes:
        label: What the line is called; unique within the board.
        scores: By task; a task without any result is not in it.
        average_rank: Mean rank over the tasks, None if the entry is incomplete.
        covered: Number of tasks that it has all seeds of.
        missing: What it lacks, by task; empty if it is complete.
        wall_s: Seconds of all attempts at its cells, the failed ones included.
        align_s: Seconds of those that alignment to the source took.
        fit_s: Seconds of those that fitting the target took.
    """

    label: str
    method: str
    method_version: int
    method_config: dict[str, Any]
    backbones: tuple[str, ...]
    sources: tuple[str, ...]
    scores: dict[str, Score]
    average_rank: float | None
    covered: int
    missing: tuple[str, ...]
    wall_s: float
    align_s: float
    fit_s: float


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The lines that compare on data of one origin under one protocol.

    Attributes:
        ranked: Complete entries, best average rank first.
        unranked: Incomplete entries, the most complete first.
        notes: What a reader must know and the lines do not show.
    """

    origin: str
    protocol: str
    selection: str
    split: str
    tasks: tuple[TaskColumn, ...]
    ranked: tuple[Line, ...]
    unranked: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, the ranked ones first."""
        return self.ranked + self.unranked


Leaderboards = list[Leaderboard]
