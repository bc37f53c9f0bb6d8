"""Many attempts in one file: what keeps a ledger of a hundred thousand cells quick to read.

One small file per attempt is how results come in: each is written whole by whoever has it, and
needs no other writer. `compact` gathers them into a file of Parquet. It writes a new file of a name
of its own, reads it back and compares it value by value; only then it deletes the files that the
new one stands for. So at each moment every attempt is in at least one whole file, and a reader that
finds it in two takes it once (`runner.numbering`): a compaction may be killed anywhere, and others
may compact and write at the same time.

Curves and examples stay files of their own. On a file system they move out of the folder of their
cell, so that listing `cells` costs what is new and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from runner import compact_files
from runner.attempt_files import FILE, FOLDER, AttemptFile
from runner.ledger import Ledger
from runner.numbering import keys, merged
from runner.schema import SCHEMA
from xmft.errors import RequestError

# A ledger of fewer new attempts than these is as quick without, and simpler to look at.
AT_LEAST = 200
# A compact file is written anew with the new attempts if it holds at most so many times as many:
# each attempt is then written a few times in all, and the number of files grows as the logarithm.
_GROWTH = 4
# More of them than these cost more than writing them anew.
_MOST_FILES = 8
_DELETERS = 16


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What a compaction did.

    Attributes:
        attempts: New attempts that are in a compact file now.
        files: Compact files that there are now.
    """

    attempts: int
    files: int


def compact(ledger: Ledger, *, at_least: int = 1) -> Compacted:
    """Gather the attempts that have a file of their own into a compact one.

    Args:
        ledger: The ledger.
        at_least: Do nothing if there are fewer new attempts.

    Raises:
        RequestError: it cannot be written, or a file was written by a newer schema.
    """
    reader = ledger.reader
    files = reader.listed()
    names = compact_files.listed(reader)
    if len(files) < at_least:
        return Compacted(attempts=0, files=len(names))
    loose, _ = reader.all(files, SCHEMA.names)
    olds: list[tuple[str, pa.Table]] = []
    for name in names:
        table = compact_files.read(reader, name, SCHEMA.names)
        if table is not None:
            olds.append((name, table))
    replaced = _replaced(olds, loose.num_rows)
    if not loose.num_rows and len(replaced) < 2:
        return Compacted(attempts=0, files=len(names))
    try:
        table = _contents(olds, loose, replaced)
        if table.num_rows:
            compact_files.write(reader, table)
        # What was read: never a file that came meanwhile, or one that could not be read.
        held = set(loose[FILE].to_pylist())
        _delete(ledger, [file for file in files if file.path in held], replaced)
    except OSError as error:
        raise RequestError(
            f"The results in {ledger.shown} cannot be compacted ({reader.storage.told(error)}). "
            "They are as they were: make room there, or the folder writable, and try again."
        ) from None
    return Compacted(attempts=len(held), files=len(compact_files.listed(reader)))


def _replaced(olds: Sequence[tuple[str, pa.Table]], rows: int) -> list[str]:
    """Return the compact files to write anew with some new rows: the small ones, or all."""
    replaced = []
    for name, table in sorted(olds, key=lambda old: old[1].num_rows):
        if len(olds) < _MOST_FILES and table.num_rows > _GROWTH * rows:
            break
        replaced.append(name)
        rows += table.num_rows
    return replaced


def _contents(
    olds: Sequence[tuple[str, pa.Table]], loose: pa.Table, replaced: Sequence[str]
) -> pa.Table:
    """Return the rows of a new file: all of those that it replaces, and what is in none yet.

    It holds all of them whether or not another file does as well: of two processes that compact at
    once, each may delete what it has written anew, and nothing because of what the other one has.
    They are numbered among all attempts, so that none changes its number here.
    """
    whole = merged([*(table for _, table in olds), loose])
    others = [keys(table) for name, table in olds if name not in replaced]
    own = [keys(table) for name, table in olds if name in replaced]
    new = keys(loose)
    if others:
        new = new.filter(pc.invert(pc.is_in(new, value_set=pa.concat_arrays(others))))
    return whole.filter(pc.is_in(keys(whole), value_set=pa.concat_arrays([*own, new])))


def _delete(ledger: Ledger, files: Sequence[AttemptFile], compacts: Sequence[str]) -> None:
    """Delete files that a compact one stands for, and on a file system the folders of the cells."""
    storage = ledger.storage
    cells = sorted({file.cell_id for file in files})

    def keep(cell_id: str) -> None:
        for kind in ("curves", "examples"):
            storage.move(f"{FOLDER}/{cell_id}/{kind}.arrow", f"{kind}/{cell_id}.arrow")

    with ThreadPoolExecutor(_DELETERS) as pool:
        if not storage.is_object_store:  # where they are at their place already
            list(pool.map(keep, cells))
        list(pool.map(lambda file: storage.delete(f"{FOLDER}/{file.path}"), files))
        list(pool.map(lambda cell_id: storage.delete_empty(f"{FOLDER}/{cell_id}"), cells))
        list(pool.map(storage.delete, compacts))
