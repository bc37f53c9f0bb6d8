"""Compares what the ledger holds: from its rows to leaderboards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from runner.report.board import Leaderboard, Leaderboards, Line, Score, TaskColumn
from runner.report.entries import Entry, entries_of
from runner.report.floors import below_floor, floor_of
from runner.report.ranks import Standings, standings
from runner.report.select import Cell, cells_of, chosen, failure_counts, one_setting
from runner.schema import SELECTIONS
from xmft.errors import RequestError

_ORIGINS = ("official", "generated", "miniature")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cells on data of one origin that may stand in one table, with their statistics.

    Attributes:
        origin: Of the data.
        protocol: `clean` or `released`.
        selection: Rule that chose the epoch.
        split: Split of the values.
        columns: The tasks.
        entries: Methods under one configuration, with their cells, failed ones included.
        found: Means, deviations and ranks by the labels of the entries.
        notes: What a reader must know and the numbers do not show.
    """

    origin: str
    protocol: str
    selection: str
    split: str
    columns: tuple[TaskColumn, ...]
    entries: tuple[Entry, ...]
    found: Standings
    notes: tuple[str, ...]


def build(
    table: pa.Table,
    *,
    protocol: str = "clean",
    selection: str = "best_val",
    split: str = "test",
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Leaderboards:
    """Make one leaderboard per origin of the data from the rows of the ledger.

    Args:
        table: All rows of the ledger.
        protocol: `clean` or `released`; the other one's cells are ignored.
        selection: Rule that chose the epoch, `last` or `best_val`.
        split: Split of the values.
        tasks: Names or globs (`pdebench/*`) of the tasks to compare on; empty for all.
        methods: Names or globs of the methods to compare; empty for all.
        seeds: Seeds to take means over; empty for all.

    Raises:
        RequestError: there is nothing to compare; the message says what to run.
    """
    found = comparisons(
        table,
        protocol=protocol,
        selection=selection,
        split=split,
        tasks=tasks,
        methods=methods,
        seeds=seeds,
    )
    return [leaderboard(comparison) for comparison in found]


def comparisons(
    table: pa.Table,
    *,
    protocol: str = "clean",
    selection: str = "best_val",
    split: str = "test",
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Comparison]:
    """Pick the cells that compare, for each origin of the data; arguments and errors as `build`."""
    if not table.num_rows:
        raise RequestError(
            "The ledger holds no results. `xmft run quick` fills it; --results names another one."
        )
    rows = table.filter(pc.field("protocol") == protocol)
    cells = chosen(
        cells_of(rows, selection=selection, split=split), tasks=tasks, methods=methods, seeds=seeds
    )
    asked = f"protocol {protocol}, selection {selection}, split {split}"
    for name, wanted in (("tasks", tasks), ("methods", methods), ("seeds", seeds)):
        asked += f", {name} {' '.join(map(str, wanted))}" if wanted else ""
    scored = {str(cell.origin) for cell in cells if cell.value is not None}
    if not scored:
        raise RequestError(_nothing(table, cells, asked))
    origins = [origin for origin in _ORIGINS if origin in scored]
    origins += sorted(scored - set(origins))
    return [
        # A failed cell whose origin nobody knows is worth a note on every board.
        _comparison(
            [cell for cell in cells if cell.origin in (origin, None)],
            origin,
            protocol,
            selection,
            split,
        )
        for origin in origins
    ]


def _comparison(
    cells: Sequence[Cell], origin: str, protocol: str, selection: str, split: str
) -> Comparison:
    compared: list[Cell] = []
    notes = []
    first: dict[str, Cell] = {}
    floors: dict[str, float | None] = {}
    for task in sorted({cell.task for cell in cells}):
        own = [cell for cell in cells if cell.task == task]
        if all(cell.value is None for cell in own):
            why = failure_counts(own) or f"no {selection} value on {split}"
            notes.append(f"{task} is not on the board, it has no result ({why})")
            continue
        kept, note = one_setting(own)
        notes += [note] if note else []
        compared += kept
        floors[task], note = floor_of(kept)
        notes += [note] if note else []
        first[task] = next(cell for cell in kept if cell.value is not None)
    if origin == "miniature":
        notes.append("miniature data are fixtures: these numbers say nothing about the methods")
    entries = entries_of(compared)
    scores = pd.DataFrame(
        [
            (entry.label, cell.task, cell.seed, cell.value)
            for entry in entries
            for cell in entry.cells
            if cell.value is not None
        ],
        columns=["entry", "task", "seed", "value"],
    )
    found = standings(
        scores,
        {task: cell.direction or "min" for task, cell in first.items()},
        [entry.label for entry in entries],
    )
    return Comparison(
        origin=origin,
        protocol=protocol,
        selection=selection,
        split=split,
        columns=tuple(
            TaskColumn(
                task=task,
                metric=cell.metric,
                metric_version=cell.metric_version,
                direction=cell.direction or "min",
                seeds=found.seeds[task],
                floor=floors[task],
            )
            for task, cell in first.items()
        ),
        entries=tuple(entries),
        found=found,
        notes=tuple(notes),
    )


def leaderboard(comparison: Comparison) -> Leaderboard:
    """Sort what was compared into the lines of a board."""
    lines = [_line(entry, comparison.found) for entry in comparison.entries]
    floors = {column.task: column.floor for column in comparison.columns}
    return Leaderboard(
        origin=comparison.origin,
        protocol=comparison.protocol,
        selection=comparison.selection,
        split=comparison.split,
        tasks=comparison.columns,
        ranked=tuple(
            sorted(
                (line for line in lines if line.average_rank is not None),
                key=lambda line: (line.average_rank, line.label),
            )
        ),
        unranked=tuple(
            sorted(
                (line for line in lines if line.average_rank is None),
                key=lambda line: (-line.covered, line.label),
            )
        ),
        notes=(*comparison.notes, *below_floor(lines, floors)),
    )


def _line(entry: Entry, found: Standings) -> Line:
    label = entry.label
    scores = {
        task: Score(
            mean=found.mean_of(label, task),
            std=_known(found.std.at[label, task]),
            seeds=found.present[label, task],
            rank=_known(found.rank.at[label, task]),
        )
        for task in found.seeds
        if found.present[label, task]
    }
    return Line(
        label=label,
        method=entry.method,
        method_version=entry.method_version,
        method_config=entry.method_config,
        backbones=entry.backbones,
        sources=entry.sources,
        scores=scores,
        average_rank=_known(found.average_rank[label]),
        covered=sum(found.complete(label, task) for task in found.seeds),
        missing=_missing(entry, found),
        wall_s=sum(cell.wall_s for cell in entry.cells),
        align_s=sum(cell.align_s for cell in entry.cells),
        fit_s=sum(cell.fit_s for cell in entry.cells),
    )


def _missing(entry: Entry, found: Standings) -> tuple[str, ...]:
    """Say what an entry lacks: `pdebench/darcy seeds 1 (oom)`, `pdebench/advection`."""
    lacks = []
    for task, seeds in found.seeds.items():
        absent = [seed for seed in seeds if seed not in found.present[entry.label, task]]
        if not absent:
            continue
        failures = sorted(
            {
                cell.failure
                for cell in entry.cells
                if cell.task == task and cell.seed in absent and cell.failure
            }
        )
        part = "" if len(absent) == len(seeds) else f" seeds {', '.join(map(str, absent))}"
        why = f" ({', '.join(failures)})" if failures else ""
        lacks.append(f"{task}{part}{why}")
    return tuple(lacks)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _nothing(table: pa.Table, cells: Sequence[Cell], asked: str) -> str:
    failed = failure_counts(cells)
    if failed:
        return (
            f"No cell is ok ({asked}): {failed}. `xmft status` shows them and "
            "`xmft run GRID --retry-failed` tries them again."
        )
    table = table.filter(pc.field("selection").isin(SELECTIONS))
    held = "; ".join(
        f"{column} {', '.join(sorted(value for value in values if value))}"
        for column in ("protocol", "selection", "split")
        if (values := pc.unique(table[column]).to_pylist())
    )
    return (
        f"The ledger holds no result for {asked}. It holds {held}: choose among these, or run "
        "the missing cells with `xmft run GRID`."
    )
