"""The official files of a task: what is there, what is missing, and getting it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import files, pins
from benchmarks.download import Say, present, retrieve
from benchmarks.room import NoRoomError
from xmft.errors import DataError, mending

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
            say(f"{entry.task.name}: {download_text(form)}")
        try:
            with mending(_PIN_MEND):
                for download in form.downloads:
                    retrieve(download, folder, data_root, progress=progress, say=say)
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
    wanted = next((form.downloads for form in forms if form.downloads), ())
    if data_root is not None:
        there = files.find_every(data_root, [download.path.name for download in wanted])
        wanted = tuple(download for download in wanted if download.path.name not in there)
    if data_root is not None and not wanted and any(form.downloads for form in forms):
        return "nothing to download, only to unpack"
    sizes = [download.size for download in wanted if download.size is not None]
    count = len(wanted)
    many = f"{count} file{'s' if count != 1 else ''}"
    if not count or not sizes:
        return many if count else ""
    about = "about " if any(download.about for download in wanted) else ""
    more = f" and {count - len(sizes)} of unknown size" if len(sizes) < count else ""
    return f"{many}, {about}{files.size_text(sum(sizes))}{more}"


def check_pins(entry: Entry, paths: Iterable[Path], data_root: Path) -> list[str]:
    """Check files, and archives that a task was unpacked from, against what they were pinned to.

    Args:
        entry: The task.
        paths: Its files.
        data_root: Where the archives are looked for.

    Returns:
        A line for each that is pinned.

    Raises:
        FileError: one has changed since.
    """
    names = [download.path.name for download in entry.downloads if download.unpack]
    archives = [path for many in files.find_every(data_root, names).values() for path in many]
    lines = []
    for path in (*paths, *archives):
        line = pins.check_pin(path)
        if line is not None:
            lines.append(f"{path}: {line}")
    return lines


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
