"""Cosmic: which pixels of a Hubble exposure a cosmic ray has hit, 128 x 128.

Training data of deepCR (Zhang and Bloom, 2020; zenodo 4295902), unpacked: `npy_train` and
`npy_test`, in there `<filter>/<proposal>/<visit>/<k>_<n>.npy`, each float `[3, 256, 256]` (image in
electrons, cosmic rays, pixels to be ignored; files without the last plane ignore nothing), and
beside them `sky.npy`, whose entry k - 1 is the background level of exposure k. NAS-Bench-360 takes
filter f435w, the 27 visits to nearby galaxies, and pixels 64 to 191 of both axes, in a list whose
order the file system decides; here it is sorted.

Training adds the background level times a random number from -0.9 to 3 to an exposure, anew in
every epoch; public code does so in the test as well, here nothing is added there. Validation takes
whole visits, some tenth of the exposures: exposures of one visit show the same field.

Ranked by 1 - AUROC of the logits over all pixels that are not ignored. Beside it the share of
missed pixels at the benchmark's threshold; under `released` the same with ignored pixels counted,
and 1 - AUROC of a hard decision, which is the mean of both error rates.

Licence: the data are public, without a stated licence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.labelled import measured, plain_array
from benchmarks.nasbench360.miniatures import cosmic as miniature
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE, VAL_SHARE
from xmft.errors import DataError, FileError
from xmft.task import Origin, Protocol, Recipe, Task

FILTER = "f435w"
SIDE, CROP = 256, 64
POINTS = SIDE - 2 * CROP
SKY = "sky.npy"
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
        _opened(path)
        return origin_of(path)

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut by visit; the files of `npy_test` are the test."""
        exposures = [path for path in paths if path.name != SKY]
        test = [path for path in exposures if path.parts[-5] == "npy_test"]
        fitted, validated = by_visit([path for path in exposures if path.parts[-5] == "npy_train"])
        if recipe.samples is not None:
            tenth = max(1, recipe.samples // TEST_SHARE)
            test, validated = _spread(test, tenth), _spread(validated, tenth)
            fitted = _spread(fitted, recipe.samples - len(test) - len(validated))
        parts = {"test": test, "val": validated, "train": fitted}
        return Reading(
            counts={split: len(part) for split, part in parts.items()},
            blocks=_blocks([path for part in parts.values() for path in part]),
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        values = _opened(path)
        size = files.size_text(path.stat().st_size)
        if path.name == SKY:
            measured(path, "the array", values[:, None])
            return [f"{path}: {origin_of(path)}, levels of {len(values)} exposures, {size}"]
        _, masks, weights = read_exposure(path)
        lines = [f"{path}: {origin_of(path)}, {int(masks.sum())} pixels hit, {size}"]
        if not weights.any():
            lines.append("  all of its pixels are to be ignored")
        return lines

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
    )
    address = "https://zenodo.org/records/4295902/files/"
    old = "https://pde-xd.s3.amazonaws.com/cosmic/"
    names = {"deepCR.ACS-WFC.train.tar": 6_500_000_000, "deepCR.ACS-WFC.test.tar": 2_000_000_000}
    return [
        CosmicEntry(
            task=task,
            points=POINTS,
            axes=2,
            patterns=tuple(f"npy_{split}/{FILTER}/*/*/*.npy" for split in ("train", "test")),
            protocols=("clean", "released"),
            released_samples=4347,
            miniature_version=1,
            downloads=tuple(
                Download(
                    path=PurePosixPath(name),
                    urls=(f"{address}{name}?download=1", old + name),
                    size=size,
                    unpack=True,
                )
                for name, size in names.items()
            ),
        )
    ]


def visit_of(path: Path) -> str:
    """Return `<proposal>/<visit>` of a file."""
    return "/".join(path.parts[-3:-1])


def by_visit(exposures: list[Path]) -> tuple[list[Path], list[Path]]:
    """Split exposures into those to train on and, in whole visits, some tenth to validate on.

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
    held: set[str] = set()
    while sum(visit_of(path) in held for path in exposures) * VAL_SHARE < len(exposures):
        held.add(order[len(held)])
    if len(held) == len(visits):
        held.discard(order[-1])
    fitted = [path for path in exposures if visit_of(path) not in held]
    return fitted, [path for path in exposures if visit_of(path) in held]


def read_exposure(
    path: Path,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return image, cosmic rays and known pixels of one file, each `[128, 128]`.

    Raises:
        FileError: it holds something else, or values that cannot be.
    """
    middle = slice(CROP, SIDE - CROP)
    planes = np.asarray(_opened(path)[:, middle, middle], dtype=np.float32)
    measured(path, "the image", planes[:1])
    for number, what in ((1, "cosmic rays"), (2, "pixels to be ignored")):
        if len(planes) > number and not np.isin(planes[number], (0, 1)).all():
            wrong = planes[number][~np.isin(planes[number], (0, 1))][0]
            raise FileError(path, f"the mask of {what} holds {wrong:g}", "0 and 1 only")
    rays = planes[1].astype(np.uint8)
    ignored = planes[2] if len(planes) > 2 else np.zeros_like(planes[0])
    return planes[0], rays, (ignored == 0).astype(np.uint8)


def _spread(paths: list[Path], most: int) -> list[Path]:
    """Return at most so many, evenly spread."""
    count = min(len(paths), most)
    return [paths[number] for number in np.linspace(0, len(paths) - 1, count).astype(int)]


def _blocks(paths: list[Path]) -> Iterator[Block]:
    levels: dict[Path, npt.NDArray[Any]] = {}
    for start in range(0, len(paths), _BLOCK):
        chosen = paths[start : start + _BLOCK]
        read = [read_exposure(path) for path in chosen]
        sky = [_level(path, levels) for path in chosen]
        images = np.stack([image.ravel() for image, _, _ in read])
        rays, weights = (np.stack([one[part] for one in read])[:, None] for part in (1, 2))
        inputs = np.column_stack([images, np.array(sky, dtype=np.float32)])
        yield Block(np.arange(start, start + len(chosen)), inputs, rays, weights)


def _level(path: Path, levels: dict[Path, npt.NDArray[Any]]) -> float:
    """Return the background level of an exposure; `levels` keeps those of the visits."""
    place = path.with_name(SKY)
    if place not in levels:
        if not place.is_file():
            raise FileError(place, "is missing", f"the background levels of {path.parent}")
        levels[place] = np.asarray(_opened(place))
        measured(place, "the array", levels[place][:, None])
    number = path.stem.partition("_")[0]
    if not number.isdigit() or not 1 <= int(number) <= len(levels[place]):
        raise FileError(
            path,
            f"is exposure {number!r}, and {place} has the levels of {len(levels[place])}",
            f"a name from 1_<n>.npy to {len(levels[place])}_<n>.npy",
        )
    return float(levels[place][int(number) - 1])


def _opened(path: Path) -> npt.NDArray[Any]:
    """Open a file and check its shape."""
    if path.name == SKY:
        return plain_array(path, "levels of the shape (exposures,)", ndim=1, kinds="fiu")
    what = f"an array of the shape (3, {SIDE}, {SIDE}), or (2, {SIDE}, {SIDE})"
    found = plain_array(path, what, ndim=3, kinds="fiub")
    if found.shape[0] not in (2, 3) or found.shape[1:] != (SIDE, SIDE):
        raise FileError(path, f"found the shape {found.shape}", what)
    return found
