"""All tasks by name, and the way from a name to three splits of data.

Files are looked for by their official names anywhere under the data root. Where they are missing,
tasks that can be generated are: the file goes to `<data root>/generated`, or to the cache where
the data root is read-only.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import prepare, sources
from benchmarks.entry import Entry, Frames, Generation
from benchmarks.files import Progress, cache_root, default_data_root, write_atomically
from benchmarks.nasbench360 import satellite
from benchmarks.pdebench import entry as pdebench
from benchmarks.sources import Located
from xmft.errors import RequestError
from xmft.registry import Registry
from xmft.task import Protocol, Recipe, TaskData

__all__ = [
    "TASKS",
    "Entry",
    "Frames",
    "Generation",
    "Located",
    "add",
    "cache_root",
    "default_data_root",
    "fetch",
    "generate",
    "get",
    "load",
    "locate",
    "make_ready",
    "names",
    "variants",
    "verify",
    "write_atomically",
]

_DELETE = "Delete it; it is made again when it is needed."

TASKS: Registry[Entry] = Registry("task")
for _entry in (*pdebench.entries(), *satellite.entries()):
    TASKS.add(_entry.task.name, _entry)


def add(entry: Entry) -> Entry:
    """Register a task of your own; a plug-in does so when it is imported.

    Raises:
        ValueError: the name is taken.
    """
    return TASKS.add(entry.task.name, entry)


def names() -> list[str]:
    """Return the names of all tasks, sorted, without variants."""
    return sorted(TASKS)


def variants(name: str) -> list[str]:
    """Return the released variants of a task, such as `pdebench/darcy:beta1.0`.

    The published parameter values are among them; `get` knows that variant by its plain name.

    Raises:
        RequestError: unknown task.
    """
    base = name.partition(":")[0]
    return [f"{base}:{label}" for label in TASKS[base].labels]


def get(name: str) -> Entry:
    """Return a task or a variant of one.

    Raises:
        RequestError: unknown task or variant; the message has the nearest right name.
    """
    base, colon, label = name.partition(":")
    return TASKS[base].variant(label) if colon else TASKS[base]


def locate(name: str, *, data_root: Path, recipe: Recipe, protocol: Protocol = "clean") -> Located:
    """Say where the samples of a task will come from; nothing is made.

    A file that is seen for the first time is checked and hashed, which takes its time if it is
    large; afterwards this is quick.

    Args:
        name: Task or variant.
        data_root: Where files are looked for.
        recipe: Its `samples` and `resolution` decide how the data are cut.
        protocol: One of the entry's `protocols`; decides the same.

    Raises:
        RequestError: unknown name, a protocol that the task does not have, or the data root is no
            folder.
        DataError: no file and no generator, or a file that is not what its name says.
    """
    return sources.locate(get(name), data_root=data_root, recipe=recipe, protocol=protocol)


def make_ready(
    name: str,
    *,
    data_root: Path,
    recipe: Recipe,
    protocol: Protocol = "clean",
    progress: Progress | None = None,
) -> Located:
    """Locate a task's samples and generate them if there are none.

    Args:
        name: Task or variant.
        data_root: Where files are looked for and generated.
        recipe: Its `samples` and `resolution` decide what is generated.
        protocol: Decides which frames are needed.
        progress: Called with samples done and samples in all.

    Raises:
        RequestError: as from `locate`, or there is nowhere to write.
        DataError: as from `locate`, or the generation failed.
    """
    source = locate(name, data_root=data_root, recipe=recipe, protocol=protocol)
    if source.ready:
        return source
    entry = get(name)
    entry.generate(entry.generations(recipe, protocol)[0], source.files[0], progress)
    return locate(name, data_root=data_root, recipe=recipe, protocol=protocol)


def generate(
    name: str, generation: Generation, *, data_root: Path, progress: Progress | None = None
) -> Path:
    """Generate samples of a task, unless they were generated before.

    Args:
        name: Task or variant.
        generation: What to generate.
        data_root: The file goes to `generated` below it, where runs look for it as long as there
            is no official file and the seed is the default one. Any run uses it whose data root is
            the folder of the file itself.
        progress: Called with samples done and samples in all.

    Returns:
        The file.

    Raises:
        RequestError: the task cannot be generated, or there is nowhere to write.
        DataError: the generation failed.
    """
    entry = get(name)
    folders = sources.generated_folders(data_root, entry.signature(generation))
    paths = [folder / entry.files[0] for folder in folders]
    there = next((path for path in paths if path.is_file()), None)
    if there is None:
        there = paths[0]
        entry.generate(generation, there, progress)
    return there


def load(name: str, *, data_root: Path, recipe: Recipe, protocol: Protocol = "clean") -> TaskData:
    """Return a task with its three splits, memory-mapped; the arrays are read-only.

    The first time, the files are read and prepared arrays are stored in the cache. Afterwards the
    files are not opened as long as they do not change.

    Args:
        name: Task or variant.
        data_root: Where files are looked for and generated.
        recipe: Its `samples` and `resolution` decide how the data are cut.
        protocol: `clean`, or `released` where the public code does something else.

    Raises:
        RequestError: as from `make_ready`, or a cache that cannot be written.
        DataError: as from `make_ready`, values that are not finite, or too few samples.
    """
    entry = get(name)
    source = make_ready(name, data_root=data_root, recipe=recipe, protocol=protocol)
    prepared = prepare.open_prepared(source.fingerprint)
    if prepared is None:
        # Cells of one task start together: one reads the files, the others wait for it.
        with prepare.locked(source.fingerprint):
            prepared = prepare.open_prepared(source.fingerprint) or _prepare(
                entry, source, recipe, protocol, data_root
            )
    return TaskData(
        task=entry.task,
        train=prepared.splits["train"],
        val=prepared.splits["val"],
        test=prepared.splits["test"],
        origin=source.origin,
        fingerprint=source.fingerprint,
        source=source.note,
        floor=prepared.floor,
        floor_note=prepared.floor_note,
    )


def _prepare(
    entry: Entry, source: Located, recipe: Recipe, protocol: Protocol, data_root: Path
) -> prepare.Prepared:
    mend = entry.mend(data_root, bad=True)
    if source.origin == "generated":
        mend = _DELETE
    reading = entry.read(source.files, recipe, protocol, mend=mend)
    record = {
        "task": entry.task.name,
        "protocol": protocol,
        "origin": source.origin,
        "source": source.note,
    }
    prepare.store(source.fingerprint, reading, record=record)
    prepared = prepare.open_prepared(source.fingerprint)
    if prepared is None:
        raise RequestError(
            f"The prepared arrays in {cache_root()} vanished after they were written. Let one "
            "process at a time clear that folder, and run again."
        )
    return prepared


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
    found = entry.find(data_root)
    made = [
        path
        for root in (data_root, cache_root())
        if entry.generatable
        for path in sorted((root / "generated").glob(f"*/{entry.files[0]}"))
    ]
    mend = entry.mend(data_root, bad=True)
    paths = list(sources.all_files(entry, found, data_root)) if found or not made else []
    mends = {**dict.fromkeys(paths, mend), **dict.fromkeys(made, _DELETE)}
    return [line for path, mend in mends.items() for line in entry.verify(path, mend=mend)]
