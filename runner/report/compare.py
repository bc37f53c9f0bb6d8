"""Compares what the ledger holds: from its rows to leaderboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from runner.conflicts import conflicts
from runner.report.entries import contenders_of
from runner.report.floors import below_floor, floor_of, heavy_tails, spread_of
from runner.report.lines import Line, ranked_lines
from runner.report.select import chosen, failure_counts, one_setting
from runner.results import Result, results
from runner.schema import SELECTIONS
from xmft.errors import RequestError

_ORIGINS = ("official", "generated", "miniature")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a leaderboard is asked for.

    Attributes:
        protocol: `clean` or `released`; the other one's cells are ignored.
        selection: Rule that chose the epoch, `last` or `best_val`.
        split: Split of the values.
        tasks: Names or globs (`pdebench/*`) of the tasks to compare on; empty for all.
        methods: Names or globs of the methods to compare; empty for all.
        seeds: Seeds to take means over; empty for all.
    """

    protocol: str = "clean"
    selection: str = "best_val"
    split: str = "test"
    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()

    def __str__(self) -> str:
        text = f"protocol {self.protocol}, selection {self.selection}, split {self.split}"
        for name in ("tasks", "methods", "seeds"):
            wanted = getattr(self, name)
            text += f", {name} {' '.join(map(str, wanted))}" if wanted else ""
        return text


@dataclass(frozen=True, kw_only=True)
class TaskColumn:
    """A task of a board: its main metric and all seeds that any entry has for it.

    Attributes:
        task: Its name.
        origin: Of its data; on most boards that of the board.
        floor: The score of a perfect solver, whose error is that of the data; None if unknown.
        floor_spread: See `Result`.
    """

    task: str
    metric: str
    metric_version: int
    direction: str
    seeds: tuple[int, ...]
    origin: str = ""
    floor: float | None = None
    floor_spread: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the scores of a line are found by."""
        return self.task


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The entries that compare on data of one origin.

    Attributes:
        origin: Of the data.
        query: What was asked for.
        tasks: The tasks.
        ranked: Complete entries, best average rank first.
        unranked: Incomplete entries, the most complete first.
        notes: What a reader must know and the lines do not show.
    """

    origin: str
    query: Query
    tasks: tuple[TaskColumn, ...]
    ranked: tuple[Line, ...]
    unranked: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the names of files; unique among the boards of a query."""
        return self.origin

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, the ranked ones first."""
        return self.ranked + self.unranked

    @property
    def by_label(self) -> list[Line]:
        """All lines, sorted by label."""
        return sorted(self.lines, key=lambda line: line.label)


def build(table: pa.Table, query: Query = Query()) -> list[Leaderboard]:
    """Make one leaderboard per origin of the data from the rows of the ledger.

    Args:
        table: All rows of the ledger.
        query: What to compare.

    Raises:
        RequestError: there is nothing to compare; the message says what to run.
    """
    if not table.num_rows:
        raise RequestError(
            "The ledger holds no results. `xmft run quick` fills it; --results names another one."
        )
    rows = table.filter(pc.field("protocol") == query.protocol)
    cells = chosen(
        results(rows, selection=query.selection, split=query.split),
        tasks=query.tasks,
        methods=query.methods,
        seeds=query.seeds,
    )
    scored = {str(cell.origin) for cell in cells if cell.value is not None}
    if not scored:
        raise RequestError(_nothing(table, cells, query))
    origins = [origin for origin in _ORIGINS if origin in scored]
    origins += sorted(scored - set(origins))
    told = {conflict.cell_id: conflict.text for conflict in conflicts(rows)}
    return [
        # A failed cell whose origin nobody knows is worth a note on every board.
        _leaderboard([cell for cell in cells if cell.origin in (origin, None)], origin, query, told)
        for origin in origins
    ]


def _leaderboard(
    cells: Sequence[Result], origin: str, query: Query, told: Mapping[str, str]
) -> Leaderboard:
    compared: list[Result] = []
    notes = []
    first: dict[str, Result] = {}
    floors: dict[str, float | None] = {}
    spreads: dict[str, Mapping[str, float]] = {}
    for task in sorted({cell.task for cell in cells}):
        own = [cell for cell in cells if cell.task == task]
        if all(cell.value is None for cell in own):
            why = failure_counts(own) or f"no {query.selection} value on {query.split}"
            notes.append(f"{task} is not on the board, it has no result ({why})")
            continue
        kept, note = one_setting(own)
        notes += [note] if note else []
        compared += kept
        floors[task], note = floor_of(kept)
        spreads[task] = spread_of(kept, floors[task])
        notes += [note] if note else []
        first[task] = next(cell for cell in kept if cell.value is not None)
    notes += [told[cell.cell_id] for cell in compared if cell.cell_id in told]
    if origin == "miniature":
        notes.append("miniature data are fixtures: these numbers say nothing about the methods")
    lines, found = ranked_lines(
        contenders_of(compared), {task: cell.direction or "min" for task, cell in first.items()}
    )
    means = {line.label: {t: score.mean for t, score in line.scores.items()} for line in lines}
    return Leaderboard(
        origin=origin,
        query=query,
        tasks=tuple(
            TaskColumn(
                task=task,
                metric=cell.metric,
                metric_version=cell.metric_version,
                direction=cell.direction or "min",
                seeds=found.seeds[task],
                origin=origin,
                floor=floors[task],
                floor_spread=spreads[task],
            )
            for task, cell in first.items()
        ),
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
        notes=(*notes, *heavy_tails(floors, spreads), *below_floor(means, floors)),
    )


def _nothing(table: pa.Table, cells: Sequence[Result], query: Query) -> str:
    failed = failure_counts(cells)
    if failed:
        return (
            f"No cell is ok ({query}): {failed}. `xmft status` shows them and "
            "`xmft run GRID --retry-failed` tries them again."
        )
    table = table.filter(pc.field("selection").isin(SELECTIONS))
    held = "; ".join(
        f"{column} {', '.join(sorted(value for value in values if value))}"
        for column in ("protocol", "selection", "split")
        if (values := pc.unique(table[column]).to_pylist())
    )
    return (
        f"The ledger holds no result for {query}. It holds {held}: choose among these, or run "
        "the missing cells with `xmft run GRID`."
    )
