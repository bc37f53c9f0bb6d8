"""What became of an attempt at a cell, small enough to send around."""

from __future__ import annotations

from dataclasses import dataclass


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
