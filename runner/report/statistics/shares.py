"""Two numbers that sum up how an entry stands beside the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from runner.report.statistics.losses import Matrix, matrix_of, ranks_of


def win_rates(losses: pd.DataFrame) -> dict[str, float]:
    """Return the share of (other entry, task) pairs in which an entry is better; ties count half.

    Raises:
        ValueError: one entry, no task, or a value that is not finite.
    """
    matrix = matrix_of(losses, tasks=1)
    k = len(matrix)
    return _by_entry(losses, (k - ranks_of(matrix).mean(axis=1)) / (k - 1))


def normalised(losses: pd.DataFrame) -> dict[str, float]:
    """Return the mean over the tasks of 1 for the best and 0 for the median entry and below.

    In between it is linear in the loss (Salinas and Erickson 2023, TabRepo: one less their
    normalised error). Entries that tie with the best have 1, be they all.

    Raises:
        ValueError: one entry, no task, or a value that is not finite.
    """
    matrix = matrix_of(losses, tasks=1)
    best, median = matrix.min(axis=0), np.median(matrix, axis=0)
    room = np.broadcast_to(median - best, matrix.shape)
    score = np.divide(median - matrix, room, out=np.zeros_like(matrix), where=room > 0)
    score = np.where(matrix == best, 1.0, np.clip(score, 0.0, 1.0))
    return _by_entry(losses, score.mean(axis=1))


def _by_entry(losses: pd.DataFrame, values: Matrix) -> dict[str, float]:
    return {str(entry): float(value) for entry, value in zip(losses.index, values, strict=True)}
