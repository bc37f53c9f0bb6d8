"""CIFAR-100: the object in a photograph of 32 x 32 pixels, 100 classes (Krizhevsky, 2009).

Python pickles `train` and `test` in the folder `cifar-100-python`, each a dictionary with `data`,
uint8 `[n, 3072]` (all red, then all green, then all blue, row by row), and `fine_labels`, integers
0 to 99. As in NAS-Bench-360 the last fifth of the training file validates; the test file is the
test split. Images in training are moved by up to 4 pixels and reflected, and no others. The
benchmark's own models also had a square of 16 pixels cut out, which fine-tuned transformers have
not.

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
from benchmarks.nasbench360.labelled import blocks, copies, whole_labels
from benchmarks.nasbench360.miniatures import images as miniatures
from benchmarks.origin import stated_origin
from benchmarks.prepare import Reading
from benchmarks.splits import Indices, capped, last_fifth
from xmft.errors import FileError
from xmft.pickles import load_pickle
from xmft.task import Origin, Protocol, Recipe, Task
from xmft.unreadable import check, readable

CLASSES = 100
SIDE = 32
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
        train, test = map(load, paths)
        return reading(paths, train, test, recipe)

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
            lines += told_copies(found.images, load(train).images, train)
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


def told_copies(test: Any, train: Any, where: Path) -> list[str]:
    """Return a line on test samples that are among those of training, if there are any."""
    shared = copies(test, train)
    if not shared:
        return []
    return [
        f"  {len(shared)} samples are also in {where}, the first is {shared[0]}: what a method "
        "scores on them it may know by heart"
    ]


def load(path: Path) -> Images:
    """Read and check one of the two pickles.

    Raises:
        FileError: it is damaged or something else.
    """
    check(path)
    size = path.stat().st_size
    with readable(path), path.open("rb") as stream:
        found = load_pickle(stream, name=str(path), size=size)
    if not isinstance(found, dict):
        raise FileError(path, f"holds a {type(found).__name__}", "a dictionary", between=" ")
    # Written again by Python 3, the keys are bytes.
    content = {key.decode() if isinstance(key, bytes) else key: found[key] for key in found}
    if not {"data", "fine_labels"} <= content.keys():
        held = ", ".join(sorted(map(str, content)))
        what = " (CIFAR-10 has labels of 10 classes)" if "labels" in content else ""
        raise FileError(path, f"holds {held}{what}", "'data' and 'fine_labels'", between=" ")
    data, pixels = content["data"], 3 * SIDE * SIDE
    images = data if isinstance(data, np.ndarray) else np.empty(0)
    if images.dtype != np.uint8 or images.shape[1:] != (pixels,):
        raise FileError(
            path,
            f"'data' is a {type(data).__name__} of type {getattr(data, 'dtype', None)} and shape "
            f"{getattr(data, 'shape', None)}",
            f"uint8 [n, {pixels}]",
        )
    labels = whole_labels(path, "'fine_labels'", content["fine_labels"], len(images), CLASSES)
    origin = stated_origin(path, content.get("xmft_origin"))
    return Images(origin=origin, images=images.reshape(-1, 3, SIDE, SIDE), labels=labels)
