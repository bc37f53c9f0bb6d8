"""What networks add to the closed forms that they learn from (`base` of the recipe)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.report.wording import count
from runner.results import Result

_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Gain:
    """An entry on one task beside its base alone, over the same seeds.

    Attributes:
        metric: Of the scores.
        base: Mean score of the closed form alone.
        value: Mean score with the network.
        ratio: What is left of the base's error; None where the scores give none.
        better: Whether the network is better beyond the scatter of the seeds; None with one seed.
    """

    task: str
    metric: str
    base: float
    value: float
    ratio: float | None
    better: bool | None


def bases_of(cells: Sequence[Result], task: str | None = None) -> list[str]:
    """Return the closed forms that cells, all or of one task, learn from; of most methods none."""
    own = [cell for cell in cells if task in (None, cell.task)]
    return sorted(
        {str(cell.config.get("recipe", {}).get("base", "mean")) for cell in own} - {"mean"}
    )


def base_mean(cells: Sequence[Result], task: str) -> float | None:
    """Return the mean score of the base alone over the seeds of one task; None without a base."""
    known = [cell.base_value for cell in cells if cell.task == task]
    found = [value for value in known if value is not None]
    return math.fsum(found) / len(found) if found else None


def gains_of(cells: Sequence[Result], directions: Mapping[str, str]) -> list[Gain]:
    """Return what the network of an entry adds on each task where it has a base.

    "Beyond the seeds" is a one-sided paired t test, 5 %; a base is the same for all seeds, so its
    only scatter is that of the networks.

    Args:
        cells: Of the entry.
        directions: `min` or `max` for each task.
    """
    gains = []
    for task, direction in directions.items():
        own = [cell for cell in cells if cell.task == task]
        pairs = [
            (cell.value, cell.base_value)
            for cell in own
            if cell.value is not None and cell.base_value is not None
        ]
        if not pairs:
            continue
        value, base = (math.fsum(all_) / len(all_) for all_ in zip(*pairs, strict=True))
        sign = 1.0 if direction == "min" else -1.0
        ratio = None
        if min(value, base) > 0:
            ratio = value / base if direction == "min" else base / value
        better = _below_zero([sign * (one - other) for one, other in pairs])
        gains.append(
            Gain(
                task=task,
                metric=own[0].metric,
                base=base,
                value=value,
                ratio=ratio,
                better=better,
            )
        )
    return gains


def _below_zero(differences: Sequence[float]) -> bool | None:
    if len(differences) < 2:
        return None
    if max(differences) - min(differences) <= 1e-12 * max(map(abs, differences)):
        return max(differences) < 0
    from scipy import stats  # a second of imports that single cells need nothing of

    return bool(stats.ttest_1samp(differences, 0.0, alternative="less").pvalue < _LEVEL)


def added_by_networks(
    entries: Mapping[str, Sequence[Result]], directions: Mapping[str, str]
) -> list[str]:
    """Return a note for every entry with a base: the base alone, with the network, and the rest.

    Args:
        entries: Cells by the label of their line.
        directions: `min` or `max` for each task.
    """
    told = ((label, gains_of(cells, directions)) for label, cells in entries.items())
    return [f"{label}: {sentence_of(gains)}" for label, gains in told if gains]


def added_in_cell(cell: Result, *, selection: str, split: str) -> str:
    """Return the same of a single cell, where no board says what was measured; empty if no base.

    Args:
        cell: With the value of this selection on this split.
        selection: Rule that chose the epoch.
        split: Of the values.
    """
    gains = gains_of([cell], {cell.task: cell.direction or "min"})
    if not gains:
        return ""
    what = f"{cell.metric} on {split}, {selection}"
    return f"{what}: base {' '.join(bases_of([cell]))}: {sentence_of(gains)}"


def sentence_of(gains: Sequence[Gain]) -> str:
    """Return what a network adds in words: scores, share of the error, and whether it is chance.

    Tasks are named where there are several, and their metrics where these differ.
    """
    scores = "; ".join(
        f"{_task(gain, gains)}base alone {_digits(gain.base)}, with the network "
        f"{_digits(gain.value)}"
        for gain in gains
    )
    ratios = [gain.ratio for gain in gains if gain.ratio is not None]
    parts = []
    if ratios:
        left = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
        over = f" (geometric mean over {count(len(ratios), 'task')})" if len(ratios) > 1 else ""
        parts.append(f"the network {_share(left)} of its base{over}")
    parts.append(_beyond(gains))
    return f"{scores}. What the network adds: {'; '.join(parts)}"


def _share(left: float) -> str:
    change = 100 * abs(1 - left)
    if change < 0.05:
        return "changes nothing in the error"
    shown = f"{change:.1f}" if change < 10 else f"{change:.0f}"
    return f"takes {shown} % off the error" if left < 1 else f"adds {shown} % to the error"


def _beyond(gains: Sequence[Gain]) -> str:
    better = sum(gain.better is True for gain in gains)
    known = sum(gain.better is not None for gain in gains)
    tasks = count(len(gains), "task")
    if not known:
        return "one seed does not tell whether that is chance"
    chance = "" if better else ": nothing that can be told from chance"
    return f"better than its base beyond the seeds on {better} of {tasks}{chance}"


def _task(gain: Gain, gains: Sequence[Gain]) -> str:
    if len(gains) < 2:
        return ""
    metrics = {one.metric for one in gains}
    return f"{gain.task} ({gain.metric}) " if len(metrics) > 1 else f"{gain.task} "


def _digits(value: float) -> str:
    return f"{value:.3g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.2e}"
