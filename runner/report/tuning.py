"""What a search did: which fields it chose, and what its trials took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from runner.report.wording import duration
from runner.results import Result
from runner.search.space import OPTIONS


def tuned_of(cell: Result) -> dict[str, Any]:
    """Return the search that chose a cell's configuration; empty where there was none."""
    return dict(cell.config.get("tuned", {}))


def untuned_recipe(cell: Result) -> dict[str, Any]:
    """Return the method's own recipe without what a search chose."""
    return _without(cell.own_recipe, tuned_of(cell).get("fields", ()))


def untuned_config(cell: Result) -> dict[str, Any]:
    """Return the method's configuration without what a search chose."""
    names = [name.removeprefix(OPTIONS) for name in tuned_of(cell).get("fields", ())]
    return _without(cell.config["method_config"] or {}, names)


def _without(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a nested mapping without some keys, written with dots where they are nested."""
    found = dict(content)
    for name in names:
        first, _, rest = name.partition(".")
        if rest and isinstance(found.get(first), Mapping):
            found[first] = _without(found[first], [rest])
        else:
            found.pop(first, None)
    return found


def trials_table(trials: Sequence[Result]) -> Table | None:
    """Return what the trials of each method on each task took, so that budgets can be compared.

    Args:
        trials: Trials of searches; a trial that went on after a pause is one for each rung.
    """
    if not trials:
        return None
    view = Table(title="Trials of searches", title_justify="left")
    for name in ("task", "method", "search"):
        view.add_column(name)
    for name in ("trials", "failed", "epochs", "time"):
        view.add_column(name, justify="right")
    studies: dict[tuple[str, str, str], list[Result]] = {}
    for one in trials:
        key = one.task, one.method, str(one.config["trial"]["study"])
        studies.setdefault(key, []).append(one)
    for (task, method, study), cells in sorted(studies.items()):
        facts = [cell.config["trial"] for cell in cells]
        done = [cell.config["trial"] for cell in cells if cell.state == "ok"]
        failed = sum(cell.state == "failed" for cell in cells)
        view.add_row(
            Text(task),
            Text(method),
            Text(study[:8]),
            str(len({fact["number"] for fact in facts})),
            str(failed) if failed else "",
            str(sum(fact["until"] - fact["since"] for fact in done)),
            duration(sum(cell.wall_s for cell in cells)),
        )
    return view
