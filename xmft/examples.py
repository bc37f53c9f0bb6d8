"""A few predictions to look at, small enough to keep for every cell; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmft.split import Split

Fields = npt.NDArray[np.float32]

MOST_EXAMPLES = 3
_MOST_BYTES = 2 * 2**20


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a model makes of the first samples of the test split, in physical units.

    Attributes:
        inputs: `[n, channels, *grid]`.
        targets: `[n, channels, *grid]`.
        predictions: `[n, channels, *grid]`, of the parameters after the last epoch.
        stride: Every how many points along each axis are kept; 1: all.
    """

    inputs: Fields
    targets: Fields
    predictions: Fields
    stride: int = 1

    def __len__(self) -> int:
        return len(self.inputs)


def examples_of(split: Split, predict: Callable[[Fields], Fields]) -> Examples:
    """Predict the first samples of a dense split.

    Three samples, fewer where they would take more than 2 MiB; where even one would, its grid is
    thinned.

    Args:
        split: Dense samples.
        predict: From inputs to predictions, `[n, channels, *grid]`.
    """
    assert isinstance(split.inputs, np.ndarray) and isinstance(split.targets, np.ndarray)
    size = split.inputs[0].nbytes + 2 * split.targets[0].nbytes
    count = max(1, min(MOST_EXAMPLES, _MOST_BYTES // size, len(split)))
    axes = split.targets.ndim - 2
    stride = math.ceil((size / _MOST_BYTES) ** (1 / axes)) if size > _MOST_BYTES else 1
    every = (slice(None), slice(None), *[slice(None, None, stride)] * axes)
    inputs = np.array(split.inputs[:count])
    return Examples(
        inputs=inputs[every],
        targets=np.array(split.targets[:count], dtype=np.float32)[every],
        predictions=predict(inputs)[every],
        stride=stride,
    )
