"""The scaling of fields under the released protocol, with statistics of training samples alone.

    (u - mean) / (deviation + 1e-5)

at each point and channel, over samples; the deviation is that of a sample (divisor n - 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.prepare import Block
from benchmarks.splits import Indices

Scaling = Literal["none", "inputs", "each"]
"""`inputs`: statistics of the inputs scale inputs and targets. `each`: both have their own, from
the first `FIRST` training samples."""

EPSILON = 1e-5
FIRST = 100

Array = npt.NDArray[np.float64]


def scaled(
    read: Callable[[Indices], Iterator[Block]],
    positions: Indices,
    *,
    first_train: int,
    scaling: Scaling,
) -> Iterator[Block]:
    """Yield the scaled samples; the training samples are read twice.

    Args:
        read: From places of the samples, as in `frames.read`, to the unscaled samples.
        positions: Place of each sample of the file, -1 for those not wanted.
        first_train: Places from here on are training samples.
        scaling: Which statistics; `none` passes the samples on.
    """
    if scaling == "none":
        yield from read(positions)
        return
    chosen = np.flatnonzero(positions >= first_train)
    if scaling == "each":
        chosen = chosen[:FIRST]
    only = np.full_like(positions, -1)
    only[chosen] = positions[chosen]
    inputs, targets = _Moments(), _Moments()
    for block in read(only):
        inputs.add(np.asarray(block.inputs))
        targets.add(np.asarray(block.targets))
    if scaling == "inputs":
        targets = inputs
    for block in read(positions):
        scaled_inputs = inputs.scale(np.asarray(block.inputs))
        yield Block(block.positions, scaled_inputs, targets.scale(np.asarray(block.targets)))


class _Moments:
    """Mean and squared deviations over samples, merged block by block (Chan et al., 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Array = np.zeros(())
        self.squares: Array = np.zeros(())

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Take in some samples, `[n, ...]`."""
        block = values.astype(np.float64)
        mean = block.mean(axis=0)
        total = self.count + len(block)
        step = mean - self.mean
        squares = ((block - mean) ** 2).sum(axis=0)
        self.squares = self.squares + squares + step**2 * (self.count * len(block) / total)
        self.mean = self.mean + step * (len(block) / total)
        self.count = total

    def scale(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return samples in units of the deviation."""
        deviation = np.sqrt(self.squares / (self.count - 1)) + EPSILON
        return ((values - self.mean) / deviation).astype(np.float32)
