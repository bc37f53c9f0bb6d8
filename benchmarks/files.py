"""Files under the data root: finding them by name, and knowing their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def cache_root() -> Path:
    """Return the folder of everything that can be made again: `$XMFT_CACHE` or ~/.cache/xmft."""
    chosen = os.environ.get("XMFT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "xmft"


def default_data_root() -> Path:
    """Return the data root of a user who names none: `$XMFT_DATA` or ~/.cache/xmft."""
    chosen = os.environ.get("XMFT_DATA")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "xmft"


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
    for folder, entries in _walk(data_root.absolute()):
        for name in entries:
            if name in names and (folder / name).is_file():
                found.setdefault(name, []).append(folder / name)
    return {name: min(paths) for name, paths in found.items()}


def find_like(data_root: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the files whose whole name matches, anywhere under the data root, in sorted order."""
    return sorted(
        folder / name
        for folder, entries in _walk(data_root.absolute())
        for name in entries
        if pattern.fullmatch(name) and (folder / name).is_file()
    )


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield folders and what they hold, without this package's own folders."""
    own_parents = {top, cache_root().absolute()}
    seen: set[str] = set()
    for folder, subfolders, entries in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to a parent would never end
            subfolders.clear()
            continue
        seen.add(real)
        if Path(folder) in own_parents:
            subfolders[:] = [name for name in subfolders if name not in OWN_FOLDERS]
        subfolders.sort()
        yield Path(folder), entries


def is_writable(folder: Path) -> bool:
    """Tell whether files may be made under `folder`, which need not exist yet.

    A folder without any write permission is left alone even for the superuser, who could write.
    """
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    permitted = nearest.is_dir() and nearest.stat().st_mode & 0o222 != 0
    return permitted and os.access(nearest, os.W_OK | os.X_OK)


def identify(path: Path, inspect: Callable[[Path], Origin]) -> Identity:
    """Return a file's identity; the work is done once for each path, size and change time.

    Args:
        path: The file.
        inspect: Checks that the file can be read at all and returns its origin. Not called for
            a file that has passed before and has not changed since.
    """
    path = path.absolute()
    status = path.stat()
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    known = _read_cache().get(str(path))
    if known is not None and stamp.items() <= known.items():
        return Identity(origin=known["origin"], sha256=known["sha256"])
    identity = Identity(origin=inspect(path), sha256=digest(path, "sha256"))
    record = stamp | {"origin": identity.origin, "sha256": identity.sha256}
    # A cache that cannot be written costs time, not correctness.
    with contextlib.suppress(OSError):
        content = {"version": _CACHE_VERSION, "files": _read_cache() | {str(path): record}}
        write_atomically(_cache_path(), json.dumps(content, indent=1).encode())
    return identity


def digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that other processes see either whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return an unused hidden name in the same folder, for a rename at the end."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def size_text(size: int) -> str:
    """Return a number of bytes for people, such as `6.9 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _cache_path() -> Path:
    return cache_root() / "fingerprints.json"


def _read_cache() -> dict[str, dict[str, Any]]:
    """Return the usable records; a cache that is missing or damaged has none."""
    try:
        content = json.loads(_cache_path().read_text(encoding="utf-8"))
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
