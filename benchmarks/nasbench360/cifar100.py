"""CIFAR-100: the object in a photograph of 32 x 32 pixels, 100 classes (Krizhevsky, 2009).

Python pickles `train` and `test` in the folder `cifar-100-python`, each a dictionary with `data`,
uint8 `[n, 3072]` (all red, then all green, then all blue, row by row), and `fine_labels`, integers
0 to 99. As in NAS-Bench-360 the last fifth of the training file validates; the test file is the
test split. Images in training are moved by up to 4 pixels and reflected, and no others. Both
protocols are the same, for that is what public code for fine-tuned transformers does, apart from
its validation on the test images. The benchmark's own search code cut a square of 16 pixels out of
them as well, which belongs to neither.

Licence: none is stated by the authors; NAS-Bench-360 gives CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.labelled import blocks, told_copies
from benchmarks.nasbench360.miniatures import images as miniatures
from benchmarks.origin import stated_origin
from benchmarks.prepare import Reading
from benchmarks.splits import Indices, capped, last_fifth
from xmft.cifar_pickles import SIDE, read_cifar
from xmft.errors import FileError
from xmft.task import Origin, Protocol, Recipe, Task
from xmft.unreadable import check, readable

CLASSES = 100
FOLDER = "cifar-100-python"
PATTERNS = (f"{FOLDER}/train", f"{FOLDER}/test")

# Of the training images, in units of the largest value; as all public code has them.
MEAN = (0.5071, 0.4867, 0.4408)
DEVIATION = (0.2675, 0.2565, 0.2761)
BORDER = 4
LEAST_TRAIN = 5


@dataclass(frozen=True, kw_only=True)
class Images:
    """Content of one file: images `[n, 3, side, side]` and their classes `[n]`."""

    origin: Origin
    images: Any
    labels: Indices


@dataclass(frozen=True, kw_only=True)
class Cifar100Entry(Entry):
    """The task and its two pickles."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From bytes to channels of mean 0 and deviation 1."""
        from xmft.decoding.images import to_floats

        return partial(to_floats, mean=MEAN, deviation=DEVIATION)

    @property
    def augment(self) -> Callable[..., Any]:
        """Random crops of the image with a black border, and reflections."""
        from xmft.decoding.images import cropped_and_flipped

        black = [-mean / spread for mean, spread in zip(MEAN, DEVIATION, strict=True)]
        return partial(cropped_and_flipped, border=BORDER, black=black)

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        return load(path).origin

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut both files: the last fifth of the first validates, the second is the test."""
        return reading(paths, *apart(paths), recipe)

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        found = load(path)
        size = files.size_text(path.stat().st_size)
        lines = [
            f"{path}: {found.origin}, {len(found.images)} images, "
            f"{len(np.unique(found.labels))} of {CLASSES} classes, {size}"
        ]
        train = path.with_name("train")
        if path.name == "test" and train.is_file():
            lines += told_copies(path, found.images, train, load(train).images, what="image")
        return lines

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniatures.write_cifar100(folder / FOLDER)


def entries() -> list[Cifar100Entry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/cifar100",
        version=1,
        title="Object in a photograph, CIFAR-100",
        kind="classification",
        loss="cross_entropy",
        metrics=("error_pct",),
        classes=CLASSES,
    )
    return [
        Cifar100Entry(
            task=task,
            points=SIDE,
            axes=2,
            patterns=PATTERNS,
            protocols=("clean", "released"),
            released_samples=50_000,
            miniature_version=1,
            downloads=(
                Download(
                    path=PurePosixPath("cifar-100-python.tar.gz"),
                    urls=("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
                    size=169_001_437,
                    about=False,
                    checksum=(
                        "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
                    ),
                    unpack=True,
                ),
            ),
        )
    ]


def apart(paths: tuple[Path, ...]) -> tuple[Images, Images]:
    """Read both files, whose images must not be the same.

    Raises:
        FileError: a file is damaged or something else, or many of the images are in both.
    """
    train, test = map(load, paths)
    told_copies(paths[1], test.images, paths[0], train.images, what="image")
    return train, test


def reading(paths: tuple[Path, ...], train: Images, test: Images, recipe: Recipe) -> Reading:
    """Cut images for training and images for the test.

    Raises:
        FileError: there are too few.
    """
    trained, tested = capped(len(train.images), len(test.images), recipe.samples)
    if tested < 1 or trained < LEAST_TRAIN:
        raise FileError(
            " and ".join(map(str, paths)),
            f"found {trained} and {tested} images",
            f"at least {LEAST_TRAIN} (1 for validation) and 1",
        )
    fitted, validated = last_fifth(trained)
    return Reading(
        counts={"test": tested, "val": len(validated), "train": len(fitted)},
        blocks=blocks(
            (
                (test.images.__getitem__, test.labels, np.arange(tested)),
                (train.images.__getitem__, train.labels, validated),
                (train.images.__getitem__, train.labels, fitted),
            )
        ),
    )


def load(path: Path) -> Images:
    """Read and check one of the two pickles.

    Raises:
        FileError: it is damaged or something else.
    """
    check(path)
    size = path.stat().st_size
    with readable(path), path.open("rb") as stream:
        found = read_cifar(stream, name=str(path), size=size, labels="fine_labels", classes=CLASSES)
    origin = stated_origin(path, found.content.get("xmft_origin"))
    return Images(origin=origin, images=found.images, labels=found.labels)
