"""From one file and a cut of its samples to inputs and targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.pdebench import frames
from benchmarks.pdebench.layout import Field, Found, Layout, Wanted, frame_at
from benchmarks.pdebench.problem import Pairs
from benchmarks.pdebench.scaling import scaled
from benchmarks.prepare import Block, Reading
from benchmarks.splits import Cut, Indices


@dataclass(frozen=True, kw_only=True)
class OpenFile:
    """A file that was inspected, and the points taken of it.

    Attributes:
        path: The file.
        layout: What was expected of it.
        found: What it holds.
        strides: Every how many points are taken on each axis of the file.
    """

    path: Path
    layout: Layout
    found: Found
    strides: tuple[int, ...]

    def wanted(self, field: Field, time: float | None) -> Wanted:
        """Return the frame of a field at a time.

        Raises:
            DataError: there is none.
        """
        frame = frame_at(self.path, self.layout, self.found, time) if field.framed else None
        return Wanted(field=field, frame=frame)

    def read(
        self,
        pair: tuple[Wanted, Wanted],
        positions: Indices,
        known: dict[bytes, int] | None = None,
    ) -> Iterator[Block]:
        """Yield samples, see `frames.read`."""
        return frames.read(
            self.path,
            self.layout,
            self.found,
            pair,
            positions=positions,
            strides=self.strides,
            known=known,
        )


def pair_up(source: OpenFile, pairs: Pairs, cut: Cut) -> Reading:
    """Start to read the samples of a cut; those of the test may have targets at another time.

    Raises:
        DataError: there is no frame at a wanted time.
    """
    inputs = source.wanted(pairs.inputs, 0.0)
    for_train, for_test = ((inputs, source.wanted(pairs.targets, time)) for time in pairs.times())
    tested = len(cut.test)

    def read(positions: Indices) -> Iterator[Block]:
        if for_train == for_test:
            return source.read(for_train, positions)
        known: dict[bytes, int] = {}
        test = source.read(for_test, np.where(positions < tested, positions, -1), known)
        rest = source.read(for_train, np.where(positions >= tested, positions, -1), known)
        return itertools.chain(test, rest)

    blocks = scaled(
        read,
        cut.positions(source.found.samples),
        first_train=tested + len(cut.val),
        scaling=pairs.scaling,
    )
    return Reading(counts=cut.counts, blocks=blocks)
