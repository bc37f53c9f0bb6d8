"""One file that is retrieved, from a server of our own, with what was said on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from benchmarks.download import Download, retrieve
from xmft.errors import DataError

SIZE = 300_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
OTHER = np.random.default_rng(1).bytes(SIZE)
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Fetch:
    """Retrieves one file and keeps what was said and shown."""

    def __init__(self, data_root: Path) -> None:
        self.data_root, self.folder = data_root, data_root / "suite" / "task"
        self.said: list[str] = []
        self.shown: list[tuple[int, int]] = []

    def __call__(self, *urls: str, name: str = "all.bin", **options: Any) -> Path:
        download = Download(path=PurePosixPath(name), urls=urls, **options)
        return retrieve(
            download,
            self.folder,
            self.data_root,
            progress=lambda *pair: self.shown.append(pair),
            say=self.said.append,
        )

    def refused(self, *urls: str, **options: Any) -> str:
        with pytest.raises(DataError) as caught:
            self(*urls, **options)
        assert not (self.folder / options.get("name", "all.bin")).exists()
        return str(caught.value)

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()
