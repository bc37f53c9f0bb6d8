"""The addresses of a file, tried in their order."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import files, pins
from benchmarks.room import NoRoomError
from benchmarks.transfer import RefusedError, Transfer
from xmft.errors import DataError, FileError
from xmft.unreadable import no_room

if TYPE_CHECKING:
    from benchmarks.download import Download, Say

# How far a rounded size may be off: units of 1000 and 1024 are mixed up, and one digit is given.
_ROUNDED = 1.25


def fetch(
    download: Download,
    target: Path,
    data_root: Path,
    progress: files.Progress,
    say: Say,
    settle: Callable[[Path], object],
) -> None:
    """Get a file from the first address that gives it.

    Args:
        download: The file.
        target: Where it goes.
        data_root: For what is said.
        progress: See `retrieve`.
        say: See `retrieve`.
        settle: Called with the file when it is there; raises a `FileError` where it does not do.

    Raises:
        NoRoomError: the disk is full.
        DataError: no address gives it.
    """
    name = target.name
    pin = None if download.checksum else pins.pinned(target)
    checksum = download.checksum or pin

    def check_size(size: int) -> None:
        _check_size(download, size, trusted=checksum is not None)

    transfer = Transfer(
        target=target,
        stated=_size_text(download),
        trusted=checksum is not None,
        check_size=check_size,
        progress=progress,
        say=say,
    )
    failed: list[str] = []
    for url in download.urls:
        try:
            _from(url, checksum, transfer)
            settle(target)
            return
        except FileError as error:
            target.unlink()
            failed.append(f"from {url} (what it sends {_reason(error)})")
            last: Exception | None = error
        except (OSError, ValueError, http.client.HTTPException) as error:
            full = no_room(error)
            if full is not None:
                raise NoRoomError(
                    f"{name} could not be written to {target.parent}: {full}. Make "
                    "room there and run the command again, which goes on where it stopped, or "
                    "give --data another folder."
                ) from error
            failed.append(f"from {url} ({error})")
            last = error
        if url != download.urls[-1]:
            say(f"{name} could not be fetched {failed[-1]}; the next address is tried.")
    if not failed:
        why, last = " automatically", None
    else:
        why = " " + ", nor ".join(failed)
    again = "" if not failed else "Run the command again later, or "
    if transfer.arrived:
        again = "Run the command again to go on where it stopped, or "
    of = f" ({pins.spelled(checksum)})" if checksum else ""
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


def _reason(error: FileError) -> str:
    expected = f", expected {error.expected}" if error.expected else ""
    return f"{'' if error.between == ' ' else 'does not do: '}{error.found}{expected}"


def _check_size(download: Download, size: int, *, trusted: bool) -> None:
    stated = download.size
    # Where a checksum tells, a wrong statement does no harm.
    if stated is None or trusted:
        return
    slack = _ROUNDED if download.about else 1.0
    if not stated / slack <= size <= stated * slack:
        raise RefusedError(f"it has {size} bytes, {_size_text(download)} are expected")


def _size_text(download: Download) -> str:
    """Return the stated size for people, empty where none is stated."""
    if download.size is None:
        return ""
    if download.about:
        return f"about {files.size_text(download.size)}"
    return f"{download.size} bytes"
