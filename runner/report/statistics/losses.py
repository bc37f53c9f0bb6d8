"""The matrix that tests over tasks start from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Matrix = NDArray[np.float64]
_BITS = 40


def losses_of(scores: pd.DataFrame, directions: Mapping[str, str]) -> pd.DataFrame:
    """Return mean losses over the seeds, entries x tasks; lower is better.

    Values of a task where more is better change their sign.

    Args:
        scores: Columns `entry`, `task`, `seed`, `value`; one row per result.
        directions: `min` or `max` for each task, in the order of the columns.

    Raises:
        ValueError: an entry lacks a task, a value is not finite, or a direction is unknown.
    """
    unknown = {way for way in directions.values() if way not in ("min", "max")}
    if unknown:
        raise ValueError(f"a task's direction is min or max, not {', '.join(sorted(unknown))}")
    strange = sorted(set(scores["task"]) - set(directions))
    if strange:
        raise ValueError(f"there are scores on {strange[0]}, whose direction is not given")
    bad = scores[~np.isfinite(scores["value"].to_numpy(dtype=float))]
    if len(bad):
        raise ValueError(
            f"{bad['entry'].iloc[0]} has a value on {bad['task'].iloc[0]} that is not finite"
        )
    entries = list(dict.fromkeys(scores["entry"]))
    means = means_of(scores)
    means = means.reindex(index=entries, columns=list(directions)).astype(float)
    if len(scores):
        _refuse_gaps(means)
    return means * [-1.0 if way == "max" else 1.0 for way in directions.values()]


def means_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return means over the seeds, entries x tasks, NaN where there is no value.

    Sums are exact, so that the same values in another order have the same mean.

    Args:
        scores: See `losses_of`.
    """
    grouped = scores.groupby(["entry", "task"], sort=False)["value"]
    means = {key: math.fsum(own) / len(own) for key, own in grouped}
    index = pd.MultiIndex.from_tuples(list(means), names=["entry", "task"])
    return pd.Series(list(means.values()), index=index, dtype=float).unstack()


def matrix_of(losses: pd.DataFrame, *, entries: int = 2, tasks: int = 2) -> Matrix:
    """Return losses as an entries x tasks array.

    Args:
        losses: Entries x tasks.
        entries: The fewest entries that make sense.
        tasks: The fewest tasks.

    Raises:
        ValueError: there are fewer, or a value is not finite.
    """
    for found, needed, one, many in (
        (losses.shape[0], entries, "entry", "entries"),
        (losses.shape[1], tasks, "task", "tasks"),
    ):
        if found < needed:
            least = f"one {one} or more is" if needed == 1 else f"{needed} {many} or more are"
            raise ValueError(f"{least} needed, found {found}")
    _refuse_gaps(losses)
    return losses.to_numpy(dtype=float)


def ranks_of(matrix: Matrix) -> Matrix:
    """Return the ranks within each task (column), 1 is best; ties share the average rank."""
    return np.asarray(stats.rankdata(level(matrix), axis=0), dtype=float)


def level(values: Matrix) -> Matrix:
    """Return values to twelve significant digits or so: what differs in later ones is a tie."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(fraction, _BITS)), exponent - _BITS)


def average_ranks(losses: pd.DataFrame) -> dict[str, float]:
    """Return each entry's mean rank over the tasks, the best first, ties by name."""
    means = ranks_of(matrix_of(losses, entries=1, tasks=1)).mean(axis=1)
    found = {str(entry): float(rank) for entry, rank in zip(losses.index, means, strict=True)}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def relative(first: Matrix, second: Matrix) -> Matrix:
    """Return differences `first - second` over the mean magnitude of both, within -2 and 2.

    For small differences this is that of the logarithms, but it needs no positive values; two
    zeros do not differ. Errors on tasks of different scales can so be put side by side.
    """
    size = np.abs(first) / 2 + np.abs(second) / 2
    return np.divide(first - second, size, out=np.zeros_like(size), where=size > 0)


def _refuse_gaps(losses: pd.DataFrame) -> None:
    bad = np.argwhere(~np.isfinite(losses.to_numpy(dtype=float)))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{losses.index[row]} has no finite value on {losses.columns[column]}: "
            "entries are compared on tasks that all of them have"
        )
