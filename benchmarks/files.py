"""Files under the data root: finding them by name, and knowing their content."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from xmft.cache import cache_root, digest, folder_of_user, key, walk, whole
from xmft.errors import RequestError
from xmft.task import Origin
from xmft.unreadable import check, readable

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do, in samples or bytes."""

# What this package itself writes under a data root or the cache: never the user's own files.
OWN_FOLDERS = frozenset({"generated", "miniatures", "prepared", "source"})

_seen: ContextVar[dict[Hashable, list[Any]] | None] = ContextVar("seen", default=None)

# Raised when the checks that a file has passed become stricter.
_CACHE_VERSION = 4


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known of a file as long as it does not change.

    Attributes:
        origin: Where its samples come from.
        sha256: Of its content.
        facts: See `Entry.facts`.
    """

    origin: Origin
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Identity of its content and, where it names other files, of theirs."""
        named = self.facts.get("content")
        return self.sha256 if named is None else f"named:{key(file=self.sha256, content=named)}"


def _no_facts(path: Path) -> Mapping[str, Any]:
    return {}


def default_data_root() -> Path:
    """Return the data root of a user who names none: `$XMFT_DATA` or ~/.cache/xmft.

    Raises:
        RequestError: the variable is not set, and nobody knows the home folder.
    """
    return folder_of_user("XMFT_DATA")


def find(data_root: Path, names: Collection[str]) -> dict[str, Path]:
    """Find files by name, see `find_every`; of several of one name the first in sorted order."""
    return {name: paths[0] for name, paths in find_every(data_root, names).items()}


def find_every(data_root: Path, names: Collection[str]) -> dict[str, list[Path]]:
    """Find files by name anywhere under the data root, outside of hidden folders.

    Links are followed (large files usually live on another disk), each folder once.

    Args:
        data_root: Where to look; a folder that does not exist holds nothing.
        names: File names without folders.

    Returns:
        The names that were found, with their absolute paths in sorted order.

    Raises:
        RequestError: the data root is a file.
    """
    if data_root.is_file():
        raise RequestError(f"The data root {data_root} is a file; name the folder that holds it.")
    found: dict[str, list[Path]] = {}
    for folder, entries in folders(data_root):
        for name in names:
            if name in entries:
                found.setdefault(name, []).append(folder / name)
    return {name: sorted(paths) for name, paths in found.items()}


def find_like(data_root: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the files whose whole name matches, anywhere under the data root, in sorted order."""
    return sorted(
        folder / name
        for folder, entries in folders(data_root)
        for name in entries
        if pattern.fullmatch(name)
    )


def find_all(data_root: Path, pattern: str) -> list[Path]:
    """Return the files that fit a pattern, see `find_copies`; of copies the first."""
    return [copies[0] for copies in find_copies(data_root, pattern)]


def find_copies(data_root: Path, pattern: str) -> list[list[Path]]:
    """Return the files that fit a pattern, anywhere under the data root, in sorted order.

    Files that are there more than once, in copies of a data set, stand together, the first in
    sorted order before the others.

    Args:
        data_root: Where to look.
        pattern: Of the end of the path, such as `training/*.mat`.
    """
    place, _, name_pattern = pattern.rpartition("/")
    depth = len(Path(place).parts)
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder, entries in folders(data_root):
        if place and not folder.match(place):
            continue
        within = folder.parts[len(folder.parts) - depth :]
        for name in entries:
            if fnmatchcase(name, name_pattern):
                found.setdefault((*within, name), []).append(folder / name)
    return sorted(sorted(copies) for copies in found.values())


@contextmanager
def one_look() -> Iterator[None]:
    """Look but once into each folder, for all questions that are asked inside.

    A data set may be of a hundred thousand files, and each task asks several times what is there.
    Nothing must be added or removed inside.
    """
    token = _seen.set({})
    try:
        yield
    finally:
        _seen.reset(token)


def looked(question: Hashable, answer: Callable[[], list[T]]) -> Iterable[T]:
    """Return the answer of the first time that something is asked inside of `one_look`."""
    seen = _seen.get()
    if seen is None:
        return answer()
    if question not in seen:
        seen[question] = answer()
    return seen[question]


def folders(data_root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield folders and the files in them, without this package's own folders."""
    top = data_root.absolute()
    own_parents = {top, cache_root().absolute()}

    def found() -> list[tuple[Path, list[str]]]:
        return list(
            walk(top, skip=lambda path: path.parent in own_parents and path.name in OWN_FOLDERS)
        )

    return iter(looked((top, *sorted(own_parents)), found))


def is_writable(folder: Path) -> bool:
    """Tell whether files may be made under `folder`, which need not exist yet.

    A folder without any write permission is left alone even for the superuser, who could write.
    """
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    permitted = nearest.is_dir() and nearest.stat().st_mode & 0o222 != 0
    return permitted and os.access(nearest, os.W_OK | os.X_OK)


def identify(
    path: Path,
    inspect: Callable[[Path], Origin],
    facts: Callable[[Path], Mapping[str, Any]] = _no_facts,
) -> Identity:
    """Return a file's identity, see `identify_all`."""
    return identify_all([path], inspect, facts)[0]


def remembered(path: Path) -> Identity | None:
    """Return a file's identity where it is known without opening the file."""
    with readable(path):
        return _known(path.absolute(), _read_cache(cache_root() / "fingerprints.json"))[0]


def unseen(paths: Sequence[Path], *, record: str = "fingerprints") -> list[Path]:
    """Return the files that `identify_all` would have to open."""
    known = _read_cache(cache_root() / f"{record}.json")
    return [path for path in paths if _known(path.absolute(), known)[0] is None]


def identify_all(
    paths: Sequence[Path],
    inspect: Callable[[Path], Origin],
    facts: Callable[[Path], Mapping[str, Any]] = _no_facts,
    *,
    record: str = "fingerprints",
) -> list[Identity]:
    """Return the identities of files; the work is done once for each path, size and change time.

    A second look costs one `stat` for each file, and the records are written once for all.

    Args:
        paths: The files.
        inspect: Checks that a file can be read at all and returns its origin. Not called for
            a file that has passed before and has not changed since.
        facts: What is remembered besides; called as `inspect` is, after it.
        record: Name of the file with the records in the cache; sets of many files have their own.
    """
    place = cache_root() / f"{record}.json"
    known, fresh = _read_cache(place), dict[str, dict[str, Any]]()
    try:
        return [_identify(path.absolute(), inspect, facts, known, fresh) for path in paths]
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
    facts: Callable[[Path], Mapping[str, Any]],
    known: dict[str, dict[str, Any]],
    fresh: dict[str, dict[str, Any]],
) -> Identity:
    with readable(path):
        before, stamp = _known(path, known)
        if before is not None:
            return before
        check(path)
        identity = Identity(origin=inspect(path), facts=facts(path), sha256=digest(path))
    fresh[str(path)] = stamp | asdict(identity)
    return identity


def _known(
    path: Path, records: Mapping[str, Mapping[str, Any]]
) -> tuple[Identity | None, dict[str, Any]]:
    """Return what is recorded of a file as it is now, and what tells that it is the same."""
    status = path.stat()
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    record = records.get(str(path))
    if record is None or not stamp.items() <= record.items():
        return None, stamp
    held = {name: record[name] for name in ("origin", "sha256", "facts")}
    return Identity(**held), stamp


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
    keys = {"size", "mtime_ns", "origin", "sha256", "facts"}
    return {
        path: record
        for path, record in records.items()
        if isinstance(record, dict) and keys <= record.keys()
    }
