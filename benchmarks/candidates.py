"""Which of several forms of a task is read, and which of several files of one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import files
from benchmarks.entry import Entry
from xmft.errors import DataError, FileError

Judge = Callable[[Path, Mapping[str, Any]], None]
"""Gets a file and the facts of it; raises a DataError where it does not do."""


def form_of(entry: Entry, data_root: Path) -> Entry:
    """Return the form of a task whose files are all there: the entry or an alternative.

    Where nothing of any is there, it is the first that can be generated. Otherwise it is the entry
    itself, which says what is missing.
    """
    if not entry.alternatives:
        return entry
    anything = False
    for form in (entry, *entry.alternatives):
        there, members = form.candidates(data_root), form.members(data_root)
        if all(there.get(name) for name in form.files) and all(members.values()):
            return form
        anything = anything or bool(there) or any(members.values())
    return entry if anything else generatable_form(entry)


def generatable_form(entry: Entry) -> Entry:
    """Return the first form of a task that can be generated; the entry itself if none can."""
    return next((form for form in (entry, *entry.alternatives) if form.generatable), entry)


def choose(
    entry: Entry, paths: Sequence[Path], judge: Judge, *, enough: int | None = None
) -> tuple[Path, list[str]]:
    """Choose among files of one name; nothing is looked at where there is but one.

    Files that cannot be read or are not what their name says are passed over, and those that the
    task cannot be cut from. Of the others the one with the most samples is taken, as far as they
    are asked for: an excerpt never stands in for the whole that lies beside it. Of equals it is
    the first.

    Args:
        entry: The task.
        paths: The files, at least one, in sorted order.
        judge: Whether the task can be cut from a file.
        enough: Samples that are asked for; None: all there are.

    Returns:
        The file, and a sentence for each other one. If none does, the first in sorted order, whose
        error is for the caller to meet.
    """
    if len(paths) == 1:
        return paths[0], []
    samples: dict[Path, int | None] = {}
    refused: dict[Path, str] = {}
    for path in paths:
        try:
            facts = _facts(entry, path)
            judge(path, facts)
            samples[path] = facts.get("samples")
        except DataError as error:
            refused[path] = _reason(error)
    rank = {path: min(n or 0, enough or n or 0) for path, n in samples.items()}
    best = max(rank, key=lambda path: rank[path]) if rank else paths[0]
    others = {
        path: refused.get(path)
        or (f"it has {samples[path]} samples" if samples[path] else "it comes later")
        for path in paths
        if path != best
    }
    has = f", which has {samples[best]} samples" if samples.get(best) else ""
    return best, [
        f"{path} is there too and is not taken ({why}), but {best}{has}."
        for path, why in others.items()
    ]


def choose_members(
    members: Sequence[Sequence[Path]], identify: Callable[[Sequence[Path]], list[files.Identity]]
) -> tuple[list[Path], list[files.Identity], list[str]]:
    """Choose among the copies of many files: of each the first that passes.

    All are looked at together, which is quick for many; only where one fails its copies are tried.

    Args:
        members: The files, each with its copies.
        identify: Returns the identities of files.

    Returns:
        The files, their identities, and a sentence for each that was passed over.

    Raises:
        FileError: neither a file nor one of its copies passes.
    """
    left = [list(copies) for copies in members]
    lines: list[str] = []
    while True:
        try:
            paths = [copies[0] for copies in left]
            return paths, identify(paths), lines
        except FileError as error:
            bad = next((c for c in left if str(c[0]) == str(error.path) and len(c) > 1), None)
            if bad is None:
                raise
            path = bad.pop(0)
            lines.append(f"{path} is there too and is not taken ({_reason(error)}), but {bad[0]}.")


def _facts(entry: Entry, path: Path) -> Mapping[str, Any]:
    known = files.remembered(path)
    if known is not None:
        return known.facts
    files.check(path)
    entry.inspect(path)
    return entry.facts(path)


def _reason(error: DataError) -> str:
    if not isinstance(error, FileError):
        return str(error).rstrip(".")
    expected = f", expected {error.expected}" if error.expected else ""
    return f"it {error.found}{expected}" if error.between == " " else error.found + expected
