"""Classes as files hold them, checked to be what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError


def whole_labels(
    path: Path | str, what: str, labels: object, count: int, classes: int, *, first: int = 0
) -> npt.NDArray[np.int64]:
    """Return labels as numbers from 0 on.

    Args:
        path: Of the file.
        what: What the labels are called in it.
        labels: What is there: an array or a list of whole numbers.
        count: Number of samples.
        classes: Number of classes.
        first: Number of the first class in the file.

    Raises:
        FileError: they are no whole numbers, not as many as samples, or none of the classes.
    """
    expected = f"{count} integers, one for each sample"
    try:
        found = np.asarray(labels)
    except ValueError as error:  # lists of different lengths in a list
        raise FileError(path, f"{what} is no list of numbers ({error})", expected) from error
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise FileError(
            path, f"{what} has the shape {found.shape} and the type {found.dtype}", expected
        )
    outside = np.flatnonzero((found < first) | (found >= first + classes))
    if len(outside):
        raise FileError(
            path,
            f"{len(outside)} labels lie outside {first}..{first + classes - 1}, the first is "
            f"{found[outside[0]]} at sample {outside[0]}",
            f"labels from {first} to {first + classes - 1}",
        )
    return found.astype(np.int64) - first
