"""Files under the data root: finding them by name, and knowing their content."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from xmft.cache import cache_root, digest, folder_of_user, walk, whole
from xmft.errors import RequestError
from xmft.task import Origin

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do, in samples or bytes."""

# What this package itself writes under a data root or the cache: never the user's own files.
OWN_FOLDERS = frozenset({"generated", "prepared", "source"})

# Raised when the checks that a file has passed become stricter.
_CACHE_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a file holds: where its samples come from, and the SHA-256 of its content."""

    origin: Origin
    sha256: str


def default_data_root() -> Path:
    """Return the data root of a user who names none: `$XMFT_DATA` or ~/.cache/xmft.

    Raises:
        RequestError: the variable is not set, and nobody knows the home folder.
    """
    return folder_of_user("XMFT_DATA")


def find(data_root: Path, names: Collection[str]) -> dict[str, Path]:
    """Find files by name anywhere under the data root.

    Links are followed (large files usually live on another disk), each folder once. A name that
    is there more than once gives the first path in sorted order.

    Args:
        data_root: Where to look; a folder that does not exist holds nothing.
        names: File names without folders.

    Returns:
        The names that were found, with their absolute paths.

    Raises:
        RequestError: the data root is a file.
    """
    if data_root.is_file():
        raise RequestError(f"The data root {data_root} is a file; name the folder that holds it.")
    found: dict[str, list[Path]] = {}
    for folder, entries in _walk(data_root):
        for name in names:
            if name in entries:
                found.setdefault(name, []).append(folder / name)
    return {name: min(paths) for name, paths in found.items()}


def find_like(data_root: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the files whose whole name matches, anywhere under the data root, in sorted order."""
    return sorted(
        folder / name
        for folder, entries in _walk(data_root)
        for name in entries
        if pattern.fullmatch(name)
    )


def find_all(data_root: Path, pattern: str) -> list[Path]:
    """Return the files that fit a pattern, anywhere under the data root, in sorted order.

    Of files that are there more than once, in copies of a data set, the first in sorted order is
    taken, as `find` does.

    Args:
        data_root: Where to look.
        pattern: Of the end of the path, such as `training/*.mat`.
    """
    place, _, name_pattern = pattern.rpartition("/")
    depth = len(Path(place).parts)
    found: dict[tuple[str, ...], Path] = {}
    for folder, entries in _walk(data_root):
        if place and not folder.match(place):
            continue
        within = folder.parts[len(folder.parts) - depth :]
        for name in entries:
            if fnmatchcase(name, name_pattern):
                path, tail = folder / name, (*within, name)
                found[tail] = min(path, found.get(tail, path))
    return sorted(found.values())


def _walk(data_root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield folders and the files in them, without this package's own folders."""
    top = data_root.absolute()
    own_parents = {top, cache_root().absolute()}
    return walk(top, skip=lambda path: path.parent in own_parents and path.name in OWN_FOLDERS)


def is_writable(folder: Path) -> bool:
    """Tell whether files may be made under `folder`, which need not exist yet.

    A folder without any write permission is left alone even for the superuser, who could write.
    """
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    permitted = nearest.is_dir() and nearest.stat().st_mode & 0o222 != 0
    return permitted and os.access(nearest, os.W_OK | os.X_OK)


def identify(path: Path, inspect: Callable[[Path], Origin]) -> Identity:
    """Return a file's identity, see `identify_all`."""
    return identify_all([path], inspect)[0]


def identify_all(
    paths: Sequence[Path], inspect: Callable[[Path], Origin], *, record: str = "fingerprints"
) -> list[Identity]:
    """Return the identities of files; the work is done once for each path, size and change time.

    A second look costs one `stat` for each file, and the records are written once for all.

    Args:
        paths: The files.
        inspect: Checks that a file can be read at all and returns its origin. Not called for
            a file that has passed before and has not changed since.
        record: Name of the file with the records in the cache; sets of many files have their own.
    """
    place = cache_root() / f"{record}.json"
    known, fresh = _read_cache(place), dict[str, dict[str, Any]]()
    try:
        return [_identify(path.absolute(), inspect, known, fresh) for path in paths]
    finally:
        # Also after an error or Ctrl-C: hours of hashing are kept. A cache that cannot be written
        # costs time, not correctness.
        with contextlib.suppress(OSError):
            if fresh:
                content = {"version": _CACHE_VERSION, "files": _read_cache(place) | fresh}
                with whole(place) as temporary:
                    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _identify(
    path: Path,
    inspect: Callable[[Path], Origin],
    known: dict[str, dict[str, Any]],
    fresh: dict[str, dict[str, Any]],
) -> Identity:
    status = path.stat()
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    before = known.get(str(path))
    if before is not None and stamp.items() <= before.items():
        return Identity(origin=before["origin"], sha256=before["sha256"])
    identity = Identity(origin=inspect(path), sha256=digest(path))
    fresh[str(path)] = stamp | {"origin": identity.origin, "sha256": identity.sha256}
    return identity


def size_text(size: int) -> str:
    """Return a number of bytes for people, such as `6.9 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _read_cache(place: Path) -> dict[str, dict[str, Any]]:
    """Return the usable records; a cache that is missing or damaged has none."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("version") != _CACHE_VERSION:
        return {}
    records = content.get("files")
    if not isinstance(records, dict):
        return {}
    keys = {"size", "mtime_ns", "origin", "sha256"}
    return {
        path: record
        for path, record in records.items()
        if isinstance(record, dict) and keys <= record.keys()
    }
