"""A cell of the ledger made again: its grid, the command that does it, what came out differently.

What a ledger says runs no code: plug-ins are named by the person who runs the command, and their
text must be what it was, for it is part of the cell.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.cell import Cell
from runner.config import Grid, make_grid
from runner.conflicts import differ
from runner.ledgers import Ledgers, Results
from runner.planned import PlannedCell
from runner.submissions.reading import Submission
from xmft.errors import RequestError

PREFIX = "cell:"
_MEANINGS = {
    "data": "the data",
    "weights": "the backbone's weights or tokenizer",
    "plugins": "the text of its plug-ins",
    "source": "the source proxy",
    "task_version": "the version of the task",
    "method_version": "the version of the method",
    "metric_versions": "the versions of the metrics",
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A cell as the ledger has it.

    Attributes:
        cell_id: Its id.
        cell: What was run.
        origin: Of its data, None if no attempt knows.
        invocation: What the run was told; empty for rows of older versions.
    """

    cell_id: str
    cell: Cell
    origin: str | None
    invocation: Mapping[str, Any]

    @property
    def miniature(self) -> bool:
        """Whether its data were a miniature that the grid asked for."""
        return bool(self.invocation.get("miniature", self.origin == "miniature"))


def recorded(ledger: Results, prefix: str) -> Recorded:
    """Return the one cell whose id begins with `prefix`.

    Raises:
        RequestError: there is none, there are several, or what it says cannot be read.
    """
    cell_id = ledger.find(prefix)
    rows = ledger.read(cell_id=cell_id).to_pylist()
    # The attempt that gave the numbers, or the latest one.
    return record_of(max(rows, key=lambda row: (row["status"] == "ok", row["attempt"])))


def record_of(row: Mapping[str, Any]) -> Recorded:
    """Return what a row of the ledger says of its cell.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        cell = Cell.from_json(row["config_json"])
        invocation = json.loads(row["invocation"] or "{}")
        if not isinstance(invocation, dict) or cell.id != row["cell_id"]:
            raise ValueError("it is not the one that the id stands for")
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RequestError(
            f"What the ledger says of cell {row['cell_id']} cannot be run again: its "
            f"configuration cannot be read ({error})."
        ) from None
    return Recorded(
        cell_id=row["cell_id"], cell=cell, origin=row["data_origin"], invocation=invocation
    )


def grid_of_cell(
    ledger: Results, cell_id: str, settings: Sequence[str] = (), *, plugins: Sequence[str] = ()
) -> Grid:
    """Return a grid with exactly one cell of the ledger.

    Args:
        ledger: Has the cell.
        cell_id: Its id, or how it begins.
        settings: `key=value`, such as `backbone=FOLDER` where it lies elsewhere now.
        plugins: The plug-ins that it was made with.

    Raises:
        RequestError: there is no such cell, or a plug-in is not named.
    """
    from xmft.source import proxy_name

    found = recorded(ledger, cell_id)
    cell = found.cell
    _check_plugins(found, plugins)
    _check_not_searched(found)
    own = {name: cell.recipe[name] for name in cell.own_recipe if name in cell.recipe}
    content: dict[str, Any] = {
        "tasks": [cell.task],
        "methods": [cell.method],
        "seeds": [cell.seed],
        "protocol": cell.protocol,
        "miniature": found.miniature,
        "recipe": {name: value for name, value in cell.recipe.items() if name not in own},
        "options": {cell.method: cell.method_config},
    }
    if own:
        content["per_method"] = {cell.method: own}
    if cell.backbone != "none":
        content["backbone"] = str(found.invocation.get("backbone") or cell.backbone)
    if cell.source:
        content["source"] = proxy_name(cell.source)
    return make_grid(content, settings, plugins=plugins, where=f"cell {found.cell_id}")


def check_same(found: Recorded, planned: Sequence[PlannedCell]) -> None:
    """Refuse to run something else under a cell's name.

    Raises:
        RequestError: the plan has another cell; says what differs.
    """
    if any(item.cell.id == found.cell_id for item in planned):
        return
    problem = next((item.problem for item in planned if item.problem), None)
    if problem is not None:
        raise RequestError(f"Cell {found.cell_id} cannot be made again: {problem}")
    now = planned[0].cell if planned else found.cell
    differences = "; ".join(_differences(found.cell, now)) or "nothing that is known"
    raise RequestError(
        f"Cell {found.cell_id} cannot be made again with what is here: {differences}. Use what it "
        "was made with, or run a grid for a cell of its own."
    )


def command_again(found: Recorded, results: str) -> str:
    """Return the command that makes a cell again on this machine.

    Args:
        found: The cell.
        results: Path or URI of the ledger, without secrets.

    Raises:
        RequestError: a search made it, and its grid makes it again.
    """
    _check_not_searched(found)
    from benchmarks.files import default_data_root

    said = found.invocation
    words = ["xmft", "run", f"{PREFIX}{found.cell_id}", "--results", results, "--force"]
    data = said.get("data")
    if isinstance(data, str) and Path(data) != default_data_root().absolute():
        words += ["--data", data]
    for plugin in said.get("plugins") or []:
        words += ["--plugin", str(plugin)]
    for option in ("workers", "threads"):
        if said.get(option) not in (None, 1):
            words += [f"--{option}", str(said[option])]
    if said.get("workers") not in (None, 1) and said.get("sharding") not in (None, "ddp"):
        words += ["--sharding", str(said["sharding"])]
    return shlex.join(words)


def way_again(results: Results, found: Recorded) -> str:
    """Return the command that makes a cell again, wherever it is; of a submitted file, compares it.

    Args:
        results: One ledger, several, or a submitted file.
        found: A cell of them.

    Raises:
        RequestError: it cannot be made again.
    """
    holder = results.holder(found.cell_id) if isinstance(results, Ledgers) else results
    command = command_again(found, holder.shown)
    if isinstance(holder, Submission):
        return shlex.join(["xmft", "verify-results", holder.shown, "--cell", found.cell_id])
    return command


def compared(ledger: Results, cell_id: str) -> str:
    """Say whether the latest attempt of a cell gives the numbers of the one before.

    Only attempts that are ok count.
    """
    rows = ledger.read(cell_id=cell_id).filter(pc.field("status") == "ok")
    numbers = sorted(set(rows["attempt"].to_pylist()))
    if len(numbers) < 2:
        return f"Cell {cell_id} has no earlier numbers to compare with."
    before, after = numbers[-2:]
    old, new = _values(rows, before), _values(rows, after)
    names = old.keys() & new.keys()
    far = {name: abs(old[name] - new[name]) for name in names if differ(old[name], new[name])}
    of = f"attempt {after} and attempt {before} of cell {cell_id}"
    if not far and old.keys() == new.keys():
        return f"The same numbers: {of} agree in all {len(names)} of them."
    text = f"Other numbers: {of} differ in {len(far)} of {len(names)}"
    if far:
        worst = max(far, key=lambda name: far[name] / max(abs(old[name]), 1e-30))
        text += f", most in {' '.join(worst)}: {old[worst]:.8g} then, {new[worst]:.8g} now"
    lacking = len(old.keys() ^ new.keys())
    return text + (f"; {lacking} are in one of them alone." if lacking else ".")


def _values(rows: pa.Table, attempt: int) -> dict[tuple[str, str, str], float]:
    return {
        (row["split"], row["selection"], row["metric"]): row["value"]
        for row in rows.filter(pc.field("attempt") == attempt).to_pylist()
    }


def _check_not_searched(found: Recorded) -> None:
    if found.cell.trial or found.cell.tuned:
        raise RequestError(
            f"Cell {found.cell_id} is part of a search ({found.cell.title}). Run its grid again "
            "instead: what is missing of it is made as it was."
        )


def _check_plugins(found: Recorded, given: Sequence[str]) -> None:
    wanted = {role.partition(":")[2] for role in found.cell.plugins}
    named = {Path(name).stem if name.endswith(".py") else name.partition(".")[0] for name in given}
    for package in sorted(wanted - named):
        places = [str(name) for name in found.invocation.get("plugins") or []]
        where = f" (then {', '.join(places)})" if places else ""
        raise RequestError(
            f"Cell {found.cell_id} was made with the plug-in '{package}'{where}, which is code: "
            "name it with --plugin if you trust it."
        )


def _differences(then: Cell, now: Cell) -> Iterator[str]:
    before, after = json.loads(then.config_json), json.loads(now.config_json)
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one == other or (name == "backbone" and then.weights == now.weights):
            continue
        if isinstance(one, dict) and isinstance(other, dict) and name not in _MEANINGS:
            for key in sorted(one.keys() | other.keys()):
                if one.get(key) != other.get(key):
                    yield f"{name}.{key} was {one.get(key)!r} and is {other.get(key)!r}"
        else:
            meaning = _MEANINGS.get(name, name)
            yield f"{meaning} ({name}) was {one!r} and is {other!r}"
