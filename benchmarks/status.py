"""How things stand with the data of a task, told quickly: large files are not opened for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import catalog, files
from benchmarks.candidates import form_of
from benchmarks.entry import Entry
from benchmarks.fetching import download_text, missing
from benchmarks.locating import MissingError, locate, record_of
from xmft.errors import DataError
from xmft.unreadable import readable

# So much of files that were never looked at is read and hashed in a fraction of a second.
_QUICK_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Status:
    """How things stand with one task.

    Attributes:
        word: The origin of its samples, or `missing`, `unusable` (the files are bad) or
            `unchecked` (the files were never looked at, and are too large to do it in passing).
        text: Where they lie, or what is wrong.
        remarks: Sentences on files that are there and are not taken.
    """

    word: str
    text: str
    remarks: tuple[str, ...] = ()


def status(task: str | Entry, data_root: Path) -> Status:
    """Say whether the data of a task are there.

    Raises:
        RequestError: unknown name, or the data root is no folder.
    """
    entry = catalog.get(task) if isinstance(task, str) else task
    form = form_of(entry, data_root)
    try:
        large = _unchecked(form, data_root)
        if large is not None:
            return Status(word="unchecked", text=large)
        source = locate(entry, data_root=data_root)
    except MissingError as error:
        return Status(word="missing", text=str(error))
    except DataError as error:
        return Status(word="unusable", text=str(error))
    note = source.note
    if source.generation is not None and (text := download_text(entry, data_root)):
        note += f" (to fetch instead: {text})"
    return Status(word=source.origin, text=note, remarks=source.warnings)


def _unchecked(entry: Entry, data_root: Path) -> str | None:
    """Return what to say of files that cannot be looked at in passing; None: all can."""
    named = [path for paths in entry.candidates(data_root).values() for path in paths]
    members = [copies[0] for many in entry.members(data_root).values() for copies in many]
    new: list[Path] = []
    sizes: list[int] = []
    for paths, record in ((named, "fingerprints"), (members, record_of(entry))):
        for path in files.unseen(paths, record=record):
            with readable(path):
                sizes.append(path.stat().st_size)
            new.append(path)
    if sum(sizes) <= _QUICK_BYTES:
        return None
    lack = missing(entry, data_root)
    fetch = f" (to fetch: {text})" if (text := download_text(entry, data_root)) else ""
    lacks = f"; {', '.join(lack)} is missing{fetch}" if lack else ""
    place = str(new[0]) if len(new) == 1 else f"{new[0]} and {len(new) - 1} more"
    return (
        f"{place} ({files.size_text(sum(sizes))}) never looked at, which the next plan or run does"
        f"{lacks}"
    )
