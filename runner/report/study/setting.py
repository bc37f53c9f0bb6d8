"""What was run: recipe, versions, dates; nothing that names a machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.report.compare import Leaderboard
from runner.report.markdown import markdown_table
from runner.results import Result

_FACTS = (
    "git_revision",
    "git_dirty",
    "versions",
    "device",
    "worker_count",
    "started_at",
    "finished_at",
)


def setting_text(board: Leaderboard, table: pa.Table) -> str:
    """Return the setting of the cells that were compared, as a list and a table of the tasks.

    Args:
        board: The cells.
        table: Rows of the ledger they came from.
    """
    cells = [cell for entry in board.by_label for cell in entry.cells]
    of_these = pc.field("cell_id").isin([cell.cell_id for cell in cells])
    facts = table.filter(of_these).select(_FACTS).to_pylist()
    ok = sum(cell.value is not None for cell in cells)
    versions = _all(
        f"{name} {version}"
        for text in {fact["versions"] for fact in facts}
        for name, version in json.loads(text).items()
    )
    recipes: dict[str, dict[str, Any]] = {}
    for cell in cells:
        # A method that has no use for a field leaves it out; what is said of it alone stands apart.
        recipes.setdefault(cell.task, {}).update(cell.setting["recipe"])
    fields = sorted({field for recipe in recipes.values() for field in recipe})
    seeds = sorted({cell.seed for cell in cells})
    first = min(fact["started_at"] for fact in facts)
    last = max(fact["finished_at"] for fact in facts)
    common = {
        field: value
        for field in fields
        if len(values := {_shown(recipe.get(field)) for recipe in recipes.values()}) == 1
        for value in values
    }
    differing = [field for field in fields if field not in common]
    options: dict[str, list[str]] = {}
    for entry in board.by_label:
        if entry.method_config:
            text = json.dumps(entry.method_config, sort_keys=True)
            options.setdefault(text, []).append(entry.label)
    lines = [
        f"cells: {len(cells)}, of which {ok} have a result; seeds {', '.join(map(str, seeds))}",
        f"protocol {board.query.protocol}, epoch selected by {board.query.selection}, scored on "
        f"{board.query.split}",
        f"backbone: {_all(b for entry in board.by_label for b in entry.backbones)}",
        f"source: {_all(s for entry in board.by_label for s in entry.sources)}",
        f"methods: {_all(f'{e.label} (version {e.method_version})' for e in board.by_label)}",
        *(f"options of {', '.join(labels)}: `{text}`" for text, labels in options.items()),
        f"recipe: {_listed(common)}",
        *(
            f"recipe of {e.label} alone: {_listed(own)}"
            for e in board.by_label
            if (own := _own_fields(e.cells))
        ),
        f"code: {_all(_revision(fact) for fact in facts)}",
        f"libraries: {versions}",
        f"device: {_all(fact['device'] for fact in facts)}; workers of a cell: "
        f"{_all(fact['worker_count'] for fact in facts)}",
        f"run from {first:%Y-%m-%d} to {last:%Y-%m-%d}",
    ]
    blocks = ["\n".join(f"* {line}" for line in lines)]
    if differing:
        rows = [
            [task, *(_shown(recipe.get(field)) for field in differing)]
            for task, recipe in sorted(recipes.items())
        ]
        blocks.append(markdown_table(["task", *differing], rows))
    return "\n\n".join(blocks)


def _own_fields(cells: Sequence[Result]) -> dict[str, str]:
    """Return what is said of an entry alone; all values where tasks or a search differ."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for field, value in cell.own_recipe.items():
            found.setdefault(field, {})[_shown(value)] = None
    return {field: " or ".join(values) for field, values in found.items()}


def _listed(fields: Mapping[str, str]) -> str:
    return ", ".join(f"{field} {value}" for field, value in fields.items())


def _revision(fact: dict[str, Any]) -> str:
    if fact["git_revision"] is None:
        return "not a checkout"
    return fact["git_revision"][:12] + (" with changes" if fact["git_dirty"] else "")


def _all(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values if value is not None})) or "none"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
