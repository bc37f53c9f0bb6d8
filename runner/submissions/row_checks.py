"""What can be wrong with the rows of a submission; each yields half a sentence for what is."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from runner.cell import Cell
from runner.results import results
from runner.schema import FAILURES, SELECTIONS
from runner.submissions.content import EXAMPLES, Rows, cell_in
from runner.submissions.making import counts
from runner.submissions.reading import examples_of
from runner.submissions.statement import Unusable
from xmft.task import Origin

# Clocks of two machines differ, and a wall time is measured inside of the two times.
CLOCKS = timedelta(minutes=10)
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def cells_in(rows: Rows) -> dict[str, Cell]:
    """Return the cells that can be read, by the id that their rows say."""
    found = {}
    for cell_id, text in {(row["cell_id"], row["config_json"]) for row in rows}:
        cell = cell_in(text)
        if cell is not None:
            found[cell_id] = cell
    return found


def wrong_attempts(rows: Rows, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Yield attempts that contradict themselves, or lack the score that ranks them."""
    attempts: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        attempts.setdefault((row["cell_id"], row["attempt"]), []).append(row)
    for (cell_id, number), own in sorted(attempts.items()):
        what = f"attempt {number} at cell {cell_id}"
        cell, status = cells[cell_id], {row["status"] for row in own}
        places = Counter((row["split"], row["selection"], row["metric"]) for row in own)
        main = next(iter(dict(cell.metric_versions)), None)
        split = "val" if cell.trial else "test"
        if status == {"ok"}:
            if any(row["failure"] is not None for row in own):
                yield f"{what} is ok and has a failure"
            if not any(s == split and m == main for s, _, m in places):
                yield f"{what} is ok without {main} on the {split} split"
            if max(places.values()) > 1:
                yield f"{what} says {' '.join(map(str, places.most_common(1)[0][0]))} twice"
        elif status == {"failed"}:
            if own[0]["failure"] not in FAILURES or any(
                row["metric"] is not None or row["value"] is not None for row in own
            ):
                yield f"{what} failed as {own[0]['failure']!r}, or has scores"
        else:
            yield f"{what} has the status {' and '.join(sorted(map(str, status)))}"


def wrong_origins(rows: Rows, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Yield attempts on data of no known origin, and data that have several."""
    found: dict[str, set[str]] = {}
    told = set()
    for row in rows:
        cell_id, origin = row["cell_id"], row["data_origin"]
        if origin is None and row["status"] != "ok":  # it failed before its data were opened
            continue
        if origin not in get_args(Origin) and (cell_id, origin) not in told:
            told.add((cell_id, origin))
            yield f"data_origin of cell {cell_id} is {origin!r}, not {', '.join(get_args(Origin))}"
        found.setdefault(cells[cell_id].data, set()).add(str(origin))
    for data, origins in sorted(found.items()):
        if len(origins) > 1:
            yield f"the data {data[:16]} are {' and '.join(sorted(origins))}"


def wrong_examples(table: pa.Table) -> Iterator[str]:
    """Yield the cells whose examples cannot be read."""
    for row in table.filter(pc.is_valid(table[EXAMPLES])).select(["cell_id", EXAMPLES]).to_pylist():
        try:
            examples_of(row[EXAMPLES])
        except Unusable as error:
            yield f"those of cell {row['cell_id']} cannot be read ({error})"


def wrong_counts(table: pa.Table, statement: Mapping[str, Any]) -> Iterator[str]:
    """Yield where there are other numbers of tasks, seeds, cells or rows than were signed off."""
    found, said = counts(results(table)), statement.get("counts")
    if found != said:
        yield f"found {json.dumps(found)}, signed off {json.dumps(said)}"
    if table.num_rows != statement.get("rows"):
        yield f"{table.num_rows} rows, signed off {statement.get('rows')}"


def told_counts(said: Mapping[str, Mapping[str, int]]) -> str:
    """Return the counts of a statement for people."""
    return ", ".join(
        f"{method}: {own['tasks']} tasks x {own['seeds']} seeds, {own['ok']} of {own['cells']} ok"
        for method, own in said.items()
    )


def wrong_values(rows: Rows, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Yield scores that are not finite, out of their range, or of another direction."""
    from xmft.metrics import METRICS

    for row in rows:
        name, value = row["metric"], row["value"]
        if row["selection"] not in SELECTIONS or name not in cells[row["cell_id"]].metric_versions:
            continue
        what = f"{row['split']} {row['selection']} {name} of cell {row['cell_id']}"
        main = name == next(iter(dict(cells[row["cell_id"]].metric_versions)))
        if value is None or (main and not math.isfinite(value)):
            yield f"{what} is {value}"
        if row["direction"] not in ("min", "max"):
            yield f"{what} has the direction {row['direction']!r}"
        if name not in METRICS:
            continue
        if row["direction"] != METRICS[name].direction:
            yield f"{what} has the direction {row['direction']}, not {METRICS[name].direction}"
        low, high = value_range(name)
        if value is not None and math.isfinite(value) and not low <= value <= high:
            yield f"{what} is {value:.6g}, outside of {low:g} to {high:g}"


def value_range(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric of this project can have."""
    if metric.endswith("_pct") or "_pct_" in metric:
        return 0.0, 100.0
    shares = metric.startswith("one_minus_")
    if shares or metric in ("auroc", "f1_macro", "average_precision"):
        return 0.0, 1.0
    return 0.0, math.inf


def wrong_times(rows: Rows, latest: datetime) -> Iterator[str]:
    """Yield attempts whose times cannot be; none may end after `latest`."""
    facts = {
        (row["cell_id"], row["attempt"], row["started_at"], row["finished_at"], row["wall_s"])
        for row in rows
    }
    for cell_id, number, started, finished, wall_s in sorted(facts, key=lambda fact: fact[:2]):
        what = f"attempt {number} at cell {cell_id}"
        if started is None or finished is None:
            yield f"{what} has no time"
        elif finished < started:
            yield f"{what} ended before it began"
        elif started < _FIRST or finished > latest:
            yield f"{what} ran at {started:%Y-%m-%d %H:%M} to {finished:%Y-%m-%d %H:%M} UTC"
        elif not 0 <= (wall_s or 0.0) <= (finished - started + CLOCKS).total_seconds():
            yield f"{what} took {wall_s:.0f} s between times that are less apart"


def time_in(text: Any) -> datetime | None:
    """Return the time that a text says; None if it says none with a time zone."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None
