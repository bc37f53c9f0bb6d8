"""Whether a task can be cut from a file: samples, points and frames enough, told by its facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pdebench.layout import Found, Layout, frame_at, time_slack
from benchmarks.pdebench.problem import Pairs
from benchmarks.splits import LEAST
from xmft.errors import DataError, FileError
from xmft.task import Recipe


def facts_of(found: Found) -> dict[str, Any]:
    """Return what `found_of` needs, as JSON has it."""
    times = None if found.times is None else found.times.tolist()
    return {"samples": found.samples, "points": list(found.points), "times": times}


def found_of(facts: Mapping[str, Any]) -> Found:
    """Return as much of what was found in a file as `check_fit` asks for."""
    return Found(
        origin="official",
        tolerance=None,
        samples=facts["samples"],
        keys=(),
        points=tuple(facts["points"]),
        native=max(facts["points"]),
        times=None if facts["times"] is None else np.array(facts["times"]),
    )


def check_fit(
    path: Path, layout: Layout, found: Found, pairs: Pairs, recipe: Recipe, resolution: int
) -> tuple[int, ...]:
    """Check that the pairs can be cut from a file.

    Args:
        path: The file.
        layout: What was expected of it.
        found: What it holds.
        pairs: What is to be made of it.
        recipe: Its `resolution` decides how many points are taken.
        resolution: The task's own, where the recipe says nothing.

    Returns:
        Every how many points are taken on each axis of the file.

    Raises:
        DataError: it has too few samples, no such points, or no frame at one of the times.
    """
    if found.samples < LEAST:
        raise FileError(
            path,
            f"found {found.samples} samples",
            f"at least {LEAST} (1 for test, 1 for validation, 2 for training)",
        )
    strides = tuple(_stride(points, recipe, resolution, path) for points in found.points)
    _check_times(path, layout, found, pairs)
    return strides


def _stride(points: int, recipe: Recipe, resolution: int, path: Path) -> int:
    """Return how many points of the file one point of the task stands for."""
    # A file coarser than the default is used as it is, unless the recipe insists.
    wanted = recipe.resolution or min(resolution, points)
    if points % wanted:
        raise DataError(
            f"{path}: found {points} points per axis, expected a multiple of the resolution "
            f"{wanted}. Set `resolution` in the recipe to a number that divides {points}."
        )
    return points // wanted


def _check_times(path: Path, layout: Layout, found: Found, pairs: Pairs) -> None:
    """Check that there is a frame at each wanted time.

    Where train and test have targets at unequal times, a frame nearby is not what is promised: in
    a file that keeps few frames it may be the same one for both.
    """
    wanted = pairs.times()
    train, test = wanted
    if train is None or test is None or train == test or found.times is None:
        for time in wanted:
            frame_at(path, layout, found, time)
        return
    nearest = [float(found.times[np.argmin(np.abs(found.times - time))]) for time in (train, test)]
    slack = time_slack(found.times, layout.last_time)
    if abs(nearest[0] - train) <= slack and abs(nearest[1] - test) <= slack:
        return
    raise FileError(
        path,
        f"the {len(found.times)} frames of {layout.fields[0].name} lie between "
        f"t={found.times[0]:g} and t={found.times[-1]:g}",
        f"one at t={train:g} to train on and one at t={test:g} to test on, as the protocol "
        "'released' promises (the nearest are at "
        f"t={nearest[0]:g} and t={nearest[1]:g})",
        mend="Run this file under the protocol 'clean', or take one that has all frames.",
    )
