"""Cosmic: which pixels of an image of the sky a cosmic ray has hit, 128 x 128.

Exposures of the Hubble Space Telescope's ACS/WFC camera with masks (Zhang and Bloom 2020, deepCR),
one array each, `npy_train|npy_test/<filter>/<proposal>/<visit>/<exposure>_<part>.npy`: image, mask
of cosmic rays and, in most, mask of pixels to ignore, `[3, 256, 256]`; and `sky.npy` in each visit,
the level of the sky in each exposure. As in NAS-Bench-360 (Tu et al. 2022) the filter is f435w, the
visits are the 27 whose field is flagged GAL in its public code (released: 4,830 and 420 images),
and of each image the middle is used, rows and columns 64 to 191.

Exposures of a visit see the same sky. So validation takes whole visits, about a tenth of the
images, chosen by their names alone. Public code takes the last tenth of whatever order its file
system lists them in, which divides visits.

In training each image has between -0.9 and 3 times the level of its sky added, drawn anew in each
epoch. Public code does that to the test images too; here they are scored as they are.

Ignored pixels count neither in the loss nor in the scores. Public code sets them to logit and truth
0, which changes its mean by a factor alone. The main score is 1 - the area under the ROC curve
over all other pixels of the test; beside it is the benchmark's false negative rate at the logit
0.5. Under `released` there are also that rate with ignored pixels, as the benchmark computes it,
and what later papers call AUROC: that of the predictions at the logit 0, with ignored pixels
as true negatives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.cosmic_files import (
    FILTER,
    GALAXIES,
    SIDE,
    SKY,
    TEST,
    TRAIN,
    Exposure,
    check_planes,
    check_visit,
    exposures,
    level_of,
    read_crop,
    read_sky,
    visit_of,
)
from benchmarks.nasbench360.miniatures import cosmic as miniature
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import VAL_SHARE, capped
from xmft.errors import DataError, FileError
from xmft.task import Origin, Protocol, Recipe, Task

AUGMENTED = (-0.9, 3.0)
"""Least and most of its sky that is added to an image in training."""

_IMAGES = "*_*.npy"
_BLOCK = 64
_RELEASED = ("fnr_pct_all", "one_minus_auroc_hard")


@dataclass(frozen=True, kw_only=True)
class CosmicEntry(Entry):
    """The task and its files."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From lines and bytes to images and masks `[n, 1, 128, 128]`."""
        from xmft.decoding.exposures import images_and_masks

        return partial(images_and_masks, side=SIDE)

    @property
    def augment(self) -> Callable[..., Any]:
        """More or less sky."""
        from xmft.decoding.exposures import with_more_or_less_sky

        low, high = AUGMENTED
        return partial(with_more_or_less_sky, low=low, high=high)

    def task_under(self, protocol: Protocol) -> Task:
        """Under `released` also the scores of public code."""
        if protocol == "clean":
            return self.task
        return replace(self.task, metrics=(*self.task.metrics, *_RELEASED))

    def members(self, data_root: Path) -> dict[str, list[list[Path]]]:
        """Return the files of the visits that are used; all, to be refused, if there are none."""
        found = super().members(data_root)
        return {
            pattern: [one for one in copies if visit_of(one[0]) in GALAXIES] or copies
            for pattern, copies in found.items()
        }

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        check_visit(path)
        if path.name == SKY:
            read_sky(path)
        else:
            check_planes(path)
            sky_path = path.with_name(SKY)
            level_of(path, sky_path, read_sky(sky_path))
        return origin_of(path)

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by visit; the files for the test are the test."""
        train, test = (exposures(paths, half) for half in (TRAIN, TEST))
        held = held_visits([one.visit for one in train])
        val = [one for one in train if one.visit in held]
        fitted = [one for one in train if one.visit not in held]
        trained, tested = capped(len(train), len(test), recipe.samples)
        validated = max(1, round(trained * len(val) / len(train)))
        parts = {
            "test": _spread(test, tested),
            "val": _spread(val, validated),
            "train": _spread(fitted, trained - validated),
        }
        counts = {name: len(chosen) for name, chosen in parts.items()}
        return Reading(counts=counts, blocks=_blocks(parts))

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`; of thousands of images only what is wrong is told."""
        origin = self.inspect(path)
        if path.name != SKY:
            read_crop(path)
            return []
        levels = read_sky(path)
        beside = sorted(path.parent.glob(_IMAGES))
        for one in beside:
            level_of(one, path, levels)
        return [
            f"{path}: {origin}, visit {visit_of(path)}, sky of {len(levels)} exposures from "
            f"{levels.min():g} to {levels.max():g}, {len(beside)} images; no checksum is published"
        ]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder)


def entries() -> list[CosmicEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/cosmic",
        version=1,
        title="Pixels hit by cosmic rays in images of the Hubble Space Telescope",
        kind="dense",
        loss="binary_cross_entropy",
        metrics=("one_minus_auroc_pixels", "fnr_pct"),
    )
    patterns = tuple(
        f"{half}/{FILTER}/*/*/{name}" for half in (TRAIN, TEST) for name in (_IMAGES, SKY)
    )
    downloads = tuple(
        Download(
            path=PurePosixPath(name),
            urls=(
                f"https://zenodo.org/records/4295902/files/{name}?download=1",
                f"https://pde-xd.s3.amazonaws.com/cosmic/{name}",
            ),
            size=size,
            unpack=True,
            note=f"The authors' Google Drive has it as {number}.",
        )
        for name, size, number in (
            ("deepCR.ACS-WFC.train.tar", 6_500_000_000, "1lHsNhPM-73YFdi7V1mkEaa_WyYuz9Waf"),
            ("deepCR.ACS-WFC.test.tar", 2_000_000_000, "1Pc6p1r6TdGCFZMOYScINMj65sF0BnSod"),
        )
    )
    return [
        CosmicEntry(
            task=task,
            points=SIDE,
            axes=2,
            patterns=patterns,
            protocols=("clean", "released"),
            released_samples=4347,
            downloads=downloads,
            miniature_version=1,
        )
    ]


def held_visits(visits: Sequence[str]) -> frozenset[str]:
    """Choose whole visits to validate on, together a tenth of the images or little less.

    Args:
        visits: That of each image, sorted.

    Returns:
        Those that are held out: as many as fit, in an order that is always the same; if each is
        too large, the smallest.

    Raises:
        DataError: there are fewer than two.
    """
    names, counts = np.unique(np.array(visits, dtype=str), return_counts=True)
    if len(names) < 2:
        raise DataError(
            f"The images for training are of {len(names)} visits, expected at least 2: one is held "
            "out to validate on."
        )
    room, held = len(visits) // VAL_SHARE, set[str]()
    # `RandomState` is the one generator of numpy whose stream is promised never to change.
    for number in np.random.RandomState(360).permutation(len(names)):
        if counts[number] <= room:
            held.add(str(names[number]))
            room -= int(counts[number])
    return frozenset(held or {str(names[np.argmin(counts)])})


def _spread(images: list[Exposure], count: int) -> list[Exposure]:
    """Return at most `count` images, evenly spread over all, so that every visit has some."""
    taken = min(count, len(images))
    return [images[number * len(images) // taken] for number in range(taken)]


def _blocks(parts: Mapping[str, list[Exposure]]) -> Iterator[Block]:
    start, seen = 0, dict[bytes, tuple[str, Path]]()
    for split, images in parts.items():
        hit = known = 0
        for first in range(0, len(images), _BLOCK):
            chosen = images[first : first + _BLOCK]
            crops = np.stack([read_crop(one.path) for one in chosen])
            for one, crop in zip(chosen, crops, strict=True):
                _check_new(seen, split, one.path, crop[0])
            pixels = crops[:, 0].reshape(len(chosen), -1)
            levels = np.array([[one.sky] for one in chosen], dtype=np.float32)
            rays, used = crops[:, 1:2].astype(np.uint8), (1 - crops[:, 2:3]).astype(np.uint8)
            yield Block(
                np.arange(start, start + len(chosen)), np.hstack([pixels, levels]), rays, used
            )
            hit, known = hit + int((rays & used).sum()), known + int(used.sum())
            start += len(chosen)
        if hit in (0, known):
            raise DataError(
                f"Of the {known} pixels of the {split} images that are not to be ignored {hit} are "
                "hit by cosmic rays, expected some and not all: otherwise nothing can be scored. "
                f"Use more images than these {len(images)}."
            )


def _check_new(seen: dict[bytes, tuple[str, Path]], split: str, path: Path, image: Any) -> None:
    """Make sure that an image is in no other split; one that is the same everywhere may be."""
    if image.min() == image.max():
        return
    digest = hashlib.sha256(image.tobytes()).digest()
    other, place = seen.setdefault(digest, (split, path))
    if other != split:
        raise FileError(
            path,
            f"is for the {split} split and holds the same image as {place} of the {other} split",
            "every image in one alone",
            between=" ",
        )
