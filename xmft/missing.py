"""Numbers that stand where there is no value: -9999, the 9.97e36 of netCDF and the like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MARKS = (-9999.0, -99999.0)
"""Written by hand; no quantity stops at one of them and has all its other values far from it."""

_HUGE = (9.969209968386869e36, 1e20, 1e30, 1e35, 1e36, float(np.finfo(np.float32).max))
_FAR = 4.0


def marked(
    rows: npt.NDArray[np.floating[Any]], marks: Sequence[float] = MARKS
) -> npt.NDArray[np.bool_]:
    """Return which rows hold a mark of what is missing, `[n]`.

    A mark is a value that fits to the last digit and is the largest or smallest of its row by far,
    so that a row of whole numbers may well hold one of them.

    Args:
        rows: Finite values, `[n, points]`.
        marks: What is looked for beside the huge numbers that programs write.
    """
    wanted = np.array([*marks, *_HUGE, *(-value for value in _HUGE)], dtype=np.float32)
    found = np.zeros(len(rows), dtype=np.bool_)
    if not rows.size:
        return found
    for extremes in (rows.max(axis=1), rows.min(axis=1)):
        # What is beyond float32 is infinite there, and told as that.
        with np.errstate(over="ignore"):
            fits = np.isin(extremes.astype(np.float32), wanted)
        for row in np.flatnonzero(fits & ~found):
            others = rows[row][rows[row] != extremes[row]]
            found[row] = not others.size or np.abs(others).max() <= abs(extremes[row]) / _FAR
    return found
