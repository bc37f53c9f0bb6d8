"""Miniatures: the smallest valid files in the official formats, for tests and demonstrations.

Their rows are marked in the ledger and never stand in a table with others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import catalog, files
from benchmarks.entry import Entry
from benchmarks.origin import mark
from xmft.cache import cache_root, once
from xmft.errors import RequestError

FOLDER = "miniatures"


def make_miniatures(tasks: Iterable[str], data_root: Path) -> Path:
    """Write the miniatures of tasks that are not there yet, some MB in all.

    Args:
        tasks: Names of tasks.
        data_root: They go to `miniatures` below it, or below the cache where it is read-only.

    Returns:
        The folder that holds them, a data root of its own.

    Raises:
        RequestError: a task has none, or there is nowhere to write.
    """
    parent = data_root if files.is_writable(data_root) else cache_root()
    root = parent.absolute() / FOLDER
    for entry in map(catalog.get, tasks):
        _write(entry, root)
    return root


def _write(entry: Entry, root: Path) -> None:
    task = entry.task
    if not entry.miniature_version:
        known = [name for name in catalog.names() if catalog.get(name).miniature_version]
        raise RequestError(
            f"There is no miniature of task '{task.name}'; there are of {', '.join(known)}."
        )

    def make(folder: Path) -> None:
        folder.mkdir()
        mark(folder, "miniature")
        entry.miniature(folder)

    name = f"{task.name.replace('/', '-')}-{task.version}.{entry.miniature_version}"
    try:
        once(root / name, make, lambda path: path if path.is_dir() else None)
    except OSError as error:
        raise RequestError(
            f"The miniature of '{task.name}' could not be written to {root} ({error}). Give --data "
            "a folder that can be written."
        ) from error
