"""Cosmic: which pixels of a Hubble exposure a cosmic ray has hit, 128 x 128.

Training data of deepCR (Zhang and Bloom, 2020; zenodo 4295902), unpacked: `npy_train` and
`npy_test`, in there `<filter>/<proposal>/<visit>/<k>_<n>.npy`, each float `[3, 256, 256]` (image in
electrons, cosmic rays, pixels to be ignored; files without the last plane ignore nothing), and
beside them `sky.npy`, whose entry k - 1 is the background level of exposure k. NAS-Bench-360 takes
filter f435w, the 27 visits whose field its code flags GAL, and pixels 64 to 191 of both axes, in a
list whose order the file system decides; here it is sorted by visit, exposure and part.

Training adds the background level times a random number from -0.9 to 3 to an exposure, anew in
every epoch; public code does so in the test as well, here nothing is added there. Validation takes
whole visits, some tenth of the exposures: exposures of one visit show the same field. An exposure
that is there twice is in one split alone, or refused.

Ignored pixels count in neither loss nor scores. The public loss sets them to logit and truth 0: it
is the same but for a factor, the share of known pixels, and a constant.

Ranked by 1 - AUROC of the logits over all pixels that are not ignored. Beside it the share of
missed pixels at the benchmark's threshold; under `released` the same with ignored pixels counted,
and 1 - AUROC of a hard decision, which is the mean of both error rates.

Licence: the data are public, without a stated licence.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.cosmic_files import POINTS, SKY, level_of, opened, read_exposure
from benchmarks.nasbench360.labelled import measured
from benchmarks.nasbench360.miniatures import cosmic as miniature
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE, VAL_SHARE
from xmft.errors import DataError, FileError
from xmft.task import Origin, Protocol, Recipe, Task

FILTER = "f435w"
LOWEST, HIGHEST = -0.9, 3.0

# Visits to resolved galaxies, `<proposal>/<visit>`, by the table of the benchmark.
GALAXIES = frozenset(
    (
        *("10760/2", "10760/4", "13737/2", "13737/3", "9490/a3", "9490/a2", "12513/2", "12513/3"),
        *("10182/pb", "10182/pd", "10584/13", "10342/3", "14343/1", "13057/1", "10260/7"),
        *("10260/5", "10407/3", "13364/95", "10190/28", "10190/13", "13691/11", "12058/12"),
        *("12058/16", "12058/1", "12058/6", "14704/1", "13804/6"),
    )
)
_BLOCK = 64


@dataclass(frozen=True, kw_only=True)
class CosmicEntry(Entry):
    """The task and its many files."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From pixels and a level to images, masks and weights."""
        from xmft.decoding.sky import exposures

        return partial(exposures, side=POINTS)

    @property
    def augment(self) -> Callable[..., Any]:
        """Another background."""
        from xmft.decoding.sky import with_other_sky

        return partial(with_other_sky, low=LOWEST, high=HIGHEST)

    def task_under(self, protocol: Protocol) -> Task:
        """Under `released` also what public code computes."""
        if protocol == "clean":
            return self.task
        public = ("fnr_pct_unmasked", "one_minus_auroc_hard")
        return replace(self.task, metrics=(*self.task.metrics, *public))

    def members(self, data_root: Path) -> dict[str, list[list[Path]]]:
        """See `Entry.members`; visits that are none to galaxies are left out."""
        return {
            pattern: [copies for copies in every if visit_of(copies[0]) in GALAXIES]
            for pattern, every in super().members(data_root).items()
        }

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        opened(path)
        if path.name != SKY:
            level_of(path, {})
        return origin_of(path)

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by visit; the files of `npy_test` are the test."""
        exposures = sorted((path for path in paths if path.name != SKY), key=_order)
        test = [path for path in exposures if path.parts[-5] == "npy_test"]
        fitted, validated = by_visit([path for path in exposures if path.parts[-5] == "npy_train"])
        if recipe.samples is not None:
            tenth = max(1, recipe.samples // TEST_SHARE)
            test, validated = _spread(test, tenth), _spread(validated, tenth)
            fitted = _spread(fitted, recipe.samples - len(test) - len(validated))
        parts = {"test": test, "val": validated, "train": fitted}
        return Reading(
            counts={split: len(part) for split, part in parts.items()}, blocks=_blocks(parts)
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`; of thousands of exposures only what is odd is told."""
        origin = self.inspect(path)
        if path.name == SKY:
            values, beside = opened(path), sorted(path.parent.glob("*_*.npy"))
            measured(path, "the array", values[:, None])
            return [
                f"{path}: {origin}, levels of {len(values)} exposures from {values.min():g} to "
                f"{values.max():g}, {len(beside)} files of them; no checksum is published"
            ]
        _, rays, known = read_exposure(path)
        if not known.any():
            return [f"{path}: all of its pixels are to be ignored"]
        return [] if rays.any() else [f"{path}: none of its pixels is hit"]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder)


def entries() -> list[CosmicEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/cosmic",
        version=1,
        title="Pixels of a Hubble exposure hit by cosmic rays",
        kind="dense",
        loss="binary_cross_entropy",
        metrics=("one_minus_auroc_pixels", "fnr_pct"),
        continues=False,
    )
    address = "https://zenodo.org/records/4295902/files/"
    old = "https://pde-xd.s3.amazonaws.com/cosmic/"
    names = {
        "deepCR.ACS-WFC.train.tar": (6_500_000_000, "1lHsNhPM-73YFdi7V1mkEaa_WyYuz9Waf"),
        "deepCR.ACS-WFC.test.tar": (2_000_000_000, "1Pc6p1r6TdGCFZMOYScINMj65sF0BnSod"),
    }
    return [
        CosmicEntry(
            task=task,
            points=POINTS,
            axes=2,
            patterns=tuple(f"npy_{split}/{FILTER}/*/*/*.npy" for split in ("train", "test")),
            protocols=("clean", "released"),
            released_samples=4347,
            miniature_version=2,
            downloads=tuple(
                Download(
                    path=PurePosixPath(name),
                    urls=(f"{address}{name}?download=1", old + name),
                    size=size,
                    unpack=True,
                    note=f"The authors' Google Drive has it as {number}.",
                )
                for name, (size, number) in names.items()
            ),
        )
    ]


def visit_of(path: Path) -> str:
    """Return `<proposal>/<visit>` of a file."""
    return "/".join(path.parts[-3:-1])


def by_visit(exposures: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split exposures into those to train on and, in whole visits, some tenth to validate on.

    Visits come in an order that is always the same until they are a tenth; one that would make them
    more than a sixth is passed over. Where all are larger, the smallest is taken.

    Raises:
        DataError: all are of one visit.
    """
    visits = sorted({visit_of(path) for path in exposures})
    if len(visits) < 2:
        raise DataError(
            f"Found {len(exposures)} exposures of {len(visits)} visits to train and validate on, "
            "expected at least 2 visits: one of them validates. Unpack all of npy_train."
        )
    # `RandomState` is the one generator of numpy whose stream is promised never to change.
    order = [visits[number] for number in np.random.RandomState(360).permutation(len(visits))]
    sizes = Counter(visit_of(path) for path in exposures)
    held, taken = set[str](), 0
    for visit in order:
        if taken * VAL_SHARE < len(exposures) and (taken + sizes[visit]) * 6 <= len(exposures):
            held.add(visit)
            taken += sizes[visit]
    held = held or {min(order, key=lambda visit: sizes[visit])}
    fitted = [path for path in exposures if visit_of(path) not in held]
    return fitted, [path for path in exposures if visit_of(path) in held]


def _spread(paths: list[Path], most: int) -> list[Path]:
    """Return at most so many, evenly spread."""
    count = min(len(paths), most)
    return [paths[number] for number in np.linspace(0, len(paths) - 1, count).astype(int)]


def _order(path: Path) -> tuple[int | str, ...]:
    """Sort by proposal, visit, exposure and part, numbers by size, wherever the files lie."""
    proposal, visit = visit_of(path).split("/")
    number, _, part = path.stem.partition("_")
    return tuple(key for text in (proposal, visit, number, part) for key in (len(text), text))


def _blocks(parts: Mapping[str, list[Path]]) -> Iterator[Block]:
    levels: dict[Path, npt.NDArray[Any]] = {}
    seen: dict[bytes, tuple[str, Path]] = {}
    done = 0
    for split, paths in parts.items():
        for start in range(0, len(paths), _BLOCK):
            chosen = paths[start : start + _BLOCK]
            read = [read_exposure(path) for path in chosen]
            for path, (image, _, _) in zip(chosen, read, strict=True):
                _check_new(seen, split, path, image)
            sky = [level_of(path, levels) for path in chosen]
            images = np.stack([image.ravel() for image, _, _ in read])
            rays, weights = (np.stack([one[part] for one in read])[:, None] for part in (1, 2))
            inputs = np.column_stack([images, np.array(sky, dtype=np.float32)])
            yield Block(np.arange(done, done + len(chosen)), inputs, rays, weights)
            done += len(chosen)


def _check_new(
    seen: dict[bytes, tuple[str, Path]], split: str, path: Path, image: npt.NDArray[Any]
) -> None:
    """Make sure that an image is in no other split; one that is the same everywhere may be."""
    digest = hashlib.sha256(image.tobytes()).digest()
    other, place = seen.setdefault(digest, (split, path))
    if other != split and image.min() < image.max():
        raise FileError(
            path,
            f"is for the {split} split and holds the same image as {place} of the {other} split",
            "each image in one of them",
            between=" ",
        )
