"""How long a cell may take before any like it has been measured: a guess from its recipe."""

from __future__ import annotations

from benchmarks.entry import Entry
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


def guess_seconds(
    method: type[Method], recipe: Recipe, entry: Entry, *, miniature: bool = False
) -> float:
    """Return seconds on one core that training may take."""
    # What the released files hold, unless the recipe takes less.
    there = _MINIATURE_SAMPLES if miniature else entry.released_samples
    known = [n for n in (recipe.samples, there) if n is not None]
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
