"""Training curves; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One value of a training curve; `epoch` counts over all stages from 1."""

    epoch: int
    split: str
    name: str
    value: float
