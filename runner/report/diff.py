"""What changed between two ledgers: cell by cell, and by task and entry against the seeds' spread.

Cells are the same by their id. What is left is paired by what a reader would call the same: task,
method, backbone, seed, protocol and origin of the data; of several that this is true of, those with
the same options, and none where that does not decide. Then it is told which part of the identity
changed. Where task or metric mean other numbers now, nothing is compared.

An entry is worse (or better) on a task if the mean over the seeds that both have moved by more
than the spread of the seeds, `sqrt((std_a**2 + std_b**2) / 2)`. With one seed, or where the seeds
have no spread, it has to move by more than a tolerance, relative to the first mean.

An entry that has values on a task in A and no cell of it in B cannot be compared there: what a
change lost altogether is no less of a finding than what it made worse.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from runner.report.entries import contenders_of
from runner.report.pairing import changed_parts, lost_entries, paired, why_not
from runner.results import Result

TOLERANCE = 0.01
# Smaller relative differences are roundings of the machine, whatever the spread.
_ROUNDING = 1e-6

Verdict = Literal["better", "worse", "within the spread", "same", "not comparable"]
Kind = Literal[
    "same",
    "changed",
    "failed in A",
    "failed in B",
    "failed in both",
    "only in A",
    "only in B",
    "not comparable",
]


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """A cell in two ledgers, A and B.

    Attributes:
        entry: What the entry is called that it belongs to.
        origin: Of its data; None if unknown.
        first: The cell in A; None if it is not there.
        second: The cell in B; None if it is not there.
        kind: What happened to it.
        identity: The parts of the identity that changed, for people; empty for the same id.
    """

    entry: str
    origin: str | None
    first: Result | None
    second: Result | None
    kind: Kind
    identity: tuple[str, ...] = ()

    @property
    def cell(self) -> Result:
        """The cell in B, or in A if it is there alone."""
        found = self.second or self.first
        assert found is not None
        return found

    @property
    def difference(self) -> float | None:
        """The value in B minus that in A; None where there are not both."""
        if self.kind not in ("same", "changed"):
            return None
        assert self.first is not None and self.second is not None
        assert self.first.value is not None and self.second.value is not None
        return self.second.value - self.first.value


@dataclass(frozen=True, kw_only=True)
class EntryChange:
    """An entry on a task in two ledgers, over the seeds that both have.

    Attributes:
        direction: `min` or `max`.
        seeds: The seeds.
        first: Mean in A; None where nothing can be compared, and so are the others.
        second: Mean in B.
        spread: Pooled standard deviation of the seeds; None for a single one.
        margin: By how much the mean may move.
        verdict: How it moved.
        why: Why nothing is compared; empty otherwise.
    """

    task: str
    entry: str
    origin: str | None
    metric: str
    direction: str | None
    seeds: tuple[int, ...]
    first: float | None = None
    second: float | None = None
    spread: float | None = None
    margin: float | None = None
    verdict: Verdict
    why: str = ""

    @property
    def difference(self) -> float | None:
        """The mean in B minus that in A."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def relative(self) -> float | None:
        """The difference in units of the mean in A; None for a mean of nought."""
        return (
            self.difference / abs(self.first)
            if self.difference is not None and self.first
            else None
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed between two ledgers.

    Attributes:
        cells: All cells of either, by task, entry and seed.
        entries: The entries of A by task that are in both, or have values in A and are not in B.
    """

    cells: tuple[CellChange, ...]
    entries: tuple[EntryChange, ...]

    def of_kind(self, *kinds: Kind) -> list[CellChange]:
        """Return the cells to which one of these happened."""
        return [cell for cell in self.cells if cell.kind in kinds]

    @property
    def worse(self) -> list[str]:
        """What is worse in B, for people: entries that moved, and cells that fail there now."""
        moved = [f"{one.entry} on {one.task}" for one in self.entries if one.verdict == "worse"]
        failed = [
            f"{one.entry} on {one.cell.task} seed {one.cell.seed} ({told_failure(one.second)})"
            for one in self.of_kind("failed in B")
        ]
        return moved + failed

    @property
    def incomparable(self) -> list[str]:
        """What of A nothing in B can be compared with, for people, each with the reason."""
        return [
            f"{one.entry} on {one.task} ({one.why})"
            for one in self.entries
            if one.verdict == "not comparable"
        ]

    @property
    def lost(self) -> list[str]:
        """The cells with values in A that are not in B, for people."""
        return [
            f"{one.entry} on {one.cell.task} seed {one.cell.seed}"
            for one in self.of_kind("only in A")
            if one.cell.value is not None
        ]

    @property
    def compared(self) -> bool:
        """Whether anything could be compared."""
        return any(one.verdict != "not comparable" for one in self.entries)


def compare_ledgers(
    first: Sequence[Result], second: Sequence[Result], *, tolerance: float = TOLERANCE
) -> Difference:
    """Compare the cells of two ledgers under one selection and split.

    Args:
        first: The cells of A.
        second: The cells of B.
        tolerance: Relative, for what has no spread of seeds.
    """
    pairs = list(paired(first, second))
    entries = contenders_of([cell for a, b in pairs if (cell := b or a)])
    labels = {id(cell): entry.label for entry in entries for cell in entry.cells}
    cells = sorted(
        (_change(a, b, labels[id(b or a)]) for a, b in pairs),
        key=lambda one: (one.cell.task, one.origin or "", one.entry, one.cell.seed),
    )
    groups: dict[tuple[str, str | None, str], list[CellChange]] = {}
    for one in cells:
        groups.setdefault((one.cell.task, one.origin, one.entry), []).append(one)
    vanished = lost_entries(pairs)
    found = (_entry(group, tolerance, vanished) for group in groups.values())
    return Difference(cells=tuple(cells), entries=tuple(one for one in found if one is not None))


def _change(first: Result | None, second: Result | None, entry: str) -> CellChange:
    identity: tuple[str, ...] = ()
    kind: Kind
    if first is None or second is None:
        kind = "only in B" if first is None else "only in A"
    else:
        identity = tuple(changed_parts(first.config, second.config))
        if first.value is None or second.value is None:
            kind = "failed in A" if first.value is None else "failed in B"
            kind = "failed in both" if first.value is None and second.value is None else kind
        elif why_not(first, second):
            kind = "not comparable"
        else:
            kind = "same" if first.value == second.value else "changed"
    origins = [cell.origin for cell in (second, first) if cell is not None and cell.origin]
    return CellChange(
        entry=entry,
        origin=origins[0] if origins else None,
        first=first,
        second=second,
        kind=kind,
        identity=identity,
    )


def told_failure(cell: Result | None) -> str:
    """Return why a cell has no value: the class of its failure, or that it is not finite."""
    return cell.failure if cell is not None and cell.failure else "no finite value"


def _entry(
    cells: Sequence[CellChange], tolerance: float, vanished: AbstractSet[int]
) -> EntryChange | None:
    """Return how an entry moved on a task; None if it is new in B, or has no value in one."""
    pairs = [one for one in cells if one.kind in ("same", "changed")]
    others = [one for one in cells if one.kind == "not comparable"]
    others += [one for one in cells if id(one.first) in vanished]
    if not pairs and not others:
        return None
    cell = (pairs or others)[0].cell
    facts: dict[str, Any] = {
        "task": cell.task,
        "entry": cells[0].entry,
        "origin": cells[0].origin,
        "metric": cell.metric,
        "direction": cell.direction,
    }
    if not pairs:
        reasons = {
            why_not(one.first, one.second) if one.second else "not in B"
            for one in others
            if one.first
        }
        return EntryChange(
            **facts,
            seeds=tuple(one.cell.seed for one in others),
            verdict="not comparable",
            why="; ".join(sorted(reasons)),
        )
    before = [float(one.first.value) for one in pairs if one.first and one.first.value is not None]
    after = [one.cell.value or 0.0 for one in pairs]
    mean_a, mean_b = statistics.fmean(before), statistics.fmean(after)
    spread = None
    if len(pairs) > 1:
        spread = math.sqrt((statistics.variance(before) + statistics.variance(after)) / 2)
    margin = max(spread, _ROUNDING * abs(mean_a)) if spread else tolerance * abs(mean_a)
    moved = (mean_b - mean_a) * (-1 if cell.direction == "max" else 1)
    verdict: Verdict = "within the spread"
    if all(one.kind == "same" for one in pairs):
        verdict = "same"
    elif abs(moved) > margin:
        verdict = "worse" if moved > 0 else "better"
    return EntryChange(
        **facts,
        seeds=tuple(one.cell.seed for one in pairs),
        first=mean_a,
        second=mean_b,
        spread=spread,
        margin=margin,
        verdict=verdict,
    )
