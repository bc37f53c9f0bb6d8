"""Satellite: the crop at a place from its series of satellite measurements, 24 classes.

Two `.npy` files, each a pickled dictionary with `data`, float `[n, 46]`, and `label`, integers
1 to 24. As in NAS-Bench-360 (Tu et al. 2022), each series is shifted and scaled to mean 0 and
standard deviation 1 (population formula); a constant series becomes zeros instead of NaN. Under
`released` it stays as it is, as in the public code of the benchmark's successors, whose validation
series stay in training; here they are held out all the same. The series are those of Tan, Webb and
Petitjean 2017, FORMOSAT-2; the benchmark states the GPL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.miniatures import satellite as miniature
from benchmarks.origin import stated_origin
from benchmarks.prepare import Block, Reading
from benchmarks.splits import capped, held_out
from xmft.errors import FileError
from xmft.missing import marked
from xmft.pickles import load_object
from xmft.task import Origin, Protocol, Recipe, Task

CLASSES = 24
LENGTH = 46
TRAIN_FILE, TEST_FILE = "satellite_train.npy", "satellite_test.npy"

_LEAST_TRAIN = 3
_BLOCK = 65_536


@dataclass(frozen=True, kw_only=True)
class _Series:
    """Content of one file."""

    origin: Origin
    values: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class SatelliteEntry(Entry):
    """The task and its two files."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        return _load(path).origin

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return {"samples": len(_load(path).values)}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        found, least = facts["samples"], 1 if path.name == TEST_FILE else _LEAST_TRAIN
        if found < least:
            raise FileError(
                path,
                f"found {found} series",
                f"at least {least}" + (" (1 for validation)" if least > 1 else ""),
            )

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut both files: the test file is the test split, a tenth of the other validates."""
        train, test = map(_load, paths)
        trained, tested = capped(len(train.values), len(test.values), recipe.samples)
        if tested < 1 or trained < _LEAST_TRAIN:
            raise FileError(
                " and ".join(map(str, paths)),
                f"found {trained} and {tested} series",
                f"at least {_LEAST_TRAIN} (1 for validation) and 1",
            )
        fitted, validated = held_out(trained)
        parts = ((test, np.arange(tested)), (train, validated), (train, fitted))
        return Reading(
            counts={"test": tested, "val": len(validated), "train": len(fitted)},
            blocks=_blocks(parts, scaled=protocol == "clean"),
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        series = _load(path)
        counts = np.bincount(series.labels, minlength=CLASSES + 1)[1:]
        size = files.size_text(path.stat().st_size)
        return [
            f"{path}: {series.origin}, {len(series.values)} series of {LENGTH} values, {size}",
            f"  {np.count_nonzero(counts)} of {CLASSES} classes, {counts.min()} to "
            f"{counts.max()} series each; all values finite; no checksum is published",
            *_oddities(path, series.values),
        ]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / TRAIN_FILE, folder / TEST_FILE)


def entries() -> list[SatelliteEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/satellite",
        version=1,
        title="Crop type from a satellite image time series",
        kind="classification",
        loss="cross_entropy",
        metrics=("error_pct",),
        classes=CLASSES,
    )
    # The benchmark's own address, reported to refuse access since 2022; no checksum is published.
    downloads = tuple(
        Download(
            path=PurePosixPath(name),
            urls=(f"https://pde-xd.s3.amazonaws.com/satellite/{name}",),
            size=size,
            note="The authors' Google Drive folder is 1OOp6UrCiP79mTIkCrUdjjHWDo8K0bJUw.",
        )
        for name, size in ((TRAIN_FILE, 338_400_000), (TEST_FILE, 37_600_000))
    )
    return [
        SatelliteEntry(
            task=task,
            points=LENGTH,
            files=(TRAIN_FILE, TEST_FILE),
            protocols=("clean", "released"),
            released_samples=810_000,
            downloads=downloads,
            miniature_version=1,
        )
    ]


def standardise(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Shift and scale each series `[n, time]` to mean 0 and population standard deviation 1.

    A constant series has no scale; it becomes zeros. "Constant" allows for the rounding error of
    the mean, which would otherwise be blown up to noise of size 1.
    """
    series = values.astype(np.float64)
    mean = series.mean(axis=1, keepdims=True)
    deviation = series.std(axis=1, keepdims=True)
    rounding = 1e-12 * np.abs(series).max(axis=1, keepdims=True)
    constant = deviation <= rounding
    scaled = (series - mean) / np.where(constant, 1.0, deviation)
    return np.where(constant, 0.0, scaled).astype(np.float32)


def _blocks(
    parts: tuple[tuple[_Series, npt.NDArray[np.int64]], ...], *, scaled: bool
) -> Iterator[Block]:
    start = 0
    for series, rows in parts:
        for first in range(0, len(rows), _BLOCK):
            chosen = rows[first : first + _BLOCK]
            values = series.values[chosen]
            inputs = (standardise(values) if scaled else values.astype(np.float32))[:, None]
            targets = series.labels[chosen].astype(np.int64) - 1
            yield Block(np.arange(start, start + len(chosen)), inputs, targets)
            start += len(chosen)


def _oddities(path: Path, values: npt.NDArray[np.floating[Any]]) -> list[str]:
    """Return what is no fault of a copy, for the released files have it, but good to know."""
    lines = []
    constant = np.flatnonzero((values == values[:, :1]).all(axis=1))
    if constant.size:
        lines.append(f"  {len(constant)} series are constant, the first is {constant[0]}")
    keys = _keys(values)
    if repeated := len(keys) - len(set(keys)):
        lines.append(f"  {repeated} series are copies of others in the file")
    other = path.with_name(TRAIN_FILE)
    if path.name == TEST_FILE and other.is_file():
        known = set(_keys(_load(other).values))
        shared = [number for number, one in enumerate(keys) if one in known]
        if shared:
            lines.append(
                f"  {len(shared)} series are also in {TRAIN_FILE}, the first is {shared[0]}: what "
                "a method scores on them it may know by heart"
            )
    return lines


def _keys(values: npt.NDArray[np.floating[Any]]) -> list[int]:
    """Return a number for each series, the same for equal ones in this process."""
    return [hash(row.tobytes()) for row in np.asarray(values, dtype=np.float32)]


def _load(path: Path) -> _Series:
    """Read and check one file."""

    def wrong(found: str, expected: str) -> FileError:
        return FileError(path, found, expected)

    content = load_object(path)
    if not isinstance(content, dict) or not {"data", "label"} <= content.keys():
        held = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content)
        raise wrong(f"the file holds {held}", "a dictionary with 'data' and 'label'")
    values, labels = np.asarray(content["data"]), np.asarray(content["label"])
    if values.ndim != 2 or values.shape[1] != LENGTH or values.dtype.kind != "f":
        raise wrong(
            f"'data' has the shape {values.shape} and the type {values.dtype}",
            f"floating-point numbers of the shape (series, {LENGTH})",
        )
    if labels.shape != values.shape[:1] or labels.dtype.kind not in "iu":
        raise wrong(
            f"'label' has the shape {labels.shape} and the type {labels.dtype}",
            f"{len(values)} integers, one for each series",
        )
    outside = np.flatnonzero((labels < 1) | (labels > CLASSES))
    if len(outside):
        raise wrong(
            f"{len(outside)} labels lie outside 1..{CLASSES}, the first is "
            f"{labels[outside[0]]} at sample {outside[0]}",
            f"labels from 1 to {CLASSES}",
        )
    infinite = np.count_nonzero(~np.isfinite(values), axis=1)
    if infinite.any():
        raise wrong(
            f"{infinite.sum()} values of 'data' are NaN or infinite, the first in sample "
            f"{np.argmax(infinite > 0)}",
            "finite values only",
        )
    missing = np.flatnonzero(marked(values))
    if len(missing):
        raise wrong(
            f"{len(missing)} series hold numbers that mark what is missing (such as -9999), the "
            f"first is sample {missing[0]}",
            "measured values only",
        )
    origin = stated_origin(path, content.get("xmft_origin"))
    return _Series(origin=origin, values=values, labels=labels)
