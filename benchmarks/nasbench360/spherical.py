"""Spherical CIFAR-100: the images of CIFAR-100 thrown onto a sphere, 100 classes.

One gzip pickle, a dictionary `train` and `test` of `images`, uint8 `[n, 3, 60, 60]` (polar angle by
azimuth), and `labels`, integers 0 to 99. As in NAS-Bench-360 the last fifth of the images for
training validates and no image is changed in training, under both protocols. No test image is ever
trained on (public code since 2025 trains on a quarter of them): a file with test images among those
for training is refused.

Where the file is not to be had the images are made of CIFAR-100 (`benchmarks.nasbench360.sphere`)
by the rule of the benchmark (Cohen et al., 2018). Its random rotations are not published, so these
samples are marked as generated.

Licence: CC BY-SA 4.0.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360 import cifar100
from benchmarks.nasbench360.cifar100 import LEAST_TRAIN, Images, reading
from benchmarks.nasbench360.labelled import told_copies
from benchmarks.nasbench360.miniatures import images as miniatures
from benchmarks.nasbench360.sphere import Projected
from benchmarks.origin import stated_origin
from benchmarks.prepare import Reading
from xmft.errors import FileError
from xmft.labels import whole_labels
from xmft.pickles import load_pickle
from xmft.task import Origin, Protocol, Recipe, Task
from xmft.unreadable import check, readable, refusal

CLASSES = cifar100.CLASSES
SIDE = 60
FILE = "s2_cifar100.gz"

# Of the rotations of the images for training and for the test.
_SEEDS = (0, 1)


@dataclass(frozen=True, kw_only=True)
class SphericalEntry(Entry):
    """The task and its one file."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From bytes to values from 0 to 1."""
        from xmft.decoding.images import to_floats

        return to_floats

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        return _load(path)["test"].origin

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        found = _load(path)
        return {"samples": len(found["train"].images), "test": len(found["test"].images)}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        if facts["samples"] < LEAST_TRAIN or facts["test"] < 1:
            raise FileError(
                path,
                f"found {facts['samples']} and {facts['test']} images",
                f"at least {LEAST_TRAIN} (1 for validation) and 1",
            )

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut the images for training; those for the test stay what they are."""
        found = _load(paths[0])
        _told_copies(paths[0], found)
        return reading(paths, found["train"], found["test"], recipe)

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        found = _load(path)
        train, test = found["train"], found["test"]
        size = files.size_text(path.stat().st_size)
        return [
            f"{path}: {test.origin}, {len(train.images)} images to train on and "
            f"{len(test.images)} for the test, {size}; no checksum is published",
            *_told_copies(path, found),
        ]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniatures.write_spherical(folder / FILE)


@dataclass(frozen=True, kw_only=True)
class ProjectedEntry(SphericalEntry):
    """The same task, made of the files of CIFAR-100."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        found = cifar100.load(path).origin
        return "generated" if found == "official" else found

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return {}

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Throw the images onto the sphere; each keeps its rotation, however the files are cut."""
        train, test = (
            replace(found, images=Projected(found.images, seed))
            for found, seed in zip(cifar100.apart(paths), _SEEDS, strict=True)
        )
        return reading(paths, train, test, recipe)

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        first, *others = cifar100.entries()[0].verify(path)
        return [
            f"{first}; the images on the sphere are made of them: {self.inspect(path)}",
            *others,
        ]


def entries() -> list[SphericalEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/spherical",
        version=1,
        title="Object in a photograph on a sphere, CIFAR-100",
        kind="classification",
        loss="cross_entropy",
        metrics=("error_pct",),
        classes=CLASSES,
    )
    shared: dict[str, Any] = {
        "task": task,
        "points": SIDE,
        "axes": 2,
        "protocols": ("clean", "released"),
        "released_samples": 50_000,
        "miniature_version": 1,
    }
    projected = ProjectedEntry(
        patterns=cifar100.PATTERNS, downloads=cifar100.entries()[0].downloads, **shared
    )
    download = Download(
        path=PurePosixPath(FILE),
        urls=(f"https://pde-xd.s3.amazonaws.com/spherical/{FILE}",),
        size=272_000_000,
    )
    return [
        SphericalEntry(files=(FILE,), alternatives=(projected,), downloads=(download,), **shared)
    ]


def _told_copies(path: Path, found: Mapping[str, Images]) -> list[str]:
    train, test = found["train"].images, found["test"].images
    return told_copies(path, test, path, train, what="test image")


def _load(path: Path) -> dict[str, Images]:
    """Read and check the file.

    Raises:
        FileError: it is damaged or something else.
    """
    check(path)
    size = path.stat().st_size
    expected = "a gzip pickle of images"
    try:
        with readable(path), gzip.open(path, "rb") as stream:
            found = load_pickle(stream, name=str(path), size=size)  # type: ignore[arg-type]
    except (EOFError, OSError, zlib.error) as error:
        raise refusal(path, error) or FileError(
            path, f"cannot be read ({error}); found {size} bytes", expected, between=" "
        ) from error
    if not isinstance(found, dict) or not {"train", "test"} <= found.keys():
        held = ", ".join(map(repr, found)) if isinstance(found, dict) else type(found).__name__
        raise FileError(path, f"holds {held}", "'train' and 'test'", between=" ")
    origin = stated_origin(path, found.get("xmft_origin"))
    return {split: _checked(path, split, found[split], origin) for split in ("train", "test")}


def _checked(path: Path, split: str, part: object, origin: Origin) -> Images:
    if not isinstance(part, dict) or not {"images", "labels"} <= part.keys():
        held = ", ".join(map(repr, part)) if isinstance(part, dict) else type(part).__name__
        raise FileError(path, f"'{split}' holds {held}", "'images' and 'labels'")
    images = part["images"]
    shape = (3, SIDE, SIDE)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape:
        raise FileError(
            path,
            f"'images' of '{split}' have the shape {getattr(images, 'shape', None)} and the type "
            f"{getattr(images, 'dtype', type(images).__name__)}",
            f"uint8 of the shape (n, {', '.join(map(str, shape))})",
        )
    labels = whole_labels(path, f"'labels' of '{split}'", part["labels"], len(images), CLASSES)
    return Images(origin=origin, images=images, labels=labels)
