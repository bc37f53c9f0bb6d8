"""From a task to three splits of data: where they lie, made where they can be, read once.

Files are looked for by their official names anywhere under the data root. Where they are missing,
tasks that can be generated are: the file goes to `<data root>/generated`, or to the cache where
the data root is read-only. What is read is stored as prepared arrays, see `prepare`; afterwards the
files are not opened as long as they do not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks import catalog, prepare
from benchmarks.candidates import form_of, generatable_form
from benchmarks.download import Say
from benchmarks.entry import Entry, Generation
from benchmarks.fetching import check_sums
from benchmarks.files import Progress, default_data_root
from benchmarks.locating import (
    DELETE,
    ON_FIRST_USE,
    Located,
    MissingError,
    all_members,
    chosen_files,
    generated_places,
    locate,
    mend_text,
)
from xmft.cache import cache_root
from xmft.errors import mending
from xmft.task import Protocol, Recipe, Split, Task, TaskData
from xmft.unreadable import check, readable

__all__ = [
    "Generation",
    "Located",
    "MissingError",
    "cache_root",
    "default_data_root",
    "fetch",
    "generate",
    "load",
    "locate",
    "make_ready",
    "verify",
]


def make_ready(
    where: Located | str | Entry,
    *,
    data_root: Path | None = None,
    recipe: Recipe | None = None,
    protocol: Protocol = "clean",
    progress: Progress | None = None,
) -> Located:
    """Generate a task's samples if there are none.

    Args:
        where: What `locate` returned, or its first argument.
        data_root: As for `locate`; not looked at where that is done.
        recipe: Likewise.
        protocol: Likewise.
        progress: Called with samples done and samples in all.

    Raises:
        RequestError: as from `locate`, or there is nowhere to write.
        DataError: as from `locate`, or the generation failed.
    """
    if not isinstance(where, Located):
        where = locate(where, data_root=data_root, recipe=recipe, protocol=protocol)
    if where.ready or where.generation is None:
        return where
    where.entry.generate(where.generation, where.files[0], progress)
    return replace(where, ready=True, note=where.note.replace(ON_FIRST_USE, ""))


def generate(
    task: str | Entry,
    generation: Generation,
    *,
    data_root: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Generate samples of a task, unless they were generated before.

    Args:
        task: Name of a task or variant, or an entry.
        generation: What to generate.
        data_root: The file goes to `generated` below it, where runs look for it as long as there
            is no official file and the seed is the default one. Any run uses it whose data root is
            the folder of the file itself. None: the usual place.
        progress: Called with samples done and samples in all.

    Returns:
        The file.

    Raises:
        RequestError: the task cannot be generated, or there is nowhere to write.
        DataError: the generation failed.
    """
    entry = catalog.get(task) if isinstance(task, str) else task
    entry = generatable_form(entry)
    paths = generated_places(entry, data_root or default_data_root(), entry.signature(generation))
    there = next((path for path in paths if path.is_file()), None)
    if there is None:
        there = paths[0]
        entry.generate(generation, there, progress)
    return there


def load(
    task: str | Entry,
    *,
    data_root: Path | None = None,
    recipe: Recipe | None = None,
    protocol: Protocol = "clean",
) -> TaskData:
    """Return a task with its three splits, memory-mapped; the arrays are read-only.

    Args:
        task: Name of a task or variant, or an entry.
        data_root: Where files are looked for and generated; None: the usual place.
        recipe: Its `samples` and `resolution` decide how the data are cut; None: the default.
        protocol: `clean`, or `released` where the public code does something else.

    Raises:
        RequestError: as from `locate`, nowhere to write, or a cache that cannot be written.
        DataError: as from `locate`, values that are not finite, or too few samples.
    """
    recipe = recipe or Recipe()
    located = make_ready(task, data_root=data_root, recipe=recipe, protocol=protocol)
    entry, wanted = located.entry, located.entry.task_under(protocol)

    def read() -> prepare.Reading:
        return entry.read(located.files, recipe, protocol)

    def check(splits: Mapping[str, Split]) -> None:
        _assembled(located, wanted, splits, checked=False).check_values()

    record = {
        "task": entry.task.name,
        "protocol": protocol,
        "origin": located.origin,
        "source": located.note,
    }
    with mending(located.mend):
        # What a function makes of nothing may be other numbers each time.
        kept = located.fingerprint if located.files else None
        prepared = prepare.prepared(kept, read, check, record=record)
    data = _assembled(located, wanted, prepared.splits, checked=True)
    return replace(
        data,
        floor=prepared.floor,
        floor_note=prepared.floor_note,
        perfect=prepared.perfect,
    )


def fetch(
    task: str | Entry,
    *,
    data_root: Path | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> list[Path]:
    """Download the official files of a task that are not there yet.

    Args:
        task: Name of a task or variant, or an entry.
        data_root: Where files are looked for and kept; None: the usual place.
        progress: Called with bytes done and bytes in all.
        say: Called with what is fetched from where, how large it is, and what goes wrong.

    Raises:
        RequestError: unknown name.
        DataError: they cannot be had, or a file of that name has other content.
    """
    entry = catalog.get(task) if isinstance(task, str) else task
    return entry.fetch(data_root or default_data_root(), progress, say)


def verify(task: str | Entry, *, data_root: Path | None = None) -> list[str]:
    """Check all files of a task in full: layout, values, checksum where one is known.

    Returns:
        What was found, in lines for people.

    Raises:
        RequestError: unknown name.
        DataError: there are no files, or something is wrong with one.
    """
    entry = catalog.get(task) if isinstance(task, str) else task
    data_root = data_root or default_data_root()
    entry = form_of(entry, data_root)
    there = entry.candidates(data_root)
    made = [
        path
        for root in (data_root, cache_root())
        if entry.generatable
        for path in sorted((root / "generated").glob(f"*/{entry.files[0]}"))
    ]
    paths: list[Path] = []
    others: list[str] = []
    if there or not made:
        # Excerpts are no fault here, so that every readable file does.
        named, others = chosen_files(entry, there, data_root, lambda path, facts: None)
        members = all_members(entry, data_root).values()
        paths = [*named, *(copies[0] for many in members for copies in many)]
    mend = mend_text(entry, data_root, bad=True)
    lines: list[str] = []
    for path, how in {**dict.fromkeys(paths, mend), **dict.fromkeys(made, DELETE)}.items():
        with mending(how), readable(path):
            check(path)
            lines += entry.verify(path)
    with mending(mend):
        lines += check_sums(entry, paths, data_root)
    return [*lines, *(f"  {line}" for line in others)]


def _assembled(
    located: Located, task: Task, splits: Mapping[str, Split], *, checked: bool
) -> TaskData:
    entry = located.entry
    return TaskData(
        task=task,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        origin=located.origin,
        fingerprint=located.fingerprint,
        source=located.note,
        decode=entry.decode,
        augment=entry.augment,
        checked=checked,
    )
