"""Error against the number of training samples: where the lines of methods cross."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from runner.report.compare import Leaderboard, TaskColumn
from runner.report.lines import Line, Standing
from runner.report.plots.panels import MOST_LINES, legend_of, panels, scale, short_tasks
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import Drawing
from runner.report.plots.styles import cut, enumerated, look, names_of, one_line, wrapped
from runner.report.wording import count, scope

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
        by_size: The entries by number of training samples, infinite where it is all of them.
    """

    label: str
    by_size: Mapping[float, Sequence[Line]]

    def points(self, column: TaskColumn) -> dict[float, Standing]:
        """Return its results on a task by size, the best where several entries have one."""
        sign = -1.0 if column.direction == "max" else 1.0
        found = {
            size: [line.scores[column.key] for line in lines if column.key in line.scores]
            for size, lines in sorted(self.by_size.items())
        }
        return {
            size: min(results, key=lambda one: sign * one.mean)
            for size, results in found.items()
            if results
        }


def series_of(lines: Sequence[Line]) -> list[Series]:
    """Return the methods that learned from several numbers of samples, in the order of the lines.

    Entries of a series are forms of one method with the same options; of what its recipe has of its
    own they differ in the number of samples, and of epochs, alone.
    """
    alike: dict[str, dict[float, list[Line]]] = {}
    for line in lines:
        recipe = line.cells[0].config.get("recipe", {})
        own = {name: recipe.get(name) for name in line.cells[0].own_recipe if name not in _FREE}
        facts = [_method(line), line.method_version, line.method_config, own]
        key = json.dumps([*facts, line.backbones, line.sources], sort_keys=True)
        size = recipe.get("train_samples") or _ALL
        alike.setdefault(key, {}).setdefault(float(size), []).append(line)
    found = [by_size for by_size in alike.values() if len(by_size) > 1]
    methods = [_method(by_size[max(by_size)][0]) for by_size in found]
    many = {name for name, number in Counter(methods).items() if number > 1}
    return [
        Series(label=by_size[max(by_size)][0].label if name in many else name, by_size=by_size)
        for name, by_size in zip(methods, found, strict=True)
    ]


def samples(board: Leaderboard) -> Drawing | NotDrawn:
    """Draw a panel per task, a line per method that learned from several numbers of samples."""
    every = series_of(board.lines)
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


def _method(line: Line) -> str:
    return line.method.partition(":")[0]


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
