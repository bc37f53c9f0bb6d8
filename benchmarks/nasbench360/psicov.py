"""PSICOV: distances between the residues of a protein from what its relatives tell, in angstrom.

The data of PDNET (Adhikari, 2020), folder `protein`: `deepcov.lst` (3,456 ids, each with a length)
for training, `psicov.lst` (150 ids) for the test, and for each id `{deepcov,psicov}/features/
<id>.pkl` and `.../distance/<id>-cb.npy`, see `protein_files`. The first 100 of the training list
validate, as in NAS-Bench-360.

Inputs are 57 channels of pairs: 27 tracks of both residues, and three maps. Training takes one
square of 128 x 128 of each protein in an epoch, anywhere; what is scored are whole proteins, in
squares that are put together, each with its own length. Distances are clipped at 16 in training,
and at scoring not. The score is `mae8`: pairs at least 24 residues apart and at most 8 angstrom
distant, mean over the pairs of a protein, mean over proteins.

Public code predicts one canvas of 512 x 512, which is not repeated. Under `released`, training
counts what is beyond the end of a protein as far away, as it does, and two scores are added:
`mae8_public` has its weights of the two triangles, and `mae8_first_length` these and the length of
the first protein of the list for all, which is what it publishes.

Licence: GPL-3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.miniatures import psicov as miniature
from benchmarks.nasbench360.protein_files import (
    MAPS,
    TRACKS,
    Protein,
    read_distances,
    read_features,
    read_ids,
    read_protein,
)
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE
from xmft.errors import FileError
from xmft.task import Origin, Protocol, Ragged, Recipe, Task, Windows

TRAIN_LIST, TEST_LIST = "deepcov.lst", "psicov.lst"
SQUARE = 128

_VAL = 100
_PARTS = ("deepcov", "psicov")
_LEAST = 2
_BLOCK = 16


@dataclass(frozen=True, kw_only=True)
class PsicovEntry(Entry):
    """The task, its two lists and its many files."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From proteins stored flat to squares of pairs."""
        from xmft.decoding.residue_pairs import pair_channels

        return partial(pair_channels, tracks=len(TRACKS), maps=len(MAPS), size=SQUARE)

    def task_under(self, protocol: Protocol) -> Task:
        """Under `released` the loss of the public code, and its scores beside."""
        if protocol == "clean":
            return self.task
        scores = (*self.task.metrics, "mae8_public", "mae8_first_length")
        return replace(self.task, loss="mse_to_16_everywhere", metrics=scores)

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`; of the many files only whether they are there is known before."""
        if path.suffix == ".lst":
            read_ids(path)
        return origin_of(path)

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return {"samples": len(read_ids(path))}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        least = _LEAST if path.name == TRAIN_LIST else 1
        if facts["samples"] < least:
            raise FileError(path, f"names {facts['samples']} proteins", f"at least {least}")

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by the lists."""
        train_list, test_list = paths[:2]
        places = {
            (part, kind): {
                path.name.partition(".")[0].removesuffix("-cb"): path
                for path in paths[2:]
                if path.parts[-3:-1] == (part, kind)
            }
            for part in _PARTS
            for kind in ("features", "distance")
        }
        named = {train_list: read_ids(train_list), test_list: read_ids(test_list)}
        train, test = (list(ids) for ids in named.values())
        if both := sorted(set(train) & set(test)):
            raise FileError(
                train_list,
                f"names {len(both)} proteins that {test_list} names too, the first is {both[0]}",
                "no protein of the test",
            )
        held = min(_VAL, max(1, len(train) // 10))
        ids = {"test": test, "val": train[:held], "train": train[held:]}
        if recipe.samples is not None:
            tenth = max(1, recipe.samples // TEST_SHARE)
            ids["test"], ids["val"] = ids["test"][:tenth], ids["val"][:tenth]
            left = recipe.samples - len(ids["test"]) - len(ids["val"])
            ids["train"] = ids["train"][:left]
        where = {"test": ("psicov", test_list), "val": ("deepcov", train_list)}
        where["train"] = where["val"]
        found = {
            split: [
                _found(places, *where[split], one, named[where[split][1]][one]) for one in names
            ]
            for split, names in ids.items()
        }
        return Reading(
            counts={split: len(several) for split, several in found.items()},
            # The test comes first: nothing that follows may be in it.
            blocks=_blocks(
                [one for several in found.values() for one in several], len(ids["test"])
            ),
            windows={
                split: _windows(split, np.array([one.length() for one in several]))
                for split, several in found.items()
            },
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        size = files.size_text(path.stat().st_size)
        if path.suffix == ".lst":
            return [f"{path}: {origin_of(path)}, {len(read_ids(path))} proteins, {size}"]
        if path.suffix == ".pkl":
            sequence, _, _ = read_features(path)
            return [f"{path}: {origin_of(path)}, features of {len(sequence)} residues, {size}"]
        length, _, distances = read_distances(path)
        apart = np.arange(length) - np.arange(length)[:, None] >= 24
        pairs = int((apart & (distances <= 8)).sum())
        line = f"{path}: {origin_of(path)}, {length} residues, {pairs} scored pairs, {size}"
        return [line]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / "protein")


def entries() -> list[PsicovEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/psicov",
        version=1,
        title="Distances between the residues of a protein",
        kind="dense",
        loss="mse_to_16",
        metrics=("mae8",),
        pool="stitch",
        continues=False,
    )
    benchmark = Download(
        path=PurePosixPath("protein.zip"),
        urls=("https://pde-xd.s3.amazonaws.com/protein.zip",),
        size=1_100_000_000,
        unpack=True,
        note="Google Drive has it as 1nBs6qJJPK8qNzsmFo3waPsGzHFHplLMo.",
    )
    # The release that the benchmark took its files from: the same lists and folders in `data`.
    pdnet = Download(
        path=PurePosixPath("train-data.tar.gz"),
        urls=("http://deep.cs.umsl.edu/pdnet/train-data.tar.gz",),
        unpack=True,
    )
    entry = PsicovEntry(
        task=task,
        axes=2,
        files=(TRAIN_LIST, TEST_LIST),
        patterns=tuple(
            f"{part}/{kind}" for part in _PARTS for kind in ("features/*.pkl", "distance/*-cb.npy")
        ),
        protocols=("clean", "released"),
        released_samples=3356,
        miniature_version=2,
        downloads=(benchmark,),
    )
    return [replace(entry, alternatives=(replace(entry, downloads=(pdnet,)),))]


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A protein, the list that names it, and its files."""

    name: str
    table: Path
    residues: int | None
    features: Path
    distance: Path

    def length(self) -> int:
        """Return its residues, as far as they are listed without a look at its files."""
        return self.residues or read_distances(self.distance)[0]

    def read(self) -> Protein:
        """Read it, and see whether it is what is listed."""
        protein = read_protein(self.name, self.features, self.distance)
        if self.residues not in (None, len(protein.sequence)):
            raise FileError(
                self.distance,
                f"is of {len(protein.sequence)} residues, and {self.table} says {self.residues}",
                "files of one release",
            )
        return protein


def _found(
    places: Mapping[tuple[str, str], Mapping[str, Path]],
    part: str,
    table: Path,
    name: str,
    residues: int | None,
) -> _Listed:
    """Return a protein with its two files."""
    features, distance = (places[part, kind].get(name) for kind in ("features", "distance"))
    if features is None or distance is None:
        what = "features" if features is None else "distances"
        raise FileError(
            table,
            f"names {name}, of which there are no {what}",
            f"{part}/features/{name}.pkl and {part}/distance/{name}-cb.npy",
        )
    return _Listed(name=name, table=table, residues=residues, features=features, distance=distance)


def _windows(split: str, lengths: np.ndarray[Any, Any]) -> Windows:
    """Lay squares over proteins: all of each, or one that moves from epoch to epoch."""
    extents = np.repeat(np.maximum(lengths, SQUARE)[:, None], 2, axis=1)
    square = (SQUARE, SQUARE)
    if split != "train":
        return Windows.every(extents, square, cut=False)
    # Where no epoch says otherwise, squares lie anywhere: on the diagonal distances are small.
    starts = np.random.RandomState(360).randint(0, extents - SQUARE + 1)
    table = np.column_stack([np.arange(len(lengths)), starts]).astype(np.int64)
    return Windows(table=table, size=square, random=True, cut=False, extents=extents)


def _blocks(proteins: list[_Listed], tests: int) -> Iterator[Block]:
    """Yield proteins in this order, the first `tests` of them those of the test."""
    # All are stored in the precision of the first.
    first, held = proteins[0].read(), dict[str, str]()
    for start in range(0, len(proteins), _BLOCK):
        chosen = []
        for number, listed in enumerate(proteins[start : start + _BLOCK], start=start):
            protein = _as_precise(first, listed)
            if number < tests:
                held[protein.sequence] = listed.name
            elif protein.sequence in held:
                raise FileError(
                    listed.features,
                    f"has the sequence of {held[protein.sequence]}, a protein of the test",
                    "another protein",
                )
            chosen.append(protein)
        inputs, targets = (
            Ragged.of([getattr(one, part) for one in chosen]) for part in ("inputs", "targets")
        )
        yield Block(np.arange(start, start + len(chosen)), inputs, targets)


def _as_precise(first: Protein, listed: _Listed) -> Protein:
    """Read a protein in the precision of another."""
    one = listed.read()
    parts = {}
    for part, path in (("inputs", listed.features), ("targets", listed.distance)):
        values, kind = getattr(one, part), getattr(first, part).dtype
        parts[part] = values.astype(kind)
        if not (parts[part] == values).all():
            raise FileError(
                path,
                f"holds numbers of type {values.dtype}, and the first protein of the lists {kind}",
                "files of one release",
            )
    return replace(one, **parts)
