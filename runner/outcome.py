"""What became of an attempt at a cell, small enough to send around, and of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: `ok`, `failed`, or `stopped` where it was asked to stop and keeps a checkpoint.
        busy_s: Seconds of this attempt that went into preparing, aligning, fitting and scoring; of
            a failed attempt, all of them.
        resumed_epochs: Epochs that an earlier attempt had trained.
    """

    cell_id: str
    status: str
    failure: str | None
    error: str | None
    busy_s: float
    wall_s: float
    resumed_epochs: int


@dataclass
class Report:
    """How a run went.

    Attributes:
        outcomes: What became of the cells, by id.
        slots: Most cells that ran at once.
        busy: Share of the resources in use while there was anything left to start.
        restarts: How often Ray had to be started again.
        elsewhere: Cells that another run on the same results finished meanwhile.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    slots: int = 0
    busy: float | None = None
    restarts: int = 0
    elsewhere: int = 0
