"""Files that are computed once and found again: keys, locks, whole writes, and walks over folders.

A file or folder appears under its name only when it is whole. Of processes that want the same one
at once, one computes it and the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from xmft.errors import RequestError

T = TypeVar("T")

# Folders, by their names in small letters, in which systems keep what was thrown away, saved or
# unpacked beside the real thing; others that do so begin with a point.
_ASIDE = frozenset(
    {"$recycle.bin", "recycler", "recycled", "system volume information", "lost+found"}
    | {"#recycle", "@recycle", "#snapshot", "@eadir", "@tmp", "~snapshot", "snapshots"}
    | {"__macosx", "__pycache__", "trash"}
)


def cache_root() -> Path:
    """Return the folder of everything that can be made again: `$XMFT_CACHE` or ~/.cache/xmft.

    Raises:
        RequestError: the variable is not set, and nobody knows the home folder.
    """
    return folder_of_user("XMFT_CACHE")


def folder_of_user(variable: str) -> Path:
    """Return the folder that an environment variable names, or ~/.cache/xmft.

    Raises:
        RequestError: there is no home folder to look in.
    """
    chosen = os.environ.get(variable)
    try:
        return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "xmft"
    except RuntimeError:
        found = f"{variable} is {chosen}" if chosen else f"{variable} and HOME are not set"
        raise RequestError(
            f"There is no home folder: {found}, and the system does not know the user. "
            f"Set {variable} to a folder that can be written."
        ) from None


def lend_home() -> None:
    """Give libraries a home folder in the cache where the system knows none.

    Some fail without one when they are imported, others make a folder called `~`. It is what a
    container has that runs under a user id of its own. A home that is there stays, writable or
    not; matplotlib, which complains, gets a folder for its settings where it cannot be written.
    """
    try:
        home = Path.home()
    except RuntimeError:
        if os.environ.get("XMFT_CACHE"):
            os.environ["HOME"] = str(cache_root().absolute() / "home")
        return
    if os.environ.get("XMFT_CACHE") and not can_be_made(home / ".config"):
        os.environ.setdefault("MPLCONFIGDIR", str(cache_root().absolute() / "matplotlib"))


def can_be_made(folder: Path) -> bool:
    """Return whether a folder can be written, or made."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def check_writable() -> None:
    """Make sure of the cache, which every cell needs, and make it.

    Raises:
        RequestError: it cannot be written.
    """
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise RequestError(
            f"The cache {root} cannot be written ({error.strerror}). Set XMFT_CACHE to a folder "
            "that can."
        ) from None


def key(**facts: Any) -> str:
    """Return the identity of some facts: the SHA-256, hexadecimal, of their canonical JSON."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def once(
    path: Path,
    make: Callable[[Path], None],
    read: Callable[[Path], T | None],
    *,
    lock: Path | None = None,
) -> T:
    """Return what is at a path, and make it first where it is missing or damaged.

    Args:
        path: A file or a folder.
        make: Writes it, whole, to the path that it is given.
        read: Reads it; None: it has to be made (again).
        lock: File that the processes lock; None: one beside the path.

    Raises:
        OSError: it cannot be written, or is gone again after it was written.
    """
    found = read(path)
    if found is not None:
        return found
    lock = lock or path.with_name(f"{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        found = read(path)
        if found is None:
            with whole(path) as temporary:
                make(temporary)
            found = read(path)
    if found is None:
        raise FileNotFoundError(f"{path} vanished after it was written")
    return found


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield an unused hidden name beside a path, and rename at the end; an error leaves nothing.

    What is written there may be a file or a folder. It replaces what is at the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        yield temporary
        if temporary.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            _rename(temporary, path)
        else:
            temporary.replace(path)
    finally:
        # The folder itself may be what is missing, and that error must not hide the first one.
        with contextlib.suppress(OSError):
            temporary.unlink()
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was first, with the same content
            raise


def walk(
    root: Path, *, skip: Callable[[Path], bool] = lambda folder: False
) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it, each with the sorted names of its files.

    Links are followed (large files usually live on another disk), each folder once; links that
    lead nowhere are left out. Files cost no look of their own, however many there are. Hidden
    folders below the root, and those for trash and snapshots, are not looked into, nor are hidden
    files named: what lies there is not meant to be found.

    Args:
        root: Where to begin; a folder that does not exist holds nothing.
        skip: Tells folders that are left out with all below them.
    """
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a link back to a parent would never end
            continue
        seen.add(real)
        folders, files = _listed(folder)
        yield folder, files
        below = [folder / name for name in folders if not is_aside(name)]
        waiting += [path for path in reversed(below) if not skip(path)]


def is_aside(name: str) -> bool:
    """Tell whether a folder of that name is hidden, or for trash, snapshots and the like."""
    return name.startswith(".") or name.lower() in _ASIDE


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, sorted."""
    folders, files = [], []
    # A folder that may not be looked into holds nothing for us.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir():
                    folders.append(entry.name)
                elif not entry.name.startswith(".") and entry.is_file():
                    files.append(entry.name)
    return sorted(folders), sorted(files)
