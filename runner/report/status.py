"""What the ledger holds: counts by task, and everything about one cell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.conflicts import conflicts, told
from runner.report.bases import added_in_cell
from runner.report.compute import tells_device_time, tells_flops
from runner.report.tuning import trials_table
from runner.report.wording import duration, operations
from runner.results import Result, results
from runner.schema import FAILURES
from runner.usage import total
from xmft.errors import RequestError

_PROVENANCE = (
    "params",
    "trainable_params",
    "align_s",
    "fit_s",
    "eval_s",
    "peak_memory_bytes",
    "worker_count",
    "device",
    "precision",
    "git_revision",
    "git_dirty",
    "host",
    "gpu_name",
    "gpu_driver",
    "device_count",
    "gpu_s",
    "cpu_s",
    "peak_memory_sum_bytes",
    "energy_j",
    "energy_source",
    "threads",
    "sharding",
    "flops",
    "align_flops",
    "fit_flops",
    "eval_flops",
    "invocation",
)
# More failed cells than these are told in number: nobody reads them, and they take seconds to set.
_MOST_FAILURES = 100


@dataclass(frozen=True, kw_only=True)
class TaskCounts:
    """Cells of one task on data of one origin.

    Attributes:
        ok: Cells with an ok attempt.
        failed: The other cells, by the failure of their latest attempt.
        wall_s: Seconds of all attempts.
        device_s: Device seconds of the attempts that count; None if some are unknown.
        flops: Floating-point operations likewise.
    """

    task: str
    protocol: str
    origin: str | None
    ok: int
    failed: dict[str, int]
    wall_s: float
    device_s: float | None
    flops: float | None


def overview(table: pa.Table) -> list[RenderableType]:
    """Return what `xmft status` shows of the rows of a ledger, in parts."""
    cells = results(table)
    failed = failures_table(cells)
    parts: list[RenderableType] = [status_table(cells)]
    parts += [failed] if failed is not None else []
    trials = trials_table(results(table, split="val", trials=True))
    parts += [trials] if trials is not None else []
    return parts + [Text(f"note: {sentence}") for sentence in told(conflicts(table))]


def summary(cells: Sequence[Result]) -> list[TaskCounts]:
    """Count the cells of the ledger by protocol, task and origin."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for cell in cells:
        groups.setdefault((cell.protocol, cell.task, cell.origin or ""), []).append(cell)
    counts = []
    for (protocol, task, origin), members in sorted(groups.items()):
        failures = Counter(cell.failure or "code" for cell in members if cell.state == "failed")
        counts.append(
            TaskCounts(
                task=task,
                protocol=protocol,
                origin=origin or None,
                ok=len(members) - failures.total(),
                failed=dict(failures),
                wall_s=sum(cell.wall_s for cell in members),
                device_s=total([cell.device_s for cell in members if cell.state == "ok"]),
                flops=total([cell.flops for cell in members if cell.state == "ok"]),
            )
        )
    return counts


def status_table(cells: Sequence[Result]) -> Table:
    """Return the counts of `summary` as a table for the terminal, with totals."""
    counts = summary(cells)
    shown = [name for name in FAILURES if any(name in count.failed for count in counts)]
    view = Table(title="Cells in the ledger", title_justify="left", show_footer=True)
    view.add_column("task", footer="all")
    view.add_column("protocol")
    view.add_column("data")
    view.add_column("ok", justify="right", footer=str(sum(count.ok for count in counts)))
    for name in shown:
        every = sum(count.failed.get(name, 0) for count in counts)
        view.add_column(name, justify="right", footer=str(every))
    view.add_column("time", justify="right", footer=duration(sum(count.wall_s for count in counts)))
    timed, counted = tells_device_time(counts), tells_flops(counts)
    if timed:
        device_s = total([count.device_s for count in counts if count.ok])
        view.add_column("device time", justify="right", footer=_duration(device_s))
    if counted:
        flops = total([count.flops for count in counts if count.ok])
        view.add_column("FLOPs", justify="right", footer=operations(flops))
    for count in counts:
        failed = [str(count.failed[name]) if name in count.failed else "" for name in shown]
        view.add_row(
            Text(count.task),
            count.protocol,
            count.origin or "unknown",
            str(count.ok),
            *failed,
            duration(count.wall_s),
            *([_duration(count.device_s)] if timed else []),
            *([operations(count.flops)] if counted else []),
        )
    return view


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def failures_table(cells: Sequence[Result]) -> Table | None:
    """Return the cells that have no ok attempt, with the last line of their latest error.

    Of very many the first, and how to see the others.
    """
    failed = [cell for cell in cells if cell.state == "failed"]
    if not failed:
        return None
    left = len(failed) - _MOST_FAILURES
    view = Table(
        title="Failed cells",
        title_justify="left",
        caption=f"and {left} more: `xmft export --to cells.csv` lists them" if left > 0 else None,
        caption_justify="left",
    )
    for name in ("cell", "task", "method", "seed", "failure"):
        view.add_column(name, no_wrap=name == "cell")
    view.add_column("error", overflow="fold")
    failed.sort(key=lambda cell: (cell.task, cell.method, cell.seed))
    for cell in failed[:_MOST_FAILURES]:
        # Of a traceback the last line says what happened.
        error = (cell.error or "").strip().splitlines()[-1:]
        view.add_row(
            cell.cell_id,
            Text(cell.task),
            cell.method,
            str(cell.seed),
            cell.failure,
            Text("".join(error)),
        )
    return view


def show_cell(table: pa.Table, curves: pa.Table, cell_id: str) -> RenderableType:
    """Return everything the ledger knows of one cell, for the terminal.

    Args:
        table: Rows of the ledger.
        curves: The cell's training curves, possibly empty.
        cell_id: The whole id.

    Raises:
        RequestError: the table has no such cell.
    """
    rows = table.filter(pc.field("cell_id") == cell_id)
    if not rows.num_rows:
        raise RequestError(f"The ledger holds no cell '{cell_id}'.")
    selection, split = "best_val", "test"
    (cell,) = results(rows, selection=selection, split=split) or results(rows, trials=True)
    records = rows.filter(pc.field("attempt") == cell.attempt).to_pylist()
    first = records[0]
    backbone = "no backbone" if first["backbone"] == "none" else first["backbone"]
    parts: list[RenderableType] = [
        Text(f"cell {cell_id}", style="bold"),
        Text(
            f"{first['task']} · {first['method']} · {backbone} · "
            f"seed {first['seed']} · "
            f"protocol {first['protocol']} · {first['data_origin'] or 'unknown'} data"
        ),
        _attempts(rows),
    ]
    if cell.state == "ok":
        parts.append(_records("scores", _SCORES, records))
        if added := added_in_cell(cell, selection=selection, split=split):
            parts.append(Text(added))
    else:
        parts.append(Text(f"{cell.failure}: {cell.error}", style="red"))
    if curves.num_rows:
        parts.append(_curves(curves))
    config = json.dumps(json.loads(first["config_json"]), indent=2, ensure_ascii=False)
    facts = "\n".join(f"{name}: {first[name]}" for name in _PROVENANCE)
    versions = "\n".join(f"{k}: {v}" for k, v in json.loads(first["versions"] or "{}").items())
    for name, text in (
        ("configuration", config),
        (f"provenance of attempt {cell.attempt}", facts),
        ("versions", versions),
    ):
        parts += [Text(f"\n{name}", style="bold"), Text(text)]
    return Group(*parts)


_SCORES = ("split", "selection", "metric", "metric_version", "direction", "value", "epoch")


def _attempts(rows: pa.Table) -> Table:
    numbers = sorted(set(rows["attempt"].to_pylist()))
    records = []
    for number in numbers:
        found = rows.filter(pc.field("attempt") == number).to_pylist()
        score = main_score(found)
        told = "" if score is None or score[1] is None else f"{score[0]} {score[1]:.6g}"
        records.append({**found[0], "main score": told})
    for record in records:
        record["time"] = duration(record["wall_s"] or 0.0)
        record["started_at"] = f"{record['started_at']:%Y-%m-%d %H:%M:%S} UTC"
    columns = ("attempt", "status", "failure", "main score", "started_at", "time", "host")
    return _records("attempts", columns, records)


def main_score(rows: Sequence[Mapping[str, Any]]) -> tuple[str, float | None] | None:
    """Return name and value of the metric that ranks an attempt, on the split that counts.

    That is the test split but for trials of a search, which never see it. The one of the best
    epoch by validation comes first; None if the attempt has neither.
    """
    for selection in ("best_val", "last"):
        for row in rows:
            config = json.loads(row["config_json"])
            wanted = "val" if config.get("trial") else "test", selection
            main = next(iter(config.get("metric_versions", {})), None)
            if (row["split"], row["selection"]) == wanted and row["metric"] == main:
                return row["metric"], row["value"]
    return None


def _curves(curves: pa.Table) -> Table:
    """Return first, lowest, highest and last value of every curve."""
    groups: dict[tuple[str, str], list[float]] = {}
    for point in curves.sort_by("epoch").to_pylist():
        groups.setdefault((point["split"], point["name"]), []).append(point["value"])
    columns = ("split", "name", "points", "first", "lowest", "highest", "last")
    records = [
        dict(zip(columns, (split, name, len(v), v[0], min(v), max(v), v[-1]), strict=True))
        for (split, name), v in groups.items()
    ]
    return _records("curves", columns, records)


def _records(title: str, columns: tuple[str, ...], records: list[dict[str, Any]]) -> Table:
    view = Table(title=title, title_justify="left")
    for name in columns:
        view.add_column(name)
    for record in records:
        view.add_row(*(Text(_cell(record[name])) for name in columns))
    return view


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
