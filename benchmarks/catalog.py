"""All tasks by name, and the way from a name to three splits of data.

Files are looked for by their official names anywhere under the data root. Where they are missing,
tasks that can be generated are: the file goes to `<data root>/generated`, or to the cache where
the data root is read-only.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import files, prepare, sources
from benchmarks.entry import Entry
from benchmarks.files import Progress, cache_root, default_data_root
from benchmarks.nasbench360 import satellite
from benchmarks.pdebench import entry as pdebench
from benchmarks.sources import Source
from xmft.errors import RequestError
from xmft.registry import Registry
from xmft.task import Protocol, Recipe, Split, TaskData

__all__ = [
    "Entry",
    "Source",
    "cache_root",
    "default_data_root",
    "fetch",
    "get",
    "load",
    "locate",
    "make_ready",
    "names",
    "variants",
    "verify",
]

_TASKS: Registry[Entry] = Registry("task")
for _entry in (*pdebench.entries(), *satellite.entries()):
    _TASKS.add(_entry.task.name, _entry)


def names() -> list[str]:
    """Return the names of all tasks, sorted, without variants."""
    return sorted(_TASKS)


def variants(name: str) -> list[str]:
    """Return the released variants of a task, such as `pdebench/darcy:beta1.0`.

    The published parameter values are among them; `get` knows that variant by its plain name.

    Raises:
        RequestError: unknown task.
    """
    base = name.partition(":")[0]
    return [f"{base}:{label}" for label in _TASKS[base].labels]


def get(name: str) -> Entry:
    """Return a task or a variant of one.

    Raises:
        RequestError: unknown task or variant; the message has the nearest right name.
    """
    base, colon, label = name.partition(":")
    return _TASKS[base].variant(label) if colon else _TASKS[base]


def locate(name: str, *, data_root: Path, recipe: Recipe) -> Source:
    """Say where the samples of a task will come from; nothing is made.

    A file that is seen for the first time is checked and hashed, which takes its time if it is
    large; afterwards this is quick.

    Args:
        name: Task or variant.
        data_root: Where files are looked for.
        recipe: Its `samples` and `resolution` decide how the data are cut.

    Raises:
        RequestError: unknown name, or the data root is no folder.
        DataError: no file and no generator, or a file that is not what its name says.
    """
    return sources.locate(get(name), data_root=data_root, recipe=recipe)


def make_ready(
    name: str, *, data_root: Path, recipe: Recipe, progress: Progress | None = None
) -> Source:
    """Locate a task's samples and generate them if there are none.

    Args:
        name: Task or variant.
        data_root: Where files are looked for and generated.
        recipe: Its `samples` and `resolution` decide what is generated.
        progress: Called with samples done and samples in all.

    Raises:
        RequestError: as from `locate`, or there is nowhere to write.
        DataError: as from `locate`, or the generation failed.
    """
    source = locate(name, data_root=data_root, recipe=recipe)
    if source.ready:
        return source
    get(name).generate(recipe, source.files[0], progress)
    return locate(name, data_root=data_root, recipe=recipe)


def load(name: str, *, data_root: Path, recipe: Recipe, protocol: Protocol = "clean") -> TaskData:
    """Return a task with its three splits, memory-mapped; the arrays are read-only.

    The first time, the files are read and prepared arrays are stored in the cache. Afterwards the
    files are not opened as long as they do not change.

    Args:
        name: Task or variant.
        data_root: Where files are looked for and generated.
        recipe: Its `samples` and `resolution` decide how the data are cut.
        protocol: `clean` is the only one in this version.

    Raises:
        RequestError: as from `make_ready`, another protocol, or a cache that cannot be written.
        DataError: as from `make_ready`, values that are not finite, or too few samples.
    """
    if protocol != "clean":
        raise RequestError(
            f"The protocol '{protocol}' is not available for task '{name}' in this version; use "
            "the protocol 'clean'."
        )
    entry = get(name)
    source = make_ready(name, data_root=data_root, recipe=recipe)
    splits = prepare.open_splits(source.fingerprint)
    if splits is None:
        # Cells of one task start together: one reads the files, the others wait for it.
        with prepare.locked(source.fingerprint):
            splits = prepare.open_splits(source.fingerprint) or _prepare(
                entry, source, recipe, data_root
            )
    return TaskData(
        task=entry.task,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        origin=source.origin,
        fingerprint=source.fingerprint,
        source=source.note,
    )


def _prepare(entry: Entry, source: Source, recipe: Recipe, data_root: Path) -> dict[str, Split]:
    mend = entry.mend(data_root, bad=True)
    if source.origin == "generated":
        mend = "Delete it; it is made again when it is needed."
    reading = entry.read(source.files, recipe, mend=mend)
    record = {"task": entry.task.name, "origin": source.origin, "source": source.note}
    prepare.store(source.fingerprint, reading, record=record)
    splits = prepare.open_splits(source.fingerprint)
    if splits is None:
        raise RequestError(
            f"The prepared arrays in {cache_root()} vanished after they were written. Let one "
            "process at a time clear that folder, and run again."
        )
    return splits


def fetch(name: str, *, data_root: Path) -> list[Path]:
    """Download the official files of a task that are not there yet.

    Raises:
        RequestError: unknown name.
        DataError: they cannot be had, or a file of that name has other content.
    """
    return get(name).fetch(data_root)


def verify(name: str, *, data_root: Path) -> list[str]:
    """Check all files of a task in full: layout, values, checksum where one is published.

    Returns:
        What was found, in lines for people.

    Raises:
        RequestError: unknown name.
        DataError: there are no files, or something is wrong with one.
    """
    entry = get(name)
    found = files.find(data_root, entry.files)
    made = [
        path
        for root in (data_root, cache_root())
        if entry.generatable
        for path in sorted((root / "generated").glob(f"*/{entry.files[0]}"))
    ]
    mend = entry.mend(data_root, bad=True)
    paths = list(sources.all_files(entry, found, data_root)) if found or not made else []
    return [
        line for path in dict.fromkeys([*paths, *made]) for line in entry.verify(path, mend=mend)
    ]
