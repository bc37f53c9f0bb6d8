"""Where the official files of a task can be had, and how they are got."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from benchmarks import files, pins
from benchmarks.room import check_writable
from xmft.cache import cache_root, key
from xmft.errors import DataError, FileError

Say = Callable[[str], None]
"""Called with one sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to be had from the network.

    Attributes:
        path: Where it goes, below `<data root>/<suite>/<task>`.
        urls: Where it lies, tried in this order; empty: only people can get it, see `note`.
        size: Bytes, as stated by who released it; None: not stated.
        about: Whether the stated size is rounded.
        checksum: `md5:` or `sha256:` and the digits; None: none is published, and what is fetched
            first is what it has to be from then on.
        unpack: It is an archive, unpacked beside itself.
        note: Where else people find it, one sentence.
    """

    path: PurePosixPath
    urls: tuple[str, ...]
    size: int | None = None
    about: bool = True
    checksum: str | None = None
    unpack: bool = False
    note: str = ""


def retrieve(
    download: Download,
    folder: Path,
    data_root: Path,
    *,
    progress: files.Progress | None = None,
    say: Say | None = None,
    accept: Callable[[Path], object] | None = None,
) -> Path:
    """Download a file, unless it is anywhere under the data root; one that is there is checked.

    The addresses are tried in order. One that refuses, sends something else, or breaks off again
    and again is passed over with a sentence. What was cut off goes on where it stopped. The file
    appears under its name only when it is whole and has the checksum, a folder only when all of
    an archive is in it.

    Args:
        download: The file.
        folder: What its path is relative to.
        data_root: Where it may be already.
        progress: Called with bytes done and bytes in all.
        say: Called with what is fetched from where and how large it is, and what goes wrong.
        accept: Called with a file that came and is no archive; raises a `FileError` where it is
            not what its name says, and the next address is tried.

    Returns:
        The file, or the folder into which it was unpacked.

    Raises:
        NoRoomError: the disk is full, or the folder cannot be written.
        DataError: no address gives it, another process is at it, a file of that name has other
            content, or an archive is damaged or unsafe.
    """
    from benchmarks import mirrors, unpacking

    progress, say = progress or _ignore, say or _ignore
    target = folder.absolute() / download.path
    unpacked = download.unpack or unpacking.is_part(target)
    if unpacked and (done := unpacking.folder_of(target)).is_dir():
        return done

    def settle(path: Path) -> object:
        if download.unpack:
            return unpacking.unpack(path, progress=progress, say=say)
        return accept(path) if accept is not None else None

    path = present(download, data_root)
    if path is None:
        check_writable(target.parent, target.name)
        with _alone(target):
            mirrors.fetch(download, target, data_root, progress, say, settle)
        path = target
    elif download.unpack:
        settle(path)
    _pin_first(download, path, target, settle)
    return unpacking.folder_of(path) if download.unpack else path


def _pin_first(
    download: Download, path: Path, target: Path, settle: Callable[[Path], object]
) -> None:
    """Pin a file that was fetched, where nothing else says what it has to be."""
    pinned = download.checksum is not None or pins.pinned(path) is not None
    if path != target or pinned or not files.is_writable(target.parent):
        return
    with contextlib.suppress(FileError):  # what is bad is not to stay so
        settle(target)
        pins.pin(target)


def present(download: Download, data_root: Path) -> Path | None:
    """Return the file where it is anywhere under the data root, checked; None: it is nowhere.

    Raises:
        DataError: it does not have its published checksum, or the one it was pinned to.
    """
    name = download.path.name
    there = files.find_every(data_root, [name]).get(name, [])
    for path in there:
        checksum = download.checksum or pins.pinned(path)
        if checksum is None or pins.matches(path, checksum):
            return path
    if not there:
        return None
    if download.checksum is None:
        raise DataError(
            f"{there[0]} has not the SHA-256 that it was pinned to when it was first fetched "
            f"({pins.place_of(there[0])}): it was damaged or changed. Move it out of {data_root}, "
            "then fetch again, or, where the change is meant, delete the pin."
        )
    raise DataError(
        f"{there[0]} has the official name but not the published "
        f"{pins.spelled(download.checksum)}. Move it out of {data_root} first, then fetch again."
    )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes from writing the same file at once."""
    lock = FileLock(cache_root() / "fetching" / f"{key(target=str(target))[:16]}.lock")
    with contextlib.suppress(OSError):  # a cache that cannot be written keeps nobody off
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"{target} is being fetched by another process. Wait for it, or stop it, and run "
                "the command again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _ignore(*_: object) -> None:
    return None
