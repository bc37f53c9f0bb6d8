"""A cell of a plan, with what the ledger and the data root say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runner.cell import Cell

if TYPE_CHECKING:
    from benchmarks import data

State = Literal["done", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell with what the ledger and the data root say about it.

    Attributes:
        cell: The cell.
        state: What the ledger says.
        failure: Class of the last failure.
        source: Where its data come from; None when they are missing.
        problem: Why its data are missing or do not do.
        absent: There are no data at all.
        expected_s: Expected seconds on one slot.
        measured: Whether the expectation is the median of finished cells.
        backbone: Where its backbone is found from anywhere; None where it has none.
        remarks: What one should know of its method and backbone though they can be used.
        resources: What the grid says of its resources, fields of `Resources`.
        spent: A trial from whose checkpoint no other one will go on.
    """

    cell: Cell
    state: State
    failure: str | None
    source: data.Located | None
    problem: str | None
    absent: bool
    expected_s: float
    measured: bool
    backbone: str | None = None
    remarks: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    spent: bool = False
