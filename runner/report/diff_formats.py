"""How the difference between two ledgers is written down: for documents and programs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from runner.report.diff import CellChange, Difference, EntryChange, told_failure
from runner.report.markdown import markdown_table
from runner.visible import in_markdown, in_spreadsheet

# More cells than these are told in number where people read.
_MOST = 100
_RULE = (
    "change: B minus A, of the means over the seeds that both have, relative to A; worse or better "
    "where it is more than the spread, which is sqrt((std_A^2 + std_B^2) / 2), or with one seed or "
    "none of spread more than the tolerance"
)
_ENTRY = ("task", "entry", "metric", "seeds", "A", "B", "change", "spread", "verdict")
_CELL = ("task", "entry", "seed", "A", "B", "what", "identity")


def summary(found: Difference) -> str:
    """Return in one sentence what happened to the cells and to the entries."""
    cells = Counter(one.kind for one in found.cells)
    entries = Counter(one.verdict for one in found.entries)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(cells.items()))
    moved = ", ".join(f"{count} {kind}" for kind, count in sorted(entries.items()))
    return (
        f"{len(found.cells)} cells: {told}; {len(found.entries)} entries on tasks: {moved or '0'}"
    )


def to_markdown(found: Difference, names: Sequence[str]) -> str:
    """Return the difference as Markdown.

    Args:
        found: The difference.
        names: Of A and B.
    """
    blocks = ["\n".join(f"* {in_markdown(line)}" for line in heading(found, names))]
    for title, columns, rows in tables(found):
        texts = [[in_markdown(cell) for cell in row] for row in rows]
        blocks += [f"## {title}", markdown_table(list(columns), texts)]
    blocks += [in_markdown(line) for line in left_out(found)]
    return "\n\n".join(blocks) + "\n"


def records(found: Difference) -> list[dict[str, Any]]:
    """Return one record per entry and task, and one per cell: `level` says which."""
    return [*map(_entry_record, found.entries), *map(_cell_record, found.cells)]


def to_csv(found: Difference, names: Sequence[str]) -> str:
    """Return `records` as CSV."""
    sink = io.StringIO()
    rows = records(found)
    fields = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sink, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: in_spreadsheet(v) if isinstance(v, str) else v for k, v in row.items()})
    return sink.getvalue()


def to_json(found: Difference, names: Sequence[str]) -> str:
    """Return names, counts and `records` as JSON."""
    content = {
        "a": names[0],
        "b": names[1],
        "summary": summary(found),
        "worse": found.worse,
        "incomparable": found.incomparable,
        "lost": found.lost,
        "records": records(found),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


# What is printed as it is; the table is for the terminal.
DIFF_FORMATS: dict[str, Callable[[Difference, Sequence[str]], str] | None] = {
    "table": None,
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
}


def heading(found: Difference, names: Sequence[str]) -> list[str]:
    """Return the lines above the tables; arguments as for `to_markdown`."""
    lines = [f"A: {names[0]}", f"B: {names[1]}", summary(found)]
    return [*lines, _RULE] if found.entries else lines


def tables(found: Difference) -> Iterator[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Yield title, names of the columns and rows of what changed, entries before cells."""
    if found.entries:
        yield "Entries", _ENTRY, [_entry_row(one) for one in found.entries]
    shown = [one for one in found.cells if one.kind != "same" or one.identity]
    if shown:
        yield "Cells", _CELL, [_cell_row(one) for one in shown[:_MOST]]


def left_out(found: Difference) -> list[str]:
    """Return the lines below the tables: what is not in them, and what was not compared."""
    shown = sum(one.kind != "same" or bool(one.identity) for one in found.cells)
    more = shown - _MOST
    lines = [f"and {more} more cells: --format csv has them"] if more > 0 else []
    return lines + [f"not compared: {one}" for one in found.incomparable]


def _entry_row(one: EntryChange) -> list[str]:
    arrow = {"min": " ↓", "max": " ↑"}.get(one.direction or "", "")
    return [
        one.task,
        one.entry,
        one.metric + arrow,
        " ".join(map(str, one.seeds)),
        _number(one.first),
        _number(one.second),
        "" if one.relative is None else f"{one.relative:+.2%}",
        _number(one.spread),
        one.verdict,
    ]


def _cell_row(one: CellChange) -> list[str]:
    values = [
        "" if cell is None else told_failure(cell) if cell.value is None else _number(cell.value)
        for cell in (one.first, one.second)
    ]
    identity = ", ".join(one.identity)
    return [one.cell.task, one.entry, str(one.cell.seed), *values, one.kind, identity]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _entry_record(one: EntryChange) -> dict[str, Any]:
    return {
        "level": "entry",
        "task": one.task,
        "entry": one.entry,
        "origin": one.origin,
        "metric": one.metric,
        "direction": one.direction,
        "seeds": " ".join(map(str, one.seeds)),
        "a": one.first,
        "b": one.second,
        "difference": one.difference,
        "relative": one.relative,
        "spread": one.spread,
        "margin": one.margin,
        "verdict": one.verdict,
        "why": one.why,
    }


def _cell_record(one: CellChange) -> dict[str, Any]:
    first, second = one.first, one.second
    return {
        "level": "cell",
        "task": one.cell.task,
        "entry": one.entry,
        "origin": one.origin,
        "metric": one.cell.metric,
        "direction": one.cell.direction,
        "seeds": str(one.cell.seed),
        "a": first.value if first else None,
        "b": second.value if second else None,
        "difference": one.difference,
        "verdict": one.kind,
        "why": ", ".join(one.identity),
        "cell_a": first.cell_id if first else None,
        "cell_b": second.cell_id if second else None,
        "failure_a": first.failure if first else None,
        "failure_b": second.failure if second else None,
    }
