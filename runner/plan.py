"""From a grid to cells: what is done, what is missing, what cannot run."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from benchmarks import catalog, data
from runner.cell import Cell
from runner.config import Grid, TaskSettings, validated
from runner.ledger import CellState, Ledger
from xmft.backbones.reading import backbone_size
from xmft.backbones.weights import weights_fingerprint
from xmft.errors import DataError, RequestError
from xmft.methods import METHODS, Method
from xmft.methods.variants import method_of, options_of
from xmft.metrics import METRICS
from xmft.registry import nearest
from xmft.source import PROXIES, check_modality, proxy_identity
from xmft.task import Protocol, Recipe

State = Literal["done", "failed", "missing"]

# Seconds for one sample, token and layer, forward and backward, on one core; only the order of
# the cells and a first guess depend on it. Measured times replace it as soon as there are some.
_SECONDS_PER_UNIT = 1.1e-4
_USUAL_SAMPLES = 1000
_USUAL_LAYERS = 6
# The same without a backbone: for one sample of a neural operator, on the grids of the quick
# tasks; and to score what needs no training.
_SECONDS_PER_FIELD = 1e-2
_SECONDS_TO_SCORE = 1.0


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
    source: data.Located | None
    problem: str | None
    expected_s: float
    measured: bool


def make_plan(grid: Grid, ledger: Ledger, data_root: Path) -> list[PlannedCell]:
    """Expand a grid; nothing is generated or run, and no data are downloaded.

    The weights of a backbone of the hub are fetched if they are not there: they are part of the
    cell id.

    Raises:
        RequestError: the grid names something unknown, or a backbone or source proxy that cannot
            be found.
    """
    settings = {name: grid.settings_of(name) for name in grid.tasks}
    _check_request(grid, settings)
    recipes = {name: grid.recipe_of(name) for name in grid.tasks}
    entries = {name: catalog.get(name) for name in grid.tasks}
    planned: dict[str, PlannedCell] = {}
    configs = {
        name: validated(
            method_of(name).Config, options_of(name, grid.options), where=f"options of {name}"
        )
        for name in grid.methods
    }
    proxies = _proxies(grid, settings, data_root)
    states = ledger.states()
    history = _median_seconds(ledger.read())
    for name, entry in entries.items():
        source, problem = _locate(name, data_root, recipes[name], grid.protocol)
        for method in grid.methods:
            for seed in grid.seeds:
                kind = method_of(method)
                cell = Cell(
                    task=entry.task.name,
                    task_version=entry.task.version,
                    method=method,
                    method_version=kind.version,
                    method_config=configs[method].model_dump(mode="json"),
                    recipe=recipes[name].model_dump(mode="json", exclude=set(kind.ignores)),
                    **_carrier(kind, settings[name], proxies),
                    protocol=grid.protocol,
                    seed=seed,
                    data=source.fingerprint if source else "missing",
                    metric_versions={m: METRICS[m].version for m in entry.task.metrics},
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
                    expected_s=expected if expected is not None else _guess(kind, recipes[name]),
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


def _check_request(grid: Grid, settings: Mapping[str, TaskSettings]) -> None:
    """Refuse what could only fail in every cell."""
    for method in grid.methods:
        options_of(method, grid.options)
    for method in grid.options:
        base = method.partition(":")[0]
        if base not in METHODS:
            raise RequestError(f"Unknown method '{base}' in options. {nearest(base, METHODS)}")
    for task in grid.tasks:
        kind = catalog.get(task).task.kind
        for method in grid.methods:
            if kind not in method_of(method).kinds:
                raise RequestError(
                    f"Method '{method}' is for {' and '.join(method_of(method).kinds)} tasks, but "
                    f"'{task}' is a {kind} task. Leave out one of them with --methods or --tasks."
                )
    for method in grid.methods:
        method_of(method).check_installed()
    for of_task in settings.values():
        PROXIES[of_task.source]
    if any(method_of(method).uses_backbone for method in grid.methods):
        aligns = any(method_of(method).uses_source for method in grid.methods)
        for task, of_task in settings.items():
            _check_size(task, of_task)
            if aligns:
                modality = backbone_size(of_task.backbone).modality
                check_modality(of_task.source, modality, of_task.backbone, task=task)


def _check_size(task: str, settings: TaskSettings) -> None:
    size = backbone_size(settings.backbone)
    if size.modality == "vision" and catalog.get(task).axes == 1:
        raise RequestError(
            f"Backbone '{settings.backbone}' reads images, but the inputs of task '{task}' have "
            "one axis. Choose a text encoder for this task, such as minilm or roberta-base, with "
            "--set backbone=NAME or per_task."
        )
    if settings.layers is not None and size.modality == "vision":
        raise RequestError(
            f"layers={settings.layers} ({task}), but backbone '{settings.backbone}' is a Swin, "
            "whose stages belong together. Leave layers out (null)."
        )
    if settings.layers is not None and settings.layers > size.layers:
        raise RequestError(
            f"layers={settings.layers} ({task}), but backbone '{settings.backbone}' has "
            f"{size.layers} layers."
        )
    if size.positions is not None and settings.max_tokens > size.positions:
        raise RequestError(
            f"max_tokens={settings.max_tokens} ({task}), but backbone '{settings.backbone}' has "
            f"{size.positions} positions."
        )


def _proxies(grid: Grid, settings: Mapping[str, TaskSettings], data_root: Path) -> dict[str, str]:
    """Return the identity of each source proxy in use; the files of one are looked for once."""
    if not any(method_of(method).uses_source for method in grid.methods):
        return {}
    names = sorted({of_task.source for of_task in settings.values()})
    return {name: proxy_identity(name, data_root) for name in names}


def _carrier(
    method: type[Method], settings: TaskSettings, proxies: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a cell says of its backbone and source; the same for all where none is used.

    Args:
        method: The method.
        settings: The task's settings.
        proxies: Identities of the source proxies by name.
    """
    if not method.uses_backbone:
        return {"backbone": "none", "weights": "none", "source": None}
    return {
        "backbone": settings.backbone,
        "weights": weights_fingerprint(settings.backbone),
        "source": proxies[settings.source] if method.uses_source else None,
    }


def _locate(
    name: str, data_root: Path, recipe: Recipe, protocol: Protocol
) -> tuple[data.Located | None, str | None]:
    try:
        source = data.locate(name, data_root=data_root, recipe=recipe, protocol=protocol)
    except DataError as error:
        return None, str(error)
    return source, None


def _recipe_key(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()


def _median_seconds(table: pa.Table) -> dict[tuple[str, str, str], float]:
    """Return the median wall time of finished cells by task, method and recipe."""
    if not table.num_rows:
        return {}
    columns = table.select(["cell_id", "status", "task", "method", "wall_s", "config_json"])
    cells = {row["cell_id"]: row for row in columns.to_pylist() if row["status"] == "ok"}
    times: dict[tuple[str, str, str], list[float]] = {}
    for row in cells.values():
        recipe = json.loads(row["config_json"])["recipe"]
        key = (row["task"], row["method"], _recipe_key(recipe))
        times.setdefault(key, []).append(row["wall_s"])
    return {key: statistics.median(values) for key, values in times.items()}


def _guess(method: type[Method], recipe: Recipe) -> float:
    if "epochs" in method.ignores:
        return _SECONDS_TO_SCORE
    fields = (recipe.samples or _USUAL_SAMPLES) * recipe.epochs
    if not method.uses_backbone:
        return _SECONDS_PER_FIELD * fields
    return _SECONDS_PER_UNIT * fields * recipe.max_tokens * (recipe.layers or _USUAL_LAYERS)
