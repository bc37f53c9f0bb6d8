"""From a grid to cells: what is done, what is missing, what cannot run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import catalog, data
from benchmarks.files import one_look
from benchmarks.miniature import make_miniatures
from runner.cell import Cell
from runner.config import Grid, TaskSettings
from runner.expected import guess_seconds, usual_seconds
from runner.ledger import CellState, Ledger
from runner.planned import PlannedCell, State
from runner.plugins import install, plugins_used, read_plugins
from runner.results import RESULT_COLUMNS, results
from runner.search.planning import check_methods, planned_steps
from runner.search.study import settled_trials
from runner.task_choice import (
    check_recipes,
    left_out_remarks,
    preset_remarks,
    skipped_tasks,
    unfit_tasks,
)
from runner.validation import validated
from xmft.backbones.reading import backbone_size, check_readable, remarks
from xmft.backbones.weights import place_of, title_of, weights_fingerprint
from xmft.canonical import suited
from xmft.errors import DataError, RequestError
from xmft.methods import METHODS, Method
from xmft.methods.variants import method_of, options_of
from xmft.metrics import METRICS
from xmft.registry import nearest
from xmft.source import PROXIES, check_modality, default_proxy, proxy_identity
from xmft.task import Protocol, Recipe


def make_plan(grid: Grid, ledger: Ledger, data_root: Path) -> list[PlannedCell]:
    """Expand a grid; nothing is generated or run, and no data are downloaded.

    Miniatures, some MB of demonstration, are written if the grid asks for them. The weights of a
    backbone of the hub are fetched if they are not there: they are part of the cell id.

    Raises:
        RequestError: the grid names something unknown, or a backbone or source proxy that cannot
            be found.
    """
    install(read_plugins(grid.plugins))
    settings = {name: grid.settings_of(name) for name in grid.tasks}
    if any(method_of(name).uses_source for name in grid.methods):
        settings = {name: _with_source(of_task) for name, of_task in settings.items()}
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
    data_root = data_root_of(grid, data_root)
    unfit = {method: unfit_tasks(method, grid) for method in grid.methods}
    skipped = {method: skipped_tasks(method, grid) for method in grid.methods}
    states = ledger.states()
    table = ledger.rows(RESULT_COLUMNS)
    usual = usual_seconds(results(table))
    settled = settled_trials(table) if grid.search else {}
    with one_look():
        where = {name: _locate(name, data_root, recipes[name], grid.protocol) for name in entries}
    for name, entry in entries.items():
        task, found = entry.task_under(grid.protocol), where[name]
        source = found if isinstance(found, data.Located) else None
        problem = None if isinstance(found, data.Located) else str(found)
        for method in grid.methods:
            if name in unfit[method] or name in skipped[method]:
                continue
            kind = method_of(method)
            own = grid.own_recipe(method).keys() - kind.ignores
            recipe = suited(grid.recipe_of(name, method), task, own)
            stated = recipe.stated(kind.ignores, own)
            # What costs time does not depend on the seed.
            common = Cell(
                task=task.name,
                task_version=task.version,
                method=method,
                method_version=kind.version,
                method_config=configs[method].model_dump(mode="json"),
                recipe=stated,
                own_recipe=sorted(own & stated.keys()),
                **_carrier(kind, settings[name], proxies),
                protocol=grid.protocol,
                seed=0,
                data=source.fingerprint if source else "missing",
                metric_versions={m: METRICS[m].version for m in task.metrics},
                plugins=plugins_used(
                    task=task.name,
                    method=method,
                    metrics=task.metrics,
                    loss=task.loss,
                    source=settings[name].source if kind.uses_source else None,
                    backbone=settings[name].backbone if kind.uses_backbone else None,
                ),
            )
            said = left_out_remarks(method, unfit[method], skipped[method])
            said += preset_remarks(method, name, grid)
            place = _found(kind, settings[name], said)
            guess = guess_seconds(kind, recipe, entry, miniature=grid.miniature)
            steps = planned_steps(grid, name, common, settled)
            if steps.note:
                place["remarks"] = (*place["remarks"], steps.note)
            for cell in (*steps.trials, *steps.final):
                known = states.get(cell.id)
                expected = usual(cell)
                share = _share(cell)
                # By id: a task under two names, a seed written twice, or a configuration that is
                # proposed twice, is one cell.
                planned[cell.id] = PlannedCell(
                    cell=cell,
                    state=_state(known),
                    failure=known.failure if known and known.status == "failed" else None,
                    source=source,
                    problem=problem,
                    absent=isinstance(found, data.MissingError),
                    expected_s=share * (guess if expected is None else expected),
                    measured=expected is not None,
                    resources=grid.resources_of(name, method),
                    spent=cell.id in steps.spent,
                    **place,
                )
    return list(planned.values())


def _with_source(settings: TaskSettings) -> TaskSettings:
    """Fill in the source that follows from the backbone where none is named."""
    if settings.source:
        return settings
    modality = backbone_size(settings.backbone).modality
    return settings.model_copy(update={"source": default_proxy(modality)})


def _share(cell: Cell) -> float:
    """Return how much of its epochs a cell trains itself, which is all but for trials."""
    trial = cell.trial
    return (trial["until"] - trial["since"]) / cell.recipe["epochs"] if trial else 1.0


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
    for key in ("options", "per_method", "leave_out", "resources"):
        for method in getattr(grid, key):
            base = method.partition(":")[0]
            is_task = key == "resources" and ("/" in method or method in grid.tasks)
            if base not in METHODS and not is_task:
                raise RequestError(f"Unknown method '{base}' in {key}. {nearest(base, METHODS)}")
    check_methods(grid)
    for method in grid.methods:
        if len(skipped_tasks(method, grid)) == len(grid.tasks):
            raise RequestError(
                f"The grid leaves out every task for method '{method}'. Leave out the method "
                "itself, or take tasks out of leave_out."
            )
        if len(unfit_tasks(method, grid)) == len(grid.tasks):
            first = catalog.get(grid.tasks[0])
            raise RequestError(
                f"Method '{method}' is for {method_of(method).purpose()}, but "
                f"'{first.task.name}' is a {first.task.kind} task"
                f"{' in two dimensions' if first.axes == 2 else ''}. Leave out one of them with "
                "--methods or --tasks."
            )
        check_recipes(method, grid)
        method_of(method).check_installed()
    for of_task in settings.values():
        if of_task.source:
            PROXIES[of_task.source]
    if any(method_of(method).uses_backbone for method in grid.methods):
        aligns = any(method_of(method).uses_source for method in grid.methods)
        for task, of_task in settings.items():
            size = backbone_size(of_task.backbone)
            size.check(of_task, axes=catalog.get(task).axes, task=task)
            if aligns:
                check_modality(of_task.source, size.modality, of_task.backbone, task=task)
        for backbone in dict.fromkeys(of_task.backbone for of_task in settings.values()):
            check_readable(backbone, as_source=aligns)


def data_root_of(grid: Grid, data_root: Path) -> Path:
    """Return where the cells of a grid look for their data.

    Raises:
        RequestError: the grid asks for miniatures, and there are none or nowhere to write them.
    """
    return make_miniatures(grid.tasks, data_root) if grid.miniature else data_root


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
        "backbone": title_of(settings.backbone),
        "weights": weights_fingerprint(settings.backbone),
        "source": proxies[settings.source] if method.uses_source else None,
    }


def _found(
    method: type[Method], settings: TaskSettings, left_out: tuple[str, ...]
) -> dict[str, Any]:
    """Return where a planned cell finds its backbone, and what there is to say of both."""
    if not method.uses_backbone:
        return {"remarks": left_out}
    return {
        "backbone": place_of(settings.backbone),
        "remarks": (*left_out, *remarks(settings.backbone)),
    }


def remarks_of(planned: Sequence[PlannedCell]) -> list[str]:
    """Return what is to be said of the methods and backbones of a plan, each once."""
    return list(dict.fromkeys(remark for item in planned for remark in item.remarks))


def _locate(
    name: str, data_root: Path, recipe: Recipe, protocol: Protocol
) -> data.Located | DataError:
    try:
        return data.locate(name, data_root=data_root, recipe=recipe, protocol=protocol)
    except DataError as error:
        return error
