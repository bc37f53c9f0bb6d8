"""Reading the wanted frames of PDEBench's HDF5 files, some samples at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.hdf5 import READ_BYTES, Found, Layout, opened
from benchmarks.prepare import Block
from benchmarks.splits import Indices
from xmft.errors import DataError


def read(
    path: Path, layout: Layout, found: Found, *, positions: Indices, strides: tuple[int, ...]
) -> Iterator[Block]:
    """Yield the wanted frames of the wanted samples, some samples at a time.

    Args:
        path: The file.
        layout: As given to `inspect`.
        found: What `inspect` returned.
        positions: Place of each sample of the file in the result, -1 for those not wanted.
        strides: Every how many points are taken on each axis (point sampling, as in PDEBench).

    Raises:
        DataError: a value is not finite, or the file cannot be read to its end.
    """
    bad = _NotFinite(path, layout)
    with opened(path, layout) as file:
        every = (slice(None), *(slice(None, None, stride) for stride in strides))
        fields = list(zip((layout.inputs, layout.targets), found.frames, strict=True))
        step = min(_samples_at_once(file[field.dataset], field.framed) for field, _ in fields)
        for start in range(0, found.samples, step):
            wanted = np.flatnonzero(positions[start : start + step] >= 0)
            if not len(wanted):
                continue
            first, last = start + int(wanted[0]), start + int(wanted[-1]) + 1
            arrays = []
            for field, frame in fields:
                dataset = file[field.dataset]
                values = dataset[first:last] if frame is None else dataset[first:last, frame]
                # Striding in memory: HDF5 reads a strided selection point by point.
                values = values[every][wanted - wanted[0]]
                bad.add(field.dataset, start + wanted, values)
                arrays.append(np.asarray(values, dtype=np.float32)[:, None])
            yield Block(positions[start + wanted], *arrays)
    bad.check()


def check_finite(path: Path, layout: Layout, found: Found) -> None:
    """Read both datasets whole, all frames and points.

    Raises:
        DataError: a value is not finite, or the file cannot be read to its end.
    """
    bad = _NotFinite(path, layout)
    with opened(path, layout) as file:
        for name in sorted({layout.inputs.dataset, layout.targets.dataset}):
            dataset = file[name]
            step = max(1, READ_BYTES // _bytes(dataset.shape[1:]))
            for start in range(0, found.samples, step):
                values = dataset[start : start + step]
                bad.add(name, np.arange(start, start + len(values)), values)
    bad.check()


class _NotFinite:
    """Counts NaN and infinite values, to report all of a file's at once."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._count = 0
        self._found: list[tuple[int, str]] = []

    def add(self, dataset: str, samples: Indices, values: npt.NDArray[Any]) -> None:
        wrong = np.count_nonzero(~np.isfinite(values.reshape(len(values), -1)), axis=1)
        if wrong.any():
            self._count += int(wrong.sum())
            self._found.append((int(samples[np.argmax(wrong > 0)]), dataset))

    def check(self) -> None:
        if self._count:
            sample, dataset = min(self._found)
            raise DataError(
                f"{self._path}: found {self._count} values that are NaN or infinite, the first in "
                f"sample {sample} of '{dataset}'; expected finite values only. {self._layout.mend}"
            )


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * 4


def _samples_at_once(dataset: Any, framed: bool) -> int:
    """Return how many samples fit one read; a compressed chunk costs all of its frames."""
    one_frame = framed and not dataset.chunks
    return max(1, READ_BYTES // _bytes(dataset.shape[2 if one_frame else 1 :]))
