"""The pickles of CIFAR-10 and CIFAR-100 (Krizhevsky, 2009).

Dictionaries of `data`, uint8 `[n, 3072]` (all red, then all green, then all blue, row by row), and
labels under a name that differs between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError
from xmft.labels import whole_labels
from xmft.pickles import load_pickle

SIDE = 32
_NAMES = {"labels": "CIFAR-10", "fine_labels": "CIFAR-100"}


@dataclass(frozen=True, kw_only=True)
class CifarPickle:
    """Content of one file.

    Attributes:
        images: uint8 `[n, 3, 32, 32]`.
        labels: Numbers of the classes `[n]`.
        content: The whole dictionary by text keys.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    content: dict[str, Any]


def read_cifar(stream: BinaryIO, *, name: str, size: int, labels: str, classes: int) -> CifarPickle:
    """Read and check one file.

    Args:
        stream: Where to read.
        name: The file, for messages.
        size: Its bytes, for messages.
        labels: Key of the labels, `labels` or `fine_labels`.
        classes: Number of classes.

    Raises:
        FileError: it is damaged or something else.
    """
    found = load_pickle(stream, name=name, size=size)
    if not isinstance(found, dict):
        raise FileError(name, f"holds a {type(found).__name__}", "a dictionary", between=" ")
    # Written again by Python 3, the keys are bytes.
    content = {
        key.decode("latin1") if isinstance(key, bytes) else str(key): found[key] for key in found
    }
    if not {"data", labels} <= content.keys():
        held = ", ".join(sorted(content)) or "nothing"
        other = next((key for key in _NAMES if key != labels and key in content), None)
        what = "" if other is None else f" (the {other} of {_NAMES[other]})"
        raise FileError(name, f"holds {held}{what}", f"'data' and '{labels}'", between=" ")
    data, pixels = content["data"], 3 * SIDE * SIDE
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (pixels,):
        raise FileError(
            name,
            f"'data' is a {type(data).__name__} of type {getattr(data, 'dtype', None)} and shape "
            f"{getattr(data, 'shape', None)}",
            f"uint8 [n, {pixels}]",
        )
    return CifarPickle(
        images=data.reshape(-1, 3, SIDE, SIDE),
        labels=whole_labels(name, f"'{labels}'", content[labels], len(data), classes),
        content=content,
    )
