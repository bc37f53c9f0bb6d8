"""Error against the number of training samples: where the lines of methods cross."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.entries import carrier_of
from runner.report.lines import Line, Standing
from runner.report.plots.panels import (
    MOST_LINES,
    cells_of,
    legend_of,
    panels,
    scale,
    short_tasks,
)
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import Drawing
from runner.report.plots.styles import cut, enumerated, look, names_of, one_line, wrapped
from runner.report.tuning import tuned_of, untuned_config, untuned_recipe
from runner.report.wording import count, scope
from runner.results import Result

KIND = "samples"
# What may differ between entries of one line: at the same compute, fewer samples are seen longer.
_FREE = ("train_samples", "epochs")
# More than any number of them.
_ALL = float("inf")


@dataclass(frozen=True, kw_only=True)
class Series:
    """Entries that differ in how many samples they learn from.

    Attributes:
        label: What they are called together.
        lines: Them.
    """

    label: str
    lines: Sequence[Line]

    def points(self, column: TaskColumn) -> dict[float, Standing]:
        """Return the results on a task by number of training samples, in rising order.

        It is infinite where it is all of them. Where several entries have one, it is the best.
        """
        sign = -1.0 if column.direction == "max" else 1.0
        found: dict[float, Standing] = {}
        for line in self.lines:
            if column.key not in line.scores:
                continue
            own = line.scores[column.key]
            size = _size(cells_of(line, column)[0])
            if size not in found or sign * own.mean < sign * found[size].mean:
                found[size] = own
        return dict(sorted(found.items()))


def series_of(board: Leaderboard) -> list[Series]:
    """Return the methods that learned from several numbers of samples, in the order of the board.

    Entries of a series are forms of one method with the same options; of what its recipe has of its
    own they differ in the number of samples, and of epochs, alone. Backbones and sources tell them
    apart where one task has several, as they do on the board.
    """
    kinds: dict[str, list[Line]] = {}
    for line in board.lines:
        kinds.setdefault(_kind(line.cells[0]), []).append(line)
    groups: list[list[Line]] = []
    for lines in kinds.values():
        carriers: dict[str, set[str]] = {}
        for line in lines:
            for cell in line.cells:
                carriers.setdefault(cell.task, set()).add(carrier_of(cell))
        if all(len(own) == 1 for own in carriers.values()):
            groups.append(lines)
            continue
        apart: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Line]] = {}
        for line in lines:
            apart.setdefault((line.backbones, line.sources), []).append(line)
        groups += apart.values()
    namesakes = Counter(_method(line.method) for line in board.lines)
    found = []
    for lines in groups:
        largest = max(lines, key=lambda line: max(map(_size, line.cells)))
        name = _method(largest.method)
        alone = namesakes[name] == len(lines)
        one = Series(label=name if alone else largest.label, lines=lines)
        if any(len(one.points(column)) > 1 for column in board.tasks):
            found.append(one)
    return found


def samples(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw a panel per task, a line per method that learned from several numbers of samples."""
    every = series_of(board)
    shown = every[:MOST_LINES]
    drawn = {
        column.key: {s.label: points for s in shown if len(points := s.points(column)) > 1}
        for column in board.tasks
    }
    columns = [column for column in board.tasks if drawn[column.key]]
    if not columns:
        reason = "no entry learned from several numbers of samples (train_samples of the recipe)"
        return NotDrawn(kind=KIND, reason=reason, board=board.name)
    sizes = sorted({size for column in columns for p in drawn[column.key].values() for size in p})
    names = names_of([one.label for one in shown])
    looks = {one.label: look(number) for number, one in enumerate(shown)}
    figure, axes = panels(len(columns), most_columns=4, row_height=1.8, extra=0.4)
    tasks = short_tasks(board.tasks)
    for panel, column in zip(axes, columns, strict=True):
        ends: list[float] = []
        for label, points in drawn[column.key].items():
            places = [sizes.index(size) for size in points]
            means = [one.mean for one in points.values()]
            spread = [one.std or 0.0 for one in points.values()]
            style = looks[label].line
            panel.errorbar(places, means, yerr=spread, elinewidth=0.8, capsize=1.5, **style)
            ends += means
        scale(panel, "y", ends)
        panel.set_xticks(range(len(sizes)), [_size_text(size) for size in sizes])
        panel.margins(x=0.08)
        panel.set_title(wrapped(tasks[column.key], 24), fontsize=6.5, linespacing=1.05)
        more = " (more is better)" if column.direction == "max" else ""
        panel.set_ylabel(cut(one_line(column.metric), 24) + more)
        panel.set_xlabel("training samples", labelpad=1)
    handles = [
        Line2D([], [], label=names[one.label], **looks[one.label].line)
        for one in shown
        if any(one.label in drawn[column.key] for column in columns)
    ]
    legend_of(figure, handles)
    return Drawing(
        figure=figure,
        name=f"{board.name}/{KIND}",
        kind=KIND,
        title=f"Error against training samples, {scope(board)}",
        caption=_caption(len(handles), columns, len(every) - len(shown)),
        alt=_alt(columns, tasks, drawn, sizes, names),
        board=board.name,
    )


def _kind(cell: Result) -> str:
    """Return what entries of a series share: all that a method is, but for what may differ."""
    own = {name: value for name, value in untuned_recipe(cell).items() if name not in _FREE}
    facts = [_method(cell.method), cell.config["method_version"], untuned_config(cell), own]
    return json.dumps([*facts, tuned_of(cell), cell.method_plugins], sort_keys=True)


def _method(name: str) -> str:
    return name.partition(":")[0]


def _size(cell: Result) -> float:
    """Return how many samples a cell may learn from."""
    return float(cell.config.get("recipe", {}).get("train_samples") or _ALL)


def _size_text(size: float) -> str:
    return "all" if size == _ALL else f"{size:.0f}"


def _caption(lines: int, columns: Sequence[TaskColumn], left_out: int) -> str:
    text = (
        "Score against the number of training samples, means over seeds with their standard "
        "deviation; validation and test are the same at every number. The best where a method has "
        f"several entries of one number. {count(lines, 'method')}, {count(len(columns), 'task')}."
    )
    return text + (f" {left_out} more are not shown." if left_out else "")


def _alt(
    columns: Sequence[TaskColumn],
    tasks: Mapping[str, str],
    drawn: Mapping[str, Mapping[str, Mapping[float, Standing]]],
    sizes: Sequence[float],
    names: Mapping[str, str],
) -> str:
    """Say which methods come first at each number."""
    parts = []
    for column in columns:
        sign = -1.0 if column.direction == "max" else 1.0
        told = []
        for size in sizes:
            own = {
                label: points[size].mean
                for label, points in drawn[column.key].items()
                if size in points
            }
            order = sorted(own, key=lambda label: sign * own[label])
            if order:
                listed = enumerated([f"{names[label]} {own[label]:.3g}" for label in order])
                told.append(f"{_size_text(size)}: {listed}")
        parts.append(f"{one_line(tasks[column.key])}, best first: {'; '.join(told)}.")
    return "Error against training samples. " + " ".join(parts)
