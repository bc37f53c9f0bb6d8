"""What is said of tasks, metrics and licences: the catalogue and the registries say it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import catalog
from benchmarks.candidates import generatable_form
from benchmarks.entry import Entry
from benchmarks.licences import UNKNOWN, Licence, licence_of, licences
from docs_site.citations import citation_of
from docs_site.markdown import anchor, code, heading, plain, table
from xmft.metrics import METRICS

_SUITES = {"pdebench": "PDEBench", "nasbench360": "NAS-Bench-360"}


def tasks() -> str:
    """Return one table of all tasks, and what there is to know of each."""
    entries = [catalog.get(name) for name in catalog.names()]
    rows = [
        [
            f"[`{entry.task.name}`](#{anchor(entry.task.name)})",
            plain(entry.task.title),
            _metric(entry.task.metrics[0]),
            "generated" if generatable_form(entry).generatable else "fetched",
        ]
        for entry in entries
    ]
    parts = [table(["task", "what is learned", "ranked by", "data if missing"], rows)]
    return "\n\n".join([*parts, *(_task(entry) for entry in entries)])


def _task(entry: Entry) -> str:
    task = entry.task
    licence = licence_of(task.name)
    facts = {
        "suite": _SUITES.get(task.suite, task.suite),
        "kind": task.kind + (f", {task.classes} classes or labels" if task.classes else ""),
        "files": _files(entry),
        "or": "; ".join(filter(None, map(_files, entry.alternatives))),
        "points per axis": str(entry.resolution or entry.points or "as in the file"),
        "trained on": code(task.loss),
        "ranked by": _metric(task.metrics[0]),
        "also scored": ", ".join(map(_metric, task.metrics[1:])),
        "protocols": ", ".join(map(code, entry.protocols)),
        "version": str(task.version),
        "variants": ", ".join(code(f":{label}") for label in entry.labels),
        "cite": citation_of(_SUITES.get(task.suite, "")),
        "licence": "" if licence is None else f"[{licence.licence}](licences.md)",
    }
    rows = [[name, said] for name, said in facts.items() if said]
    return "\n\n".join(
        [heading(3, code(task.name), task.name), plain(task.title), table(["", ""], rows)]
    )


def _files(entry: Entry) -> str:
    return ", ".join(map(code, (*entry.files, *entry.patterns)))


def _metric(name: str) -> str:
    return f"[`{name}`](metrics.md#{anchor(name)})"


def metrics() -> str:
    """Return the table of all metrics."""
    rows = []
    for metric in METRICS.values():
        better = "lower" if metric.direction == "min" else "higher"
        rows.append(
            [
                f'<span id="{anchor(metric.name)}"></span>{code(metric.name)}',
                str(metric.version),
                better,
                ", ".join(metric.kinds),
                _REDUCED[metric.reduction],
                plain(_first_paragraph(metric.per_sample)),
            ]
        )
    header = ["metric", "version", "better", "tasks", "over the split", "of each sample or split"]
    return table(header, rows)


_REDUCED = {
    "mean": "mean over samples",
    "max": "largest of all samples",
    "each": "made of every sample in order",
    "all": "of all predictions at once",
}


def _first_paragraph(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return (function.__doc__ or "").partition("\n\n")[0]


def licence_table() -> str:
    """Return the table of the licences of all data sets."""
    rows = [
        [f"`{one.used_by}`", plain(one.data_set), plain(one.holder), _licence(one), plain(one.note)]
        for one in licences()
    ]
    return table(["data of", "data set", "who made it", "licence", "note"], rows)


def _licence(one: Licence) -> str:
    name = f"**{one.licence}**" if one.licence == UNKNOWN else one.licence
    by = "" if one.licence == UNKNOWN else f"<br>stated by {plain(one.stated_by)}"
    return (f"[{name}]({one.url})" if one.url else name) + by
