"""What the readers of labelled samples have in common: checks, and blocks on their way to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.prepare import Block
from benchmarks.splits import Indices
from xmft.errors import FileError
from xmft.missing import marked
from xmft.unreadable import check, readable

Array = npt.NDArray[Any]
_BLOCK = 4096
# A choice: more than chance copies in a large collection, far less than a file used twice.
_MOST_SHARED = 0.1


def measured(path: Path | str, what: str, values: Array) -> None:
    """Look at all values `[n, ...]`.

    Raises:
        FileError: some are NaN or infinite, also once they are float32, or mark what is missing.
    """
    for start in range(0, len(values), _BLOCK):
        block = np.asarray(values[start : start + _BLOCK]).reshape(
            len(values[start : start + _BLOCK]), -1
        )
        with np.errstate(over="ignore"):
            stored = block.astype(np.float32, copy=False)
        wrong = np.flatnonzero(~np.isfinite(stored).all(axis=1))
        if len(wrong):
            raise FileError(
                path,
                f"values of {what} are NaN or infinite, the first in sample {start + wrong[0]}",
                "finite values of float32 only",
            )
        missing = np.flatnonzero(marked(block))
        if len(missing):
            raise FileError(
                path,
                f"{what} holds numbers that mark what is missing (such as -9999), the first is "
                f"in sample {start + missing[0]}",
                "measured values only",
            )


def plain_array(path: Path, what: str, *, ndim: int, kinds: str) -> Array:
    """Open an `.npy` file, memory-mapped; arrays of Python objects are not unpickled.

    Args:
        path: The file.
        what: What it should hold, for messages.
        ndim: Number of its axes.
        kinds: Letters of numpy's kinds of types that do.

    Raises:
        FileError: it is no such array.
    """
    check(path)
    with readable(path):
        try:
            found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FileError(
                path,
                f"cannot be read ({error}); found {path.stat().st_size} bytes",
                f"an .npy file of {what}",
                between=" ",
            ) from error
    if found.ndim != ndim or found.dtype.kind not in kinds:
        raise FileError(path, f"found the shape {found.shape} and the type {found.dtype}", what)
    return found


def blocks(
    parts: Sequence[tuple[Callable[[Indices], Array], Array, Indices]],
) -> Iterator[Block]:
    """Yield samples in the order in which they are stored.

    Args:
        parts: For each split what reads the inputs of rows, all labels, and the rows taken.
    """
    start = 0
    for read, labels, rows in parts:
        for first in range(0, len(rows), _BLOCK):
            chosen = rows[first : first + _BLOCK]
            yield Block(np.arange(start, start + len(chosen)), read(chosen), labels[chosen])
            start += len(chosen)


def copies(test: Iterable[Array], train: Iterable[Array]) -> list[int]:
    """Return the numbers of test samples that are also among those of training."""
    known = {hash(np.ascontiguousarray(row).tobytes()) for row in train}
    return [n for n, row in enumerate(test) if hash(np.ascontiguousarray(row).tobytes()) in known]


def told_copies(path: Path, test: Array, where: Path, train: Array, *, what: str) -> list[str]:
    """Return a line on samples that are held out and all the same in another split, if any are.

    Args:
        path: The file of those held out.
        test: They themselves.
        where: The file of those to train on, or to validate on.
        train: They themselves.
        what: What a sample is called.

    Raises:
        FileError: they are so many that the files do not belong together, such as one file under
            two names, or test samples that were added to those of training.
    """
    shared = copies(test, train)
    if not shared:
        return []
    found = f"{len(shared)} of {len(test)} {what}s are also"
    if len(shared) > _MOST_SHARED * len(test):
        raise FileError(
            path,
            f"{found} in {where}, the first is {shared[0]}",
            f"{what}s of their own",
        )
    return [
        f"  {found} in {where}, the first is {shared[0]}: what a method scores on them it may "
        "know by heart"
    ]
