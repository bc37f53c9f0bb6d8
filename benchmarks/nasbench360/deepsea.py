"""DeepSEA: which of 36 features of chromatin a stretch of DNA has, from its 1000 bases.

One file, `deepsea_filtered.npz`, of the benchmark's own selection (Tu et al. 2022) out of the data
of Zhou and Troyanskaya 2015 (CC BY 4.0): `x_train`, `x_val` and `x_test`, one-hot bytes
`[n, 1000, 4]`, and `y_train`, `y_val` and `y_test`, 0 or 1, `[n, 36]`; 71,753, 2,490 and 149,400
stretches. A base that is not known has no 1 at all. The splits are those of the file: public code
that trains on its validation split is not followed in that.

The loss is that of public code, in which the features that are there count four times. The score is
1 minus the mean area under the ROC curve over the features that some of the test's stretches have
and others do not; `xmft data verify` tells how many those are. `released` scores as public code
does besides, by the mean over chunks of 1008 stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360.miniatures import deepsea as miniature
from benchmarks.npz import Archive, opened
from benchmarks.origin import stated_origin
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE
from xmft.errors import FileError
from xmft.task import Origin, Protocol, Recipe, Task

FILE = "deepsea_filtered.npz"
LABELS, LENGTH, BASES = 36, 1000, 4
SPLITS = ("test", "val", "train")

_MARK = "xmft_origin"
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class DeepSeaEntry(Entry):
    """The task and its file."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From one-hot bytes to channels `[n, 4, 1000]`."""
        from xmft.decoding.sequences import one_hot_channels

        return one_hot_channels

    def task_under(self, protocol: Protocol) -> Task:
        """Under `released` also the score of public code: in chunks."""
        if protocol == "clean":
            return self.task
        return replace(self.task, metrics=(*self.task.metrics, "one_minus_auroc_chunks"))

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        with opened(path) as archive:
            return _origin(archive)

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        with opened(path) as archive:
            return {"samples": sum(_counts(archive).values())}

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Take the splits of the file; a cap takes the first of each, one in ten for the test."""
        (path,) = paths
        with opened(path) as archive:
            counts = _counts(archive)
        if recipe.samples is not None:
            few = max(1, recipe.samples // TEST_SHARE)
            counts["test"], counts["val"] = (min(few, counts[name]) for name in ("test", "val"))
            rest = recipe.samples - counts["test"] - counts["val"]
            counts["train"] = min(rest, counts["train"])
        return Reading(counts=counts, blocks=_blocks(path, counts))

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        with opened(path) as archive:
            counts, origin = _counts(archive), _origin(archive)
        having = {name: np.zeros(LABELS, dtype=np.int64) for name in SPLITS}
        unknown = 0
        names = [name for name in SPLITS for _ in range(0, counts[name], _BLOCK)]
        for name, block in zip(names, _blocks(path, counts), strict=True):
            assert isinstance(block.inputs, np.ndarray) and isinstance(block.targets, np.ndarray)
            having[name] += block.targets.sum(axis=0, dtype=np.int64)
            unknown += block.inputs.shape[0] * LENGTH - int(block.inputs.sum(dtype=np.int64))
        size = files.size_text(path.stat().st_size)
        shown = ", ".join(f"{counts[name]} {name}" for name in reversed(SPLITS))
        lines = [f"{path}: {origin}, {shown}, {size}; no checksum is published"]
        lines.append(f"  {LENGTH} bases and {LABELS} labels each; {unknown} bases are not known")
        for name in SPLITS:
            alike = int(((having[name] == 0) | (having[name] == counts[name])).sum())
            if alike:
                lines.append(
                    f"  {alike} of {LABELS} labels have one value in all of {name}; the area under "
                    f"the curve is the mean of the other {LABELS - alike}"
                )
        return lines

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / FILE)


def entries() -> list[DeepSeaEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/deepsea",
        version=1,
        title="Chromatin features of a stretch of DNA from its bases",
        kind="multilabel",
        loss="binary_cross_entropy_pos4",
        metrics=("one_minus_auroc",),
        classes=LABELS,
    )
    download = Download(
        path=PurePosixPath(FILE),
        urls=(f"https://pde-xd.s3.amazonaws.com/deepsea/{FILE}",),
        size=902_600_000,
        note="The authors' Google Drive folder is 1OOp6UrCiP79mTIkCrUdjjHWDo8K0bJUw.",
    )
    return [
        DeepSeaEntry(
            task=task,
            points=LENGTH,
            files=(FILE,),
            protocols=("clean", "released"),
            released_samples=71_753,
            downloads=(download,),
            miniature_version=1,
        )
    ]


def _origin(archive: Archive) -> Origin:
    """Check what is in the file without its values, and return its origin."""
    _counts(archive)
    return stated_origin(archive.path, archive.text(_MARK))


def _counts(archive: Archive) -> dict[str, int]:
    """Return the samples of each split, by what the arrays say of themselves."""
    wanted = [f"{part}_{name}" for part in "xy" for name in SPLITS]
    if missing := [name for name in wanted if name not in archive.members]:
        raise FileError(
            archive.path,
            f"there is no {', '.join(missing)} among {', '.join(archive.members) or 'nothing'}",
            "x_ and y_ of train, val and test",
        )
    counts = {}
    for name in SPLITS:
        x, y = (archive.members[f"{part}_{name}"] for part in "xy")
        for key, member, shape in (("x", x, (LENGTH, BASES)), ("y", y, (LABELS,))):
            if member.shape[1:] != shape or member.dtype.kind not in "biuf":
                raise FileError(
                    archive.path,
                    f"'{key}_{name}' has the shape {member.shape} and the type {member.dtype}",
                    f"0 and 1 of the shape (n, {', '.join(map(str, shape))})",
                )
        if x.shape[0] != y.shape[0]:
            raise FileError(
                archive.path,
                f"found {x.shape[0]} rows of x_{name} and {y.shape[0]} of y_{name}",
                "as many of both",
            )
        if not x.shape[0]:
            raise FileError(archive.path, f"x_{name} is empty", "at least one row")
        counts[name] = x.shape[0]
    return counts


def _blocks(path: Path, counts: Mapping[str, int]) -> Iterator[Block]:
    start = 0
    with opened(path) as archive:
        for name in SPLITS:
            first, parts = 0, (archive.rows(f"{part}_{name}", _BLOCK) for part in "xy")
            for x, y in zip(*parts, strict=True):
                taken = min(len(x), counts[name] - first)
                bases = _bytes(path, f"x_{name}", first, x[:taken])
                labels = _bytes(path, f"y_{name}", first, y[:taken])
                sums = bases.sum(axis=2)
                if sums.max(initial=0) > 1:
                    row, place = (int(one) for one in np.argwhere(sums > 1)[0])
                    raise FileError(
                        path,
                        f"x_{name}[{first + row}, {place}] holds {sums[row, place]} bases",
                        "one of the four, or none",
                    )
                yield Block(np.arange(start, start + taken), bases, labels)
                start, first = start + taken, first + taken
                if first == counts[name]:
                    break


def _bytes(path: Path, name: str, first: int, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return values of 0 and 1 as bytes."""
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        place = tuple(int(one) for one in np.argwhere(wrong)[0])
        raise FileError(
            path,
            f"{np.count_nonzero(wrong)} or more values of {name} are neither 0 nor 1, such as "
            f"{values[place]} in row {first + place[0]}",
            "0 and 1 alone",
        )
    return values.astype(np.uint8)
