"""ECG records in a pickle or in MATLAB files."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.origin import stated_origin
from xmft.errors import FileError
from xmft.pickles import load_pickle
from xmft.task import Origin, Ragged
from xmft.unreadable import check, readable, refusal

CLASSES = ("N", "A", "O", "~")
LENGTH = 1000
"""Points of a window; no record may be shorter."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """Series of unequal length with their classes.

    Attributes:
        series: int16.
        labels: Place in `CLASSES` of each, uint8.
        origin: Of the files.
    """

    series: Ragged
    labels: npt.NDArray[np.uint8]
    origin: Origin


def read_pickle(path: Path) -> Records:
    """Read and check the benchmark's pickle: a dictionary with `data` and `label`.

    Raises:
        FileError: it is something else.
    """
    check(path)
    with readable(path), path.open("rb") as stream:
        content = load_pickle(stream, name=str(path), size=path.stat().st_size)
    if not isinstance(content, dict) or not {"data", "label"} <= content.keys():
        held = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content)
        raise FileError(path, f"the file holds {held}", "a dictionary with 'data' and 'label'")
    data, labels = content["data"], content["label"]
    for name, part in (("data", data), ("label", labels)):
        if not isinstance(part, (list, np.ndarray)) or getattr(part, "ndim", 1) == 0:
            raise FileError(
                path, f"'{name}' is a {type(part).__name__}", "a list or array of all records"
            )
    if len(data) != len(labels):
        raise FileError(
            path, f"found {len(data)} records and {len(labels)} labels", "as many of both"
        )
    if not len(data):
        raise FileError(path, "found no records", "at least one")
    classes = [
        label.decode("latin1") if isinstance(label, bytes) else str(label) for label in labels
    ]
    if wrong := [number for number, one in enumerate(classes) if one not in CLASSES]:
        raise FileError(
            path,
            f"{len(wrong)} labels are none of the four, the first is {classes[wrong[0]]!r} at "
            f"record {wrong[0]}",
            f"labels out of {' '.join(CLASSES)}",
        )
    series = [_record(f"{path}, record {number}", one) for number, one in enumerate(data)]
    origin = stated_origin(path, content.get("xmft_origin"))
    return Records(
        series=Ragged.of(series),
        labels=np.array([CLASSES.index(one) for one in classes], dtype=np.uint8),
        origin=origin,
    )


def read_mat(path: Path) -> npt.NDArray[np.int16]:
    """Read and check one record of PhysioNet, `val` `[1, length]` in MATLAB 4 or 5.

    Raises:
        FileError: it is something else.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    check(path)
    try:
        with readable(path):
            content = loadmat(path, variable_names=["val"])
    except FileError:
        raise
    except (
        # What scipy raises on bytes that are no MATLAB file.
        *(MatReadError, MemoryError, OSError, EOFError, ValueError, TypeError, KeyError),
        *(AttributeError, IndexError, OverflowError, NotImplementedError, ZeroDivisionError),
        *(UnboundLocalError, RecursionError, zlib.error),
    ) as error:
        raise refusal(path, error) or FileError(
            path,
            f"cannot be read ({error}); found {path.stat().st_size} bytes, truncated or damaged",
            "a MATLAB file with 'val'",
            between=" ",
        ) from error
    if "val" not in content:
        raise FileError(path, "there is no 'val' in it", "'val', int16 [1, length]")
    values = np.asarray(content["val"])
    if values.ndim != 2 or 1 not in values.shape:
        raise FileError(path, f"'val' has the shape {values.shape}", "the shape (1, length)")
    return _record(str(path), values.ravel())


def _record(where: str, values: Any) -> npt.NDArray[np.int16]:
    """Check one series of whole numbers of 16 bits."""
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iu":
        held = (
            f"values of the type {values.dtype} and the shape {values.shape}"
            if isinstance(values, np.ndarray)
            else f"a {type(values).__name__}"
        )
        raise FileError(where, f"found {held}", "a series of 16-bit integers")
    if len(values) < LENGTH:
        raise FileError(
            where, f"found {len(values)} values", f"at least {LENGTH}, which are one window"
        )
    limits = np.iinfo(np.int16)
    if values.min() < limits.min or values.max() > limits.max:
        raise FileError(
            where,
            f"found values from {values.min()} to {values.max()}",
            f"16-bit integers, from {limits.min} to {limits.max}",
        )
    return values.astype(np.int16)
