"""Compares what the ledger holds: from its rows to leaderboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from runner.conflicts import Conflict, conflicts, told
from runner.report.bases import added_by_networks
from runner.report.budget import over_budget
from runner.report.entries import contenders_of
from runner.report.floors import below_floor, floor_of, heavy_tails, spread_of
from runner.report.lines import Line, ranked_lines
from runner.report.query import Query
from runner.report.select import chosen, failure_counts, lost_seeds, one_origin, one_setting
from runner.results import Result, results
from runner.schema import SELECTIONS
from xmft.errors import RequestError

__all__ = ["Query"]  # what `build` takes
_ALL = Query()
_ORIGINS = ("official", "generated", "miniature")


@dataclass(frozen=True, kw_only=True)
class TaskColumn:
    """A task of a board: its main metric and all seeds that any entry has for it.

    Attributes:
        task: Its name.
        origin: Of its data; that of the board, if the board has one.
        floor: The score of a perfect solver, whose error is that of the data; None if unknown.
        floor_spread: See `Result`.
    """

    task: str
    metric: str
    metric_version: int
    direction: str
    seeds: tuple[int, ...]
    origin: str
    floor: float | None = None
    floor_spread: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the scores of a line are found by."""
        return self.task


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The entries that compare on some tasks.

    Attributes:
        origin: Of the data; those of the tasks if `overall`, with commas.
        suite: Of the tasks; None if they are of several.
        overall: Whether the tasks may differ in the origin of their data, which leaves the ranks
            comparable and nothing else.
        query: What was asked for.
        tasks: The tasks.
        ranked: Complete entries, best average rank first.
        unranked: Incomplete entries, the most complete first, then those not within the budget.
        statistics: What can be said of the ranks, in sentences.
        notes: What a reader must know and the lines do not show.
    """

    origin: str
    suite: str | None
    overall: bool = False
    query: Query
    tasks: tuple[TaskColumn, ...]
    ranked: tuple[Line, ...]
    unranked: tuple[Line, ...]
    statistics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the names of files; unique among the boards of a query."""
        return "overall" if self.overall else f"{self.suite or 'all'}-{self.origin}"

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, the ranked ones first."""
        return self.ranked + self.unranked

    @property
    def by_label(self) -> list[Line]:
        """All lines, sorted by label."""
        return sorted(self.lines, key=lambda line: line.label)


def build(table: pa.Table, query: Query = _ALL) -> list[Leaderboard]:
    """Make leaderboards from the rows of the ledger.

    There is one for each origin of the data and suite of the tasks, and one over the suites of an
    origin that has several. `Query.overall` adds one over all tasks whatever the origin of their
    data, if there are several.

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
    doubtful = conflicts(rows)
    boards = []
    for origin in origins:
        # A failed cell whose origin nobody knows is worth a note on every board.
        own = [cell for cell in cells if cell.origin in (origin, None)]
        suites = sorted({_suite(cell) for cell in own if cell.value is not None})
        for suite in suites:
            # What failed everywhere in another suite is worth a note where no board holds both.
            of_suite = [cell for cell in own if len(suites) == 1 or _suite(cell) == suite]
            boards.append(_leaderboard(of_suite, query, doubtful, origin=origin, suite=suite))
        if len(suites) > 1:
            boards.append(_leaderboard(own, query, doubtful, origin=origin, suite=None))
    if query.overall and len(origins) > 1:
        boards.append(_overall(cells, query, doubtful, origins))
    return boards


def _suite(cell: Result) -> str:
    return cell.task.partition("/")[0]


def _overall(
    cells: Sequence[Result], query: Query, doubtful: Sequence[Conflict], origins: Sequence[str]
) -> Leaderboard:
    kept: list[Result] = []
    notes = []
    for task in sorted({cell.task for cell in cells}):
        own, note = one_origin([cell for cell in cells if cell.task == task], origins)
        kept += own
        notes += [note] if note else []
    used = {cell.origin for cell in kept if cell.value is not None}
    return _leaderboard(
        kept,
        query,
        doubtful,
        origin=", ".join(origin for origin in origins if origin in used),
        suite=None,
        overall=True,
        notes=notes,
    )


def _leaderboard(
    cells: Sequence[Result],
    query: Query,
    doubtful: Sequence[Conflict],
    *,
    origin: str,
    suite: str | None,
    overall: bool = False,
    notes: Sequence[str] = (),
) -> Leaderboard:
    compared: list[Result] = []
    notes = [*notes]
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
        notes += lost_seeds(kept)
        floors[task], note = floor_of(kept)
        spreads[task] = spread_of(kept, floors[task])
        notes += [note] if note else []
        first[task] = next(cell for cell in kept if cell.value is not None)
    used = {cell.cell_id for cell in compared}
    notes += told([one for one in doubtful if one.cell_id in used])
    if any(cell.origin == "miniature" for cell in first.values()):
        notes.append("miniature data are fixtures: these numbers say nothing about the methods")
    directions = {task: cell.direction or "min" for task, cell in first.items()}
    entries = contenders_of(compared)
    stand = ranked_lines(entries, directions, over_budget(entries, query))
    notes += added_by_networks({line.label: line.cells for line in stand.lines}, directions)
    means = {
        line.label: {t: score.mean for t, score in line.scores.items()} for line in stand.lines
    }
    return Leaderboard(
        origin=origin,
        suite=suite,
        overall=overall,
        query=query,
        tasks=tuple(
            TaskColumn(
                task=task,
                metric=cell.metric,
                metric_version=cell.metric_version,
                direction=cell.direction or "min",
                seeds=stand.seeds[task],
                origin=cell.origin or "unknown",
                floor=floors[task],
                floor_spread=spreads[task],
            )
            for task, cell in first.items()
        ),
        ranked=tuple(
            sorted(
                (line for line in stand.lines if line.average_rank is not None),
                key=lambda line: (line.average_rank, line.label),
            )
        ),
        unranked=tuple(
            sorted(
                (line for line in stand.lines if line.average_rank is None),
                key=lambda line: (bool(line.over), -line.covered, line.label),
            )
        ),
        statistics=stand.sentences,
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
