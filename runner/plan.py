"""From a grid to cells: what is done, what is missing, what cannot run."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import catalog
from runner.cell import Cell, make_cell
from runner.config import Grid, validated
from runner.ledger import CellState, Ledger
from xmft.backbones import weights_fingerprint
from xmft.errors import DataError, RequestError
from xmft.methods import methods
from xmft.metrics import metrics
from xmft.registry import nearest
from xmft.sources import PROXIES
from xmft.task import Recipe

State = Literal["done", "failed", "missing"]

# Seconds for one sample, token and layer, forward and backward, on one core; only the order of
# the cells and a first guess depend on it. Measured times replace it as soon as there are some.
_SECONDS_PER_UNIT = 1.1e-4
_USUAL_SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell with what the ledger and the data root say about it.

    Attributes:
        cell: The cell.
        state: What the ledger says.
        failure: Class of the last failure.
        source: Where its data come from; None when they are missing.
        problem: Why its data are missing.
        expected_s: Expected seconds on one slot.
        measured: Whether the expectation is the median of finished cells.
    """

    cell: Cell
    state: State
    failure: str | None
    source: catalog.Source | None
    problem: str | None
    expected_s: float
    measured: bool


def make_plan(grid: Grid, ledger: Ledger, data_root: Path) -> list[PlannedCell]:
    """Expand a grid; nothing is generated, downloaded or run.

    Raises:
        RequestError: the grid names something unknown, or a backbone that cannot be found.
    """
    recipes = {name: grid.recipe_of(name) for name in grid.tasks}
    _check_names(grid)
    entries = {name: catalog.get(name) for name in grid.tasks}
    planned: dict[str, PlannedCell] = {}
    configs = {
        name: validated(
            methods[name].Config, grid.options.get(name, {}), where=f"options of {name}"
        )
        for name in grid.methods
    }
    weights = weights_fingerprint(grid.backbone)
    states = ledger.states()
    history = _median_seconds(ledger.read())
    for name, entry in entries.items():
        source, problem = _locate(name, data_root, recipes[name])
        for method in grid.methods:
            for seed in grid.seeds:
                kind = methods[method]
                cell = make_cell(
                    task=entry.task,
                    method=method,
                    method_version=kind.version,
                    method_config=configs[method].model_dump(mode="json"),
                    recipe=recipes[name],
                    backbone=grid.backbone,
                    weights=weights,
                    source=grid.source if kind.uses_source else None,
                    protocol=grid.protocol,
                    seed=seed,
                    data=source.fingerprint if source else "missing",
                    metric_versions={m: metrics[m].version for m in entry.task.metrics},
                )
                known = states.get(cell.id)
                expected = history.get((entry.task.name, method, _recipe_key(cell.recipe)))
                # By id: a task under two names, or a seed written twice, is one cell.
                planned[cell.id] = PlannedCell(
                    cell=cell,
                    state=_state(known),
                    failure=known.failure if known and known.status == "failed" else None,
                    source=source,
                    problem=problem,
                    expected_s=expected if expected is not None else _guess(recipes[name]),
                    measured=expected is not None,
                )
    return list(planned.values())


def _state(known: CellState | None) -> State:
    if known is None:
        return "missing"
    return "done" if known.status == "ok" else "failed"


def to_run(planned: Sequence[PlannedCell], *, retry_failed: bool, force: bool) -> list[PlannedCell]:
    """Return the cells that still have to run, longest expected first.

    A failed cell runs again when its failure says nothing about the cell (infrastructure), when
    its data have been mended, or when asked for.
    """
    chosen = [
        item
        for item in planned
        if force
        or item.state == "missing"
        or (item.state == "failed" and (retry_failed or item.failure in ("infra", "data")))
    ]
    return sorted(chosen, key=lambda item: -item.expected_s)


def _check_names(grid: Grid) -> None:
    for task in grid.tasks:
        catalog.get(task)
    for method in grid.methods:
        methods[method]
    for method in grid.options:
        if method not in methods:
            raise RequestError(f"Unknown method '{method}' in options. {nearest(method, methods)}")
    PROXIES[grid.source]


def _locate(name: str, data_root: Path, recipe: Recipe) -> tuple[catalog.Source | None, str | None]:
    try:
        return catalog.locate(name, data_root=data_root, recipe=recipe), None
    except DataError as error:
        return None, str(error)


def _recipe_key(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()


def _median_seconds(table: pa.Table) -> dict[tuple[str, str, str], float]:
    """Return the median wall time of finished cells by task, method and recipe."""
    if not table.num_rows:
        return {}
    finished = table.filter(pc.equal(table["status"], "ok"))
    columns = finished.select(["cell_id", "task", "method", "wall_s", "config_json"])
    times: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in columns.to_pylist():
        recipe = Cell.from_json(row["config_json"]).recipe
        key = (row["task"], row["method"], _recipe_key(recipe))
        times.setdefault(key, {})[row["cell_id"]] = row["wall_s"]
    return {key: statistics.median(values.values()) for key, values in times.items()}


def _guess(recipe: Recipe) -> float:
    samples = recipe.samples or _USUAL_SAMPLES
    layers = recipe.layers or 6
    return _SECONDS_PER_UNIT * samples * recipe.epochs * recipe.max_tokens * layers
