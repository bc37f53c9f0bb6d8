"""The official files of a proxy: finding them under the data root, and knowing their content."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

VERSION_DIGITS = 12


def folders(data_root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Yield all folders under the data root with the names of their files, in a fixed order.

    Links are followed, each folder once.

    Args:
        data_root: Where to look; a folder that does not exist holds nothing.
    """
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(data_root.expanduser().absolute(), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to a parent would never end
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        yield Path(folder), set(files)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file; computed once in a process for each size and change time."""
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
