"""The official files of a proxy: finding them under the data root, and knowing their content."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from xmft.cache import digest, walk
from xmft.unreadable import check, readable

VERSION_DIGITS = 12


def folders(data_root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Yield all folders under the data root with the names of their files, see `cache.walk`."""
    for folder, files in walk(data_root.expanduser().absolute()):
        yield folder, set(files)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file; computed once in a process for each size and change time.

    Raises:
        FileError: it cannot be read, or is a placeholder for something else.
    """
    with readable(path):
        status = path.stat()
        return _hash(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash(path: Path, size: int, changed: int) -> str:
    check(path)
    return digest(path)
