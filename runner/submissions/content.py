"""What the table of a submission must be before anything of it is looked at or computed with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from runner.cell import Cell
from runner.names import check_names
from runner.schema import CURVE_SCHEMA, SCHEMA, SELECTIONS, SINCE, Attempt

CURVES, EXAMPLES = "curves", "examples"
EXTRA = (
    pa.field(
        CURVES,
        pa.list_(pa.struct([(field.name, field.type) for field in CURVE_SCHEMA])),
        metadata={"description": "training curves of the cell, in its first row"},
    ),
    pa.field(
        EXAMPLES,
        pa.binary(),
        metadata={"description": "examples of the cell as an Arrow file, in its first row"},
    ),
)
# What every attempt says, failed ones included.
_REQUIRED = tuple(
    name
    for name, hint in get_type_hints(Attempt).items()
    if name in SCHEMA.names and type(None) not in get_args(hint)
)
# Whether it is an object of texts.
_JSON = {"versions": True, "invocation": False, "config_json": False}
# Columns of a few words.
_WORDS = {"status": ("ok", "failed"), "direction": ("min", "max")}
_LARGEST = 1e150
_CELL = TypeAdapter(Cell)
# Columns that say again what the configuration says.
_SAID = ("task", "task_version", "method", "method_version", "backbone", "seed", "protocol")

Rows = Sequence[Mapping[str, Any]]


def wrong_columns(table: pa.Table, statement: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the columns of a file and their values, each as half a sentence.

    Args:
        table: Of the file.
        statement: Its statement; its schema is not newer than this one.
    """
    version, signed = statement["schema_version"], statement["columns"]
    fields = [field for field in SCHEMA if SINCE[field.name] <= version]
    for told, names in (
        ("that were signed off", [*signed, CURVES, EXAMPLES]),
        (f"of version {version} of the schema", [field.name for field in (*fields, *EXTRA)]),
    ):
        if table.schema.names != names:
            odd = sorted(set(names) ^ set(table.schema.names)) or "another order"
            yield f"its columns are not those {told}: {odd}"
            return
    others = [
        f"{field.name} holds {table.schema.field(field.name).type}, not {field.type}"
        for field in (*fields, *EXTRA)
        if not _alike(table.schema.field(field.name).type, field.type)
    ]
    if others:
        yield f"its columns are of other types: {', '.join(others[:3])}"
        return
    empty = [name for name in _REQUIRED if table[name].null_count]
    if empty:
        yield f"rows say nothing in {', '.join(empty[:3])}, which every row has to"
        return
    points = pc.list_flatten(table[CURVES])
    if any(pc.struct_field(points, field.name).null_count for field in CURVE_SCHEMA):
        yield "a point of a curve says nothing in its epoch, split, name or value"
    for name, words in _WORDS.items():
        odd = sorted(set(pc.unique(table[name]).drop_null().to_pylist()) - set(words))
        if odd:
            yield f"{name} is {odd[0]!r} in a row, not {' or '.join(words)}"
    for field in SCHEMA:
        if pa.types.is_floating(field.type) and field.name in table.schema.names:
            # No sum of what is within these is beyond the numbers there are.
            low = -_LARGEST if field.name == "value" else 0.0
            numbers = table[field.name].drop_null()
            if field.name == "value":  # how training went: some metrics diverge
                numbers = numbers.filter(pc.is_finite(numbers))
            fine = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, _LARGEST))
            if not pc.all(fine, min_count=0).as_py():
                yield f"{field.name} is {numbers.filter(pc.invert(fine))[0].as_py():g} in a row"
    for name, of_texts in _JSON.items():
        if name in table.schema.names:
            for text in pc.unique(table[name]).drop_null().to_pylist():
                if not _is_object(text, of_texts):
                    yield f"{name} is no JSON object in a row, found {text[:60]!r}"
                    break
    try:
        check_names(table)
    except ValueError as error:
        yield str(error)


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    return bool((found.value_type if pa.types.is_dictionary(found) else found) == wanted)


def _is_object(text: str, of_texts: bool) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    return not of_texts or all(isinstance(value, str) for value in found.values())


def cell_in(text: str) -> Cell | None:
    """Return the cell that a configuration is of; None if it cannot be read."""
    try:
        _CELL.validate_json(text, strict=True)
        cell = Cell.from_json(text)
        _ = cell.id, cell.title
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    return cell if cell.metric_versions else None


def wrong_ids(rows: Rows) -> Iterator[str]:
    """Yield the cells whose id is not the hash of their configuration."""
    for cell_id, text in sorted({(row["cell_id"], row["config_json"]) for row in rows}):
        cell = cell_in(text)
        if cell is None:
            yield f"the configuration of cell {cell_id} cannot be read: it is not that of a cell"
        elif cell.id != cell_id:
            yield f"cell {cell_id} has the configuration of {cell.id}"


def wrong_configurations(rows: Rows, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Yield columns that say something else than the configuration of their cell."""
    told = set()
    for row in rows:
        cell = cells[row["cell_id"]]
        wanted = {name: getattr(cell, name) for name in _SAID}
        wanted |= {"suite": cell.task.split("/", 1)[0], "precision": cell.recipe.get("precision")}
        if row["selection"] in SELECTIONS and row["metric"] in cell.metric_versions:
            wanted["metric_version"] = dict(cell.metric_versions)[row["metric"]]
        for name, value in wanted.items():
            if row[name] != value and (row["cell_id"], name) not in told:
                told.add((row["cell_id"], name))
                yield f"{name} of cell {row['cell_id']} is {row[name]!r}, not {value!r}"


def wrong_cells(table: pa.Table) -> Iterator[str]:
    """Yield what `wrong_ids` and `wrong_configurations` do, of a table.

    Readers count on both: an id stands for one configuration, and columns say what it says.
    """
    names = ["cell_id", "config_json", *_SAID, "suite", "precision"]
    # Once for each cell: its versions of metrics are for those who verify.
    found = table.select(names).group_by(names).aggregate([]).to_pylist()
    rows = [row | {"selection": None} for row in found]
    wrong = list(wrong_ids(rows))
    yield from wrong
    if not wrong:
        texts = {row["cell_id"]: row["config_json"] for row in rows}
        yield from wrong_configurations(
            rows, {cell_id: Cell.from_json(text) for cell_id, text in texts.items()}
        )
