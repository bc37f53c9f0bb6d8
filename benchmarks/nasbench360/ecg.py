"""ECG: the rhythm of a heart from a single-lead record, 4 classes.

Records of the PhysioNet/CinC challenge 2017 (Clifford et al. 2017; ODC-BY 1.0), 8,528 of 9 to 61
seconds at 300 Hz, labelled normal (N), atrial fibrillation (A), other (O) and noisy (~). Read from
the benchmark's `challenge2017.pkl`, a pickled dictionary with `data`, one int16 series a record,
and `label`; or from the challenge's own `training2017/A*.mat` (`val`, int16 `[1, length]`) with
`REFERENCE-v3.csv`, in the order of their names.

As in NAS-Bench-360 (Tu et al. 2022) each record is shifted and scaled to mean 0 and standard
deviation 1 and cut into windows of 1000 points, which start less than the record's length - 1000
and are a stride apart that depends on the class: so the rare classes give as many as the common
ones. A record of 1000 points would have none by that rule; here it has one. One that is shorter is
refused: no released one is. All windows of a record are on one side of every split, and a record is
what its windows vote for.

Splits, by record, with scikit-learn's rule and seed 0:

* `clean` has the three splits that the benchmark declares: a fifth is taken off, and half of that
  is the test, half validates (6,822 / 853 / 853). A stride that depends on the class would tell a
  scorer what it is to find out, so validation and test have windows 500 apart, and a last one at
  the end of the record, whatever the class. Training has the published strides.
* `released` has the tenth for the test on which published numbers are scored, and the published
  strides everywhere; validation takes as many records out of the others, which public code trains
  on.
"""

from __future__ import annotations

import csv
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.ecg_files import CLASSES, LENGTH, Records, read_mat, read_pickle
from benchmarks.nasbench360.miniatures import ecg as miniature
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE, Indices, shuffled_off
from xmft.errors import FileError
from xmft.task import Origin, Protocol, Ragged, Recipe, Task, Windows
from xmft.text_files import read_text

PICKLE, REFERENCE = "challenge2017.pkl", "REFERENCE-v3.csv"
STRIDES = {"N": 500, "A": 83, "O": 250, "~": 25}
"""Points from one window to the next."""

_SCORED_STRIDE = 500
# A fifth of them has to give one for the test and one for validation.
_LEAST = 6
_BLOCK = 256
_PHYSIONET = "https://physionet.org/files/challenge-2017/1.0.0"


@dataclass(frozen=True, kw_only=True)
class EcgEntry(Entry):
    """The task, whatever files its records are in."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From whole int16 records to windows `[n, 1, 1000]`, scaled by their record."""
        from xmft.decoding.records import standardised_windows

        return partial(standardised_windows, size=LENGTH)

    def task_under(self, protocol: Protocol) -> Task:
        """Under `released` also the score of public code: of windows, in chunks of 1000."""
        if protocol == "clean":
            return self.task
        return replace(self.task, metrics=(*self.task.metrics, "one_minus_f1_chunks"))

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        if facts.get("samples", _LEAST) < _LEAST:
            raise FileError(path, f"found {facts['samples']} records", f"at least {_LEAST}")

    @abstractmethod
    def records(self, paths: tuple[Path, ...]) -> Records:
        """Read all records with their classes.

        Raises:
            FileError: something is wrong with a file.
        """

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by record."""
        found = self.records(paths)
        if len(found.labels) < _LEAST:
            raise FileError(paths[0], f"found {len(found.labels)} records", f"at least {_LEAST}")
        cut = split_records(len(found.labels), recipe.samples, protocol)
        windows = {}
        for name, rows in cut.items():
            lengths, classes = found.series.lengths[rows], found.labels[rows]
            scored = name != "train" and protocol == "clean"
            windows[name] = laid_windows(lengths, None if scored else classes)
        return Reading(
            counts={name: len(rows) for name, rows in cut.items()},
            blocks=_blocks(found, np.concatenate(list(cut.values()))),
            windows=windows,
        )

    def told(self, path: Path, found: Records) -> list[str]:
        """Return what `verify` says of records."""
        counts = np.bincount(found.labels, minlength=len(CLASSES))
        lengths, named = found.series.lengths, zip(CLASSES, counts, strict=True)
        series = map(found.series.__getitem__, range(len(lengths)))
        constant = sum(int(one.min() == one.max()) for one in series)
        size = files.size_text(path.stat().st_size)
        lines = [
            f"{path}: {found.origin}, {len(lengths)} records of {lengths.min()} to {lengths.max()} "
            f"values, {size}; no checksum is published",
            f"  {', '.join(f'{count} {name}' for name, count in named)}",
        ]
        return [*lines, f"  {constant} records are constant"] if constant else lines


@dataclass(frozen=True, kw_only=True)
class PickleEntry(EcgEntry):
    """The records in the benchmark's one pickle."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        return read_pickle(path).origin

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return {"samples": len(read_pickle(path).labels)}

    def records(self, paths: tuple[Path, ...]) -> Records:
        """See `EcgEntry.records`."""
        return read_pickle(paths[0])

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        return self.told(path, read_pickle(path))

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / PICKLE)


@dataclass(frozen=True, kw_only=True)
class RawEntry(EcgEntry):
    """The records as PhysioNet has them, one file each, and their labels in a csv file."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        if path.suffix == ".mat":
            read_mat(path)
        else:
            _labels(path)
        return origin_of(path)

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`; of thousands of records only what is wrong is told."""
        origin = self.inspect(path)
        if path.suffix == ".mat":
            return []
        given = list(_labels(path).values())
        named = ", ".join(f"{given.count(name)} {name}" for name in CLASSES)
        return [f"{path}: {origin}, labels of {len(given)} records, {named}"]

    def records(self, paths: tuple[Path, ...]) -> Records:
        """See `EcgEntry.records`; the files and the csv file have to name the same records."""
        table, *places = paths
        labels, names = _labels(table), [path.stem for path in places]
        if without := [path for path in places if path.stem not in labels]:
            raise FileError(without[0], f"{table} has no label for it", "files of one release")
        if gone := sorted(labels.keys() - set(names)):
            raise FileError(
                table,
                f"{len(gone)} of its {len(labels)} records have no file, the first is {gone[0]}",
                "files of one release",
            )
        return Records(
            series=Ragged.of([read_mat(path) for path in places]),
            labels=np.array([CLASSES.index(labels[name]) for name in names], dtype=np.uint8),
            origin=origin_of(table),
        )


def entries() -> list[EcgEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/ecg",
        version=1,
        title="Heart rhythm from windows of single-lead ECG records",
        kind="classification",
        loss="cross_entropy",
        metrics=("one_minus_f1", "one_minus_f1_windows"),
        classes=len(CLASSES),
        pool="vote",
    )
    shared: dict[str, Any] = {"task": task, "protocols": ("clean", "released")}
    # Windows, which is what an epoch consists of.
    shared |= {"released_samples": 261_740}
    raw = (
        RawEntry(files=(REFERENCE,), patterns=("training2017/A*.mat",), **shared),
        RawEntry(files=("labels.csv",), patterns=("ecg/A*.mat",), **shared),
    )
    downloads = (
        Download(
            path=PurePosixPath(PICKLE),
            urls=(f"https://pde-xd.s3.amazonaws.com/ECG/{PICKLE}",),
            size=150_000_000,
            note="The authors' Google Drive has it as 1vp41dhFqCAsEBUld8tXfzC1lRiGm27Aq.",
        ),
    )
    raw_downloads = (
        Download(
            path=PurePosixPath("training2017.zip"),
            urls=(f"{_PHYSIONET}/training2017.zip",),
            unpack=True,
        ),
        Download(path=PurePosixPath(REFERENCE), urls=(f"{_PHYSIONET}/{REFERENCE}",)),
    )
    return [
        PickleEntry(
            files=(PICKLE,),
            alternatives=(replace(raw[0], downloads=raw_downloads), raw[1]),
            downloads=downloads,
            miniature_version=1,
            **shared,
        )
    ]


def split_records(total: int, samples: int | None, protocol: Protocol) -> dict[str, Indices]:
    """Return the record numbers of the three splits, each in rising order.

    Args:
        total: Records, at least 6.
        samples: Most of them that are used: the first of each split in its shuffled order, one in
            ten for the test and one in ten for validation; None: all.
        protocol: See the module.
    """
    if protocol == "clean":
        train, off = shuffled_off(total, 1 / 5)
        val, test = (off[part] for part in shuffled_off(len(off), 1 / 2))
    else:
        rest, test = shuffled_off(total, 1 / 10)
        train, val = (rest[part] for part in shuffled_off(len(rest), len(test)))
    if samples is not None:
        few = max(1, samples // TEST_SHARE)
        test, val = test[:few], val[:few]
        train = train[: samples - len(test) - len(val)]
    return {name: np.sort(rows) for name, rows in (("test", test), ("val", val), ("train", train))}


def laid_windows(lengths: Indices, classes: npt.NDArray[np.integer[Any]] | None) -> Windows:
    """Lay windows over records.

    Args:
        lengths: Points of each record.
        classes: Class of each, for the published strides; None: windows 500 apart that cover all.
    """
    if classes is None:
        return Windows.every(lengths, (LENGTH,), _SCORED_STRIDE, cut=False)
    # The published rule leaves out a window that ends where its record does. A record of one
    # window would have none at all.
    ends = np.maximum(lengths - 1, LENGTH)
    strides = [STRIDES[CLASSES[one]] for one in classes]
    return Windows.every(ends, (LENGTH,), strides, cover=False, cut=False)


def _blocks(found: Records, rows: Indices) -> Iterator[Block]:
    for first in range(0, len(rows), _BLOCK):
        chosen = rows[first : first + _BLOCK]
        series = Ragged.of([found.series[row] for row in chosen])
        yield Block(np.arange(first, first + len(chosen)), series, found.labels[chosen])


def _labels(path: Path) -> dict[str, str]:
    """Return the label of each record by name."""
    labels: dict[str, str] = {}
    for number, row in enumerate(csv.reader(read_text(path).splitlines()), start=1):
        if not row:
            continue
        if len(row) != 2 or row[1] not in CLASSES:
            raise FileError(
                f"{path}, line {number}",
                f"found {','.join(row)!r}",
                f"the name of a record and one of {' '.join(CLASSES)}",
            )
        if labels.setdefault(row[0], row[1]) != row[1]:
            raise FileError(
                f"{path}, line {number}",
                f"found {row[0]} again as {row[1]}",
                f"it to be {labels[row[0]]} as before",
            )
    return labels
