"""Which cells make one line of a leaderboard, and what that line is called."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.cell import FROM_FILES
from runner.report.bases import bases_of
from runner.report.tuning import tuned_of, untuned_config, untuned_recipe
from runner.results import Result
from runner.usage import total

# What cells of methods without a pretrained model have in its place.
NO_BACKBONE = "none"
# How much of a fingerprint tells two backbones of one name apart.
_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Contender:
    """The cells of one line of a leaderboard.

    Attributes:
        label: What the line is called; unique within the board.
        method: Name of the method.
        method_version: Its version.
        method_config: Its configuration.
        backbones: The pretrained models it ran on; more than one only if each task has one.
        sources: The source proxies, likewise; empty if the method needs none.
        cells: Its cells, failed ones included.
    """

    label: str
    method: str
    method_version: int
    method_config: dict[str, Any]
    backbones: tuple[str, ...]
    sources: tuple[str, ...]
    cells: tuple[Result, ...]

    @property
    def wall_s(self) -> float:
        """Seconds of all attempts at its cells, the failed ones included."""
        return sum(cell.wall_s for cell in self.cells)

    @property
    def align_s(self) -> float:
        """Seconds of those that alignment to the source took."""
        return sum(cell.align_s for cell in self.cells)

    @property
    def fit_s(self) -> float:
        """Seconds of those that fitting the target took."""
        return sum(cell.fit_s for cell in self.cells)

    @property
    def gpu_s(self) -> float:
        """Seconds that GPUs were held for it."""
        return sum(cell.gpu_s for cell in self.cells)

    @property
    def device_s(self) -> float | None:
        """Device seconds of the attempts that count; None if some are unknown."""
        return total([cell.device_s for cell in self.cells if cell.state == "ok"])

    @property
    def flops(self) -> float | None:
        """Floating-point operations that the scores took; None if some are unknown."""
        return total([cell.flops for cell in self.cells if cell.state == "ok"])


def contenders_of(cells: Sequence[Result]) -> list[Contender]:
    """Group comparable cells into the entries of a leaderboard, sorted by label.

    An entry is a method with its version and configuration. Backbone, weights and source proxy
    tell entries apart as soon as one task was run with several of them; while each task has only
    one, as in the published setting (a text encoder for one dimension, a vision encoder for two),
    they belong to the task and the entry spans all of them. Weights that were read from files are
    one backbone whatever their folders were called.
    """
    names = _names(cells)
    groups: list[list[Result]] = []
    for group in _grouped(cells, _method):
        tasks: dict[str, set[str]] = {}
        for cell in group:
            tasks.setdefault(cell.task, set()).add(carrier_of(cell))
        if any(len(carriers) > 1 for carriers in tasks.values()):
            groups += _grouped(group, carrier_of)
        else:
            groups.append(group)
    labels = _labels(groups, names)
    return sorted(
        (
            Contender(
                label=label,
                method=group[0].method,
                method_version=group[0].config["method_version"],
                method_config=untuned_config(group[0]),
                backbones=_backbones(group, names),
                sources=_values(group, "source"),
                cells=tuple(group),
            )
            for label, group in zip(labels, groups, strict=True)
        ),
        key=lambda entry: entry.label,
    )


def _grouped(cells: Sequence[Result], key: Callable[[Result], str]) -> list[list[Result]]:
    groups: dict[str, list[Result]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return list(groups.values())


def _method(cell: Result) -> str:
    """Return what a method is: name, version, configuration, own recipe, plug-in, and search.

    What a search chose is another value on each task; how it was chosen is what the method is.
    """
    if "method" not in cell.memory:
        said = [cell.method_plugins, untuned_recipe(cell), untuned_config(cell), tuned_of(cell)]
        named = cell.text_of(("method", "method_version"))
        cell.memory["method"] = named + json.dumps(said, sort_keys=True)
    return str(cell.memory["method"])


def carrier_of(cell: Result) -> str:
    """Return which backbone and source a cell ran on."""
    return _which(cell) + cell.text_of(("source",))


def _which(cell: Result) -> str:
    """Return which backbone a cell ran on: its weights, and its name where they say not all."""
    from_files = str(cell.config.get("weights")).startswith(FROM_FILES)
    return cell.text_of(("weights",) if from_files else ("backbone", "weights"))


def _names(cells: Sequence[Result]) -> dict[str, str]:
    """Return what each backbone is called on a board, by `_which`.

    Of several names for the same files that of most cells; with the start of the fingerprint
    where other weights have that name as well.
    """
    called: dict[str, Counter[str]] = {}
    weights: dict[str, str] = {}
    for cell in cells:
        if cell.config.get("backbone"):
            called.setdefault(_which(cell), Counter())[_text(cell.config["backbone"])] += 1
            weights[_which(cell)] = _text(cell.config.get("weights")).removeprefix(FROM_FILES)
    names = {
        which: min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
        for which, counts in called.items()
    }
    namesakes = Counter(names.values())
    return {
        which: f"{name} {weights[which][:_DIGITS]}" if namesakes[name] > 1 else name
        for which, name in names.items()
    }


def _backbones(cells: Sequence[Result], names: Mapping[str, str]) -> tuple[str, ...]:
    found = {names[_which(cell)] for cell in cells if _which(cell) in names}
    return tuple(sorted(found - {NO_BACKBONE}))


def _values(cells: Sequence[Result], key: str) -> tuple[str, ...]:
    found = {_text(cell.config[key]) for cell in cells if cell.config.get(key)}
    return tuple(sorted(found - {NO_BACKBONE}))


def _labels(groups: Sequence[Sequence[Result]], called: Mapping[str, str]) -> list[str]:
    """Name each group by its method, and by what tells it from the others of that method."""
    backbones = [" + ".join(_backbones(group, called)) for group in groups]
    several = len({backbone for backbone in backbones if backbone}) > 1
    names = [
        _title(group) + (f" / {backbone}" if several and backbone else "")
        for group, backbone in zip(groups, backbones, strict=True)
    ]
    traits = [_traits(group) for group in groups]
    labels = []
    for name, own in zip(names, traits, strict=True):
        namesakes = [other for label, other in zip(names, traits, strict=True) if label == name]
        told = ", ".join(
            f"{key}={own[key]}"
            for key in own
            if any(other.get(key) != own[key] for other in namesakes)
        )
        labels.append(f"{name} ({told})" if told else name)
    return labels


def _title(group: Sequence[Result]) -> str:
    tuned, bases = tuned_of(group[0]), bases_of(group)
    told = [f"base {' or '.join(bases)}"] if bases else []
    told += [f"tuned, {tuned['trials']} trials"] if tuned else []
    return f"{group[0].method} ({', '.join(told)})" if told else group[0].method


def _traits(group: Sequence[Result]) -> dict[str, str]:
    """Return everything that tells entries of one method on one backbone apart, as text."""
    config = group[0].config
    traits = {"version": _text(config["method_version"])}
    traits |= {key: _text(value) for key, value in untuned_config(group[0]).items()}
    traits |= {key: _text(value) for key, value in untuned_recipe(group[0]).items()}
    traits |= {key: _text(value) for key, value in tuned_of(group[0]).items()}
    traits["source"] = " + ".join(_values(group, "source")) or "none"
    for role, text in group[0].method_plugins.items():
        traits[role] = text[:8]
    return traits


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
