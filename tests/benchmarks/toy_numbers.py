"""A task of numbers in `.npy` files, which come from a server of our own."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.prepare import Reading
from xmft.task import Protocol, Recipe, Split, Task

TASK = Task(
    name="toy/numbers",
    version=1,
    title="Numbers",
    kind="classification",
    loss="cross_entropy",
    metrics=("error_pct",),
    classes=2,
)
VALUES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Numbers(Entry):
    """Reads whatever files it has, one after the other."""

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        values = np.concatenate([np.load(path) for path in paths])[:, None]
        part = Split(inputs=values, targets=np.arange(len(values)) % 2)
        return Reading(splits={"train": part, "val": part, "test": part})


def npy(values: Any = VALUES) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(npy())
            tar.addfile(info, io.BytesIO(npy()))
    return stream.getvalue()


def one(*urls: str, name: str = "all.npy", **options: Any) -> Download:
    return Download(path=PurePosixPath(name), urls=urls, **options)
