"""The official files of a task: what is there, what is missing, and getting it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import files, pins
from benchmarks.download import Download, Say, present, retrieve
from benchmarks.room import NoRoomError, check_room
from xmft.errors import DataError, mending
from xmft.unreadable import check

if TYPE_CHECKING:
    from benchmarks.entry import Entry

_PIN_MEND = "Move the file away and fetch it again."


def fetch(
    entry: Entry,
    data_root: Path,
    *,
    progress: files.Progress | None = None,
    say: Say | None = None,
) -> list[Path]:
    """Download the files of a task that are not anywhere under the data root.

    The files of the entry itself are tried first, then those of its alternatives.

    Args:
        entry: The task.
        data_root: Where files are looked for; they go to `<suite>/<task>` below it.
        progress: See `retrieve`.
        say: See `retrieve`.

    Returns:
        The files that will be read, checked against what checksums there are.

    Raises:
        DataError: they cannot be had, or are damaged.
    """
    forms = (entry, *entry.alternatives)
    for form in forms:
        there = complete(form, data_root)
        if there is not None:
            for download in form.downloads:
                with mending(_PIN_MEND):
                    present(download, data_root)
            return there
    folder = data_root.joinpath(*entry.task.name.partition(":")[0].split("/"))
    failed: list[str] = []
    for form in forms:
        if not form.downloads:
            continue
        if say is not None:
            say(f"{entry.task.name}: {download_text(form, data_root)}")
        check_room(
            folder, _needed(form, folder, data_root), f"Of {entry.task.name}, what is missing"
        )
        try:
            with mending(_PIN_MEND):
                for download in form.downloads:
                    retrieve(
                        download,
                        folder,
                        data_root,
                        progress=progress,
                        say=say,
                        accept=partial(_accept, form),
                    )
        except NoRoomError:
            raise
        except DataError as error:
            failed.append(str(error))
            if say is not None and form is not forms[-1]:
                say(f"{error}")
            continue
        there = complete(form, data_root)
        if there is not None:
            return there
        failed.append(
            f"{_names(download.path.name for download in form.downloads)} of {entry.task.name} "
            f"came, but {_names(missing(form, data_root))} is not there. Look into {folder}: what "
            "was unpacked may lack it, or have been changed."
        )
    if failed:
        raise DataError(" Instead: ".join(failed))
    wanted = " or ".join(_names((*form.files, *form.patterns)) for form in forms)
    raise DataError(
        f"The files of {entry.task.name} cannot be fetched automatically. Put {wanted} anywhere "
        f"under {data_root}."
    )


def complete(entry: Entry, data_root: Path) -> list[Path] | None:
    """Return the files of one form of a task; None: not all are there."""
    there, members = entry.candidates(data_root), entry.members(data_root)
    if not all(there.get(name) for name in entry.files) or not all(members.values()):
        return None
    named = [there[name][0] for name in entry.files]
    return named + [copies[0] for many in members.values() for copies in many]


def missing(entry: Entry, data_root: Path) -> list[str]:
    """Return the names and patterns of one form of a task of which there is no file."""
    there, members = entry.candidates(data_root), entry.members(data_root)
    return [name for name in entry.files if not there.get(name)] + [
        pattern for pattern, copies in members.items() if not copies
    ]


def download_text(entry: Entry, data_root: Path | None = None) -> str:
    """Return how much is to be downloaded for a task, for people; empty: nothing can be.

    It is that of the first form that can be downloaded.

    Args:
        entry: The task.
        data_root: What is there is left out; None: all counts.
    """
    forms = (entry, *entry.alternatives)
    wanted: Sequence[Download] = next((form.downloads for form in forms if form.downloads), ())
    if wanted and data_root is not None:
        wanted = _absent(wanted, data_root)
        if not wanted:
            return "nothing to download, only to unpack"
    sizes = [download.size for download in wanted if download.size is not None]
    count = len(wanted)
    many = f"{count} file{'s' if count != 1 else ''}"
    if not count or not sizes:
        return many if count else ""
    about = "about " if any(download.about for download in wanted) else ""
    more = f" and {count - len(sizes)} of unknown size" if len(sizes) < count else ""
    return f"{many}, {about}{files.size_text(sum(sizes))}{more}"


def check_sums(entry: Entry, paths: Iterable[Path], data_root: Path) -> list[str]:
    """Check files of a task, and archives they were unpacked from, against what sums are known.

    Args:
        entry: The task.
        paths: Its files.
        data_root: Where the archives are looked for.

    Returns:
        A line for each that has a published sum, or was pinned to one when it was first fetched.

    Raises:
        FileError: one has another.
    """
    published = {download.path.name: download.checksum for download in entry.downloads}
    paths = tuple(paths)
    others = files.find_every(data_root, published.keys() - {path.name for path in paths})
    lines = []
    for path in (*paths, *(path for many in others.values() for path in many)):
        checksum = published.get(path.name)
        # A sum says nothing of a miniature.
        if checksum is not None and (path not in paths or entry.inspect(path) == "official"):
            lines.append(f"{path}: {pins.check_published(path, checksum)}")
        elif (line := pins.check_pin(path)) is not None:
            lines.append(f"{path}: {line}")
    return lines


def _accept(form: Entry, path: Path) -> None:
    """Check that what came is what its name says, before it is pinned to be that."""
    if path.name in form.files:
        check(path)
        form.inspect(path)


def _needed(form: Entry, folder: Path, data_root: Path) -> int:
    """Return how many bytes are stated to be missing, apart from what has arrived of them."""
    total = 0
    for download in _absent(form.downloads, data_root):
        part = folder / f"{download.path}.part"
        arrived = part.stat().st_size if part.exists() else 0
        total += max(0, (download.size or 0) - arrived)
    return total


def _absent(downloads: Sequence[Download], data_root: Path) -> list[Download]:
    there = files.find_every(data_root, [download.path.name for download in downloads])
    return [download for download in downloads if download.path.name not in there]


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
