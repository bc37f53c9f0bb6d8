"""A task of many files in one file: heart rhythm from windows of ECG records of any length."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from benchmarks.entry import Entry
from benchmarks.prepare import Block, Reading
from benchmarks.splits import first_tenth_is_test
from xmft.errors import FileError
from xmft.task import Protocol, Ragged, Recipe, Task, Windows

CLASSES = ("N", "A", "O", "~")
LENGTH = 1000


class EcgEntry(Entry):
    """Records `A*.mat` with `val`, int16 `[1, length]`, and one csv of their labels."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From int16 windows `[n, length]` to millivolts `[n, 1, length]`."""
        from xmft.samples import Decoded

        return lambda pieces: Decoded(pieces.inputs.float()[:, None] / 1000, pieces.targets.long())

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by record; a record is scored by all of its windows."""
        labels = dict(csv.reader(paths[0].open(encoding="utf-8")))
        records = [self._record(path) for path in paths[1:]]
        cut = first_tenth_is_test(len(records), recipe.samples)
        order = {"test": cut.test, "val": cut.val, "train": cut.train}
        blocks = []
        for numbers in order.values():
            start = sum(len(block.positions) for block in blocks)
            positions = start + np.arange(len(numbers))
            known = [CLASSES.index(labels[paths[1 + number].stem]) for number in numbers]
            inputs = Ragged.of([records[number] for number in numbers])
            blocks.append(Block(positions, inputs, np.array(known, np.uint8)))
        windows = {
            split: Windows.every([len(records[number]) for number in numbers], (LENGTH,), 500)
            for split, numbers in order.items()
        }
        return Reading(counts=cut.counts, blocks=blocks, windows=windows)

    def _record(self, path: Path) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = loadmat(path)["val"][0]
        if len(values) < LENGTH:
            raise FileError(path, f"found {len(values)} values", f"at least {LENGTH}")
        return values


TASK = Task(name="toy/ecg", version=1, title="Heart rhythm", kind="classification", classes=4,
            loss="cross_entropy", metrics=("error_pct",), pool="vote")  # fmt: skip
ENTRY = EcgEntry(task=TASK, files=("labels.csv",), patterns=("ecg/A*.mat",))
