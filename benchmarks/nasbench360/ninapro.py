"""NinaPro DB5: the gesture of a hand from 16 electrodes on the forearm, 18 classes.

Windows of 52 measurements (260 ms at 200 Hz; Pizzolato et al., 2017), cut and split by
NAS-Bench-360 into six arrays: `ninapro_{train,val,test}.npy`, float `[n, 52, 16]`, and
`label_{train,val,test}.npy`, integers 0 to 17. Which windows were chosen is not published, so the
arrays cannot be made of the raw recordings. A window is an image of 16 electrodes by 52
measurements, in the units of the file; both protocols are the same. Windows of one recording may
overlap across the three files; that is how the benchmark is made.

Licence: CC BY-ND 4.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.labelled import blocks, measured, plain_array, told_copies
from benchmarks.nasbench360.miniatures import images as miniatures
from benchmarks.origin import origin_of
from benchmarks.prepare import Reading
from benchmarks.splits import TEST_SHARE, Indices
from xmft.errors import FileError
from xmft.labels import whole_labels
from xmft.task import Origin, Protocol, Recipe, Task

CLASSES = 18
TIMES, ELECTRODES = 52, 16
SPLITS = ("train", "val", "test")

# From a third-party reader of the benchmark's own addresses.
_MD5 = {
    "ninapro_train.npy": "d4c33785587983348e6091e86a0d30b6",
    "label_train.npy": "4164e7fcae3f8abed0a04fd86b704f77",
    "ninapro_val.npy": "138b106d4374a3fc204e41f6c4deda49",
    "label_val.npy": "f0464819f7ed56cb1cbbfafd312bd604",
    "ninapro_test.npy": "8a2b2cf87d5a5cf3986db2d67ebcfa18",
    "label_test.npy": "807b502000dba69ae0111063970ac5d2",
}
# What the windows of a file must not be among.
_BEFORE = {
    "ninapro_val.npy": ("ninapro_train.npy",),
    "ninapro_test.npy": ("ninapro_train.npy", "ninapro_val.npy"),
}
_ADDRESS = "https://pde-xd.s3.amazonaws.com/ninapro/"


@dataclass(frozen=True, kw_only=True)
class NinaproEntry(Entry):
    """The task and its six arrays."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        _array(path)
        return origin_of(path)

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return {"samples": len(_array(path))}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        if facts["samples"] < 1:
            raise FileError(path, "found no samples", "at least 1")

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Take the splits as they are."""
        parts = {}
        for number, split in enumerate(SPLITS):
            signals, labels = (_array(path) for path in paths[2 * number : 2 * number + 2])
            if len(signals) != len(labels):
                raise FileError(
                    paths[2 * number + 1],
                    f"found {len(labels)} labels",
                    f"{len(signals)}, one for each window of {paths[2 * number].name}",
                )
            for earlier in range(number):
                other = paths[2 * earlier]
                told_copies(paths[2 * number], signals, other, _array(other), what="window")
            count = _used(split, len(signals), recipe)
            parts[split] = (_reader(signals), labels, np.arange(count))
        order = {split: parts[split] for split in ("test", "val", "train")}
        counts = {split: len(rows) for split, (_, _, rows) in order.items()}
        return Reading(counts=counts, blocks=blocks(list(order.values())))

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        found = _array(path)
        size = files.size_text(path.stat().st_size)
        what = "labels" if path.name.startswith("label") else "windows"
        lines = [f"{path}: {origin_of(path)}, {len(found)} {what}, {size}"]
        for earlier in _BEFORE.get(path.name, ()):
            other = path.with_name(earlier)
            if other.is_file():
                lines += told_copies(path, found, other, _array(other), what="window")
        return lines

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniatures.write_ninapro(folder)


def entries() -> list[NinaproEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/ninapro",
        version=1,
        title="Gesture of a hand from muscle signals, NinaPro DB5",
        kind="classification",
        loss="cross_entropy",
        metrics=("error_pct",),
        classes=CLASSES,
    )
    names = tuple(f"{part}_{split}.npy" for split in SPLITS for part in ("ninapro", "label"))
    return [
        NinaproEntry(
            task=task,
            axes=2,
            files=names,
            protocols=("clean", "released"),
            released_samples=2638,
            miniature_version=1,
            downloads=tuple(
                Download(
                    path=PurePosixPath(name), urls=(_ADDRESS + name,), checksum=f"md5:{_MD5[name]}"
                )
                for name in names
            ),
        )
    ]


def _used(split: str, there: int, recipe: Recipe) -> int:
    """Return how many samples of a split are used: a tenth for the test, a tenth to validate."""
    if recipe.samples is None:
        return there
    tenth = max(1, recipe.samples // TEST_SHARE)
    return min(there, recipe.samples - 2 * tenth if split == "train" else tenth)


def _reader(signals: npt.NDArray[Any]) -> Any:
    """Return what reads windows as images `[n, 1, electrodes, times]`."""

    def read(rows: Indices) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(signals[rows].transpose(0, 2, 1)[:, None], dtype=np.float32)

    return read


def _array(path: Path) -> npt.NDArray[Any]:
    """Open and check one of the six arrays.

    Raises:
        FileError: it is damaged or something else.
    """
    if path.name.startswith("label"):
        labels = plain_array(path, "integers of the shape (n,)", ndim=1, kinds="iu")
        return whole_labels(path, "the array", labels, len(labels), CLASSES)
    what = f"floating-point numbers of the shape (n, {TIMES}, {ELECTRODES})"
    signals = plain_array(path, what, ndim=3, kinds="f")
    if signals.shape[1:] != (TIMES, ELECTRODES):
        raise FileError(path, f"found the shape {signals.shape}", what)
    measured(path, "the array", signals)
    return signals
