"""How long a cell may take: as those like it, or, before any has been measured, a guess."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence

from benchmarks.entry import Entry
from runner.cell import Cell
from runner.results import Result
from xmft.methods import Method
from xmft.task import Recipe

# Seconds for one sample, token and layer, forward and backward, on one core; only the order of
# the cells and a first guess depend on it. Measured times replace it as soon as there are some.
_SECONDS_PER_UNIT = 1.1e-4
_USUAL_SAMPLES = 1000
_USUAL_LAYERS = 6
_MINIATURE_SAMPLES = 150
# The same without a backbone: for one sample of a neural operator, on the grids of the quick
# tasks; and to score what needs no training (a method may say what a sample takes).
_SECONDS_PER_FIELD = 1e-2
_SECONDS_TO_SCORE = 1.0


def usual_seconds(found: Sequence[Result]) -> Callable[[Cell], float | None]:
    """Return what gives a cell's usual seconds: the median of finished ones like it.

    Like it are the cells of its task, method and recipe; None where there are none.
    """
    times: dict[str, list[float]] = {}
    for one in found:
        if one.state == "ok":
            key = one.text_of(("task", "method", "recipe"))
            times.setdefault(key, []).append(one.own_s)
    usual = {key: statistics.median(values) for key, values in times.items()}
    return lambda cell: usual.get(json.dumps([cell.task, cell.method, cell.recipe], sort_keys=True))


def guess_seconds(
    method: type[Method], recipe: Recipe, entry: Entry, *, miniature: bool = False
) -> float:
    """Return seconds on one core that training may take."""
    # What the released files hold, unless the recipe takes less.
    there = _MINIATURE_SAMPLES if miniature else entry.released_samples
    known = [n for n in (recipe.samples, recipe.train_samples, there) if n is not None]
    samples = min(known, default=_USUAL_SAMPLES)
    if "epochs" in method.ignores:
        return _SECONDS_TO_SCORE + method.seconds_per_sample * samples
    fields = samples * recipe.epochs
    if not method.uses_backbone:
        return _SECONDS_PER_FIELD * fields
    return _SECONDS_PER_UNIT * fields * recipe.max_tokens * (recipe.layers or _USUAL_LAYERS)


def duration_text(seconds: float) -> str:
    """Return a duration for people: `40 s`, `12 min` or `31 h`."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 600 * 60 else f"{seconds / 3600:.0f} h"
