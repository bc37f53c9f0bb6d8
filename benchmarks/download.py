"""Where the official files of a task can be had, and how they are got."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from benchmarks import files, pins
from benchmarks.room import NoRoomError
from xmft.errors import DataError
from xmft.unreadable import no_room

if TYPE_CHECKING:
    from benchmarks.transfer import Transfer

Say = Callable[[str], None]
"""Called with one sentence for people."""

# How far a rounded size may be off: units of 1000 and 1024 are mixed up, and one digit is given.
_ROUNDED = 1.25


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

    Returns:
        The file, or the folder into which it was unpacked.

    Raises:
        DataError: no address gives it, the disk is full, a file of that name has other content, or
            an archive is damaged or unsafe.
    """
    from benchmarks import unpacking

    progress, say = progress or _ignore, say or _ignore
    target = folder.absolute() / download.path
    if download.unpack and (done := unpacking.folder_of(target)).is_dir():
        return done
    path = present(download, data_root)
    if path is None:
        _fetch(download, target, data_root, progress, say)
        path = target
    if path == target and download.checksum is None and pins.pinned(target) is None:
        pins.pin(target)
    if not download.unpack:
        return path
    return unpacking.unpack(path, progress=progress, say=say)


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
        f"{there[0]} has the official name but not the published {_digits(download.checksum)}. "
        f"Move it out of {data_root} first, then fetch again."
    )


def _fetch(
    download: Download, target: Path, data_root: Path, progress: files.Progress, say: Say
) -> None:
    """Get a file from the first address that gives it."""
    from benchmarks.transfer import Transfer

    name = target.name
    pin = None if download.checksum else pins.pinned(target)
    checksum = download.checksum or pin

    def check_size(size: int) -> None:
        _check_size(download, size, trusted=checksum is not None)

    transfer = Transfer(
        target=target,
        stated=size_text(download),
        trusted=checksum is not None,
        check_size=check_size,
        progress=progress,
        say=say,
    )
    failed: list[str] = []
    for url in download.urls:
        try:
            _from(url, checksum, transfer)
            return
        except (OSError, ValueError, http.client.HTTPException) as error:
            full = no_room(error)
            if full is not None:
                raise NoRoomError(
                    f"{name} could not be written to {target.parent}: {full}. Make "
                    "room there and run the command again, which goes on where it stopped, or "
                    "give --data another folder."
                ) from error
            failed.append(f"from {url} ({error})")
            if url != download.urls[-1]:
                say(f"{name} could not be fetched {failed[-1]}; the next address is tried.")
            last: Exception | None = error
    if not failed:
        why, last = " automatically", None
    else:
        why = " " + ", nor ".join(failed)
    again = "" if not failed else "Run the command again later, or "
    if transfer.arrived:
        again = "Run the command again to go on where it stopped, or "
    of = f" ({_digits(checksum)})" if checksum else ""
    changed = (
        f" It was pinned when it was first fetched: if a new release is meant, delete "
        f"{pins.place_of(target)}."
        if pin
        else ""
    )
    download_it = "download the file elsewhere" if again else "Download the file"
    note = f" {download.note}" if download.note else ""
    raise DataError(
        f"{name} could not be fetched{why}. {again}{download_it}{of} and put it anywhere under "
        f"{data_root}, for instance at {target}.{note}{changed}"
    ) from last


def _from(url: str, checksum: str | None, transfer: Transfer) -> None:
    """Get a file from one address, from the start where what was glued together is wrong."""
    try:
        _retrieve(url, checksum, transfer)
    except ValueError:
        # It has not the checksum.
        transfer.discard()
        if not transfer.glued:
            raise
        transfer.say(
            f"{transfer.target.name} starts again: with what was there before it has not the "
            "expected checksum"
        )
        try:
            _retrieve(url, checksum, transfer)
        except ValueError:
            transfer.discard()
            raise
    transfer.discard()


def _retrieve(url: str, checksum: str | None, transfer: Transfer) -> None:
    import pooch

    def run(address: str, output_file: str, _: Any) -> None:
        transfer.run(address)
        try:
            transfer.check_size(transfer.arrived)
        except OSError:  # the end of the connection was taken for that of the file
            transfer.discard()
            raise
        # A second name for it, so that whoever stops the program while it is hashed loses nothing.
        place = Path(output_file)
        place.unlink(missing_ok=True)
        try:
            os.link(transfer.part, place)
        except OSError:  # not on this file system
            transfer.part.replace(place)

    target = transfer.target
    # Its messages go to the terminal, which belongs to the command line.
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(url, known_hash=checksum, fname=target.name, path=target.parent, downloader=run)


def _check_size(download: Download, size: int, *, trusted: bool) -> None:
    from benchmarks.transfer import RefusedError

    stated = download.size
    # Where a checksum tells, a wrong statement does no harm.
    if stated is None or trusted:
        return
    slack = _ROUNDED if download.about else 1.0
    if not stated / slack <= size <= stated * slack:
        raise RefusedError(f"it has {size} bytes, {size_text(download)} are expected")


def size_text(download: Download) -> str:
    """Return the stated size for people, empty where none is stated."""
    if download.size is None:
        return ""
    if download.about:
        return f"about {files.size_text(download.size)}"
    return f"{download.size} bytes"


def _digits(checksum: str) -> str:
    algorithm, _, digits = checksum.partition(":")
    return f"{algorithm} {digits}"


def _ignore(*_: object) -> None:
    return None
