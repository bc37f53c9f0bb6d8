"""The files of a ledger's attempts: what they are called, and how they are read.

On a file system attempt k at a cell is `cells/<cell_id>/attempt-<k>.arrow`: the name is taken with
a hard link, so that no two writers share it. Object stores have nothing like it; there the file is
`cells/<cell_id>-attempt-<16 hex digits>.arrow`, a name of its own for each writer, and the attempts
are numbered as they are read. One folder for all cells is listed in one request for a thousand
files, and leaves no empty folders when the files are compacted.
"""

from __future__ import annotations

import functools
import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from runner.config_texts import check_configurations
from runner.names import check_names
from runner.schema import SCHEMA, SCHEMA_VERSION, SINCE, VERSION_KEY
from runner.storage import Storage
from xmft.errors import RequestError

logger = logging.getLogger(__name__)

FOLDER = "cells"
# The column that says which file an attempt was written to, relative to the folder of the cells.
FILE = "file"
# Texts that repeat from row to row and are long: kept once each, in memory as on disk.
LONG_TEXTS = ("error", "versions", "config_json")
# The attempt of a file that is numbered as it is read.
UNNUMBERED = 0

_NAME = re.compile(
    r"(?P<cell>[^/]+)/attempt-(?P<number>\d+)(-[0-9a-f]+)?\.arrow"
    r"|(?P<flat>[^/]+)-attempt-[0-9a-f]{16}\.arrow"
)
# Reading many small files of an object store is waiting; of a disk it is computing.
_READERS = {True: 2, False: 32}
_BATCH = 512
# A file has a few rows: handing its columns to threads takes longer than reading them.
_ONE_THREAD = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True, kw_only=True)
class AttemptFile:
    """A file that holds an attempt, by its name.

    Attributes:
        path: Relative to the folder of the cells.
        number: Of the attempt; `UNNUMBERED` where the name does not say it.
    """

    path: str
    cell_id: str
    number: int


def named(path: str) -> AttemptFile | None:
    """Return what a name says of an attempt; None for the names of other files."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    return AttemptFile(
        path=path,
        cell_id=match["cell"] or match["flat"],
        number=int(match["number"] or UNNUMBERED),
    )


def numbered_name(cell_id: str, number: int) -> str:
    """Return the name of an attempt's file on a file system."""
    return f"{cell_id}/attempt-{number}.arrow"


def unique_name(cell_id: str) -> str:
    """Return a name for an attempt's file that no other writer chooses."""
    return f"{cell_id}-attempt-{uuid.uuid4().hex[:16]}.arrow"


class FileReader:
    """Reads the small Arrow files of a ledger; one that cannot be used is told once, and skipped.

    Attributes:
        storage: The ledger's folder.
        lenient: Whether a compact file that cannot be used is skipped as well. Those who write
            stop there: they would run again what it holds.
    """

    def __init__(self, storage: Storage, *, lenient: bool = False) -> None:
        self.storage = storage
        self.lenient = lenient
        self._skipped: dict[str, str] = {}

    def listed(self) -> list[AttemptFile]:
        """Return all attempts that have a file, sorted by cell, then by number."""
        found = (named(path) for path in self.storage.files(FOLDER))
        kept = [file for file in found if file is not None]
        return sorted(kept, key=lambda file: (file.cell_id, file.number, file.path))

    def listed_of(self, cell_id: str) -> list[AttemptFile]:
        """Return the attempts at one cell that have a file."""
        if self.storage.is_object_store:  # which lists the flat folder in one request
            return [file for file in self.listed() if file.cell_id == cell_id]
        names = self.storage.names(f"{FOLDER}/{cell_id}")
        found = [named(f"{cell_id}/{name}") for name in names]
        found += [named(name) for name in self.storage.names(FOLDER)]
        return [file for file in found if file is not None and file.cell_id == cell_id]

    def tables(
        self, files: Sequence[AttemptFile], columns: Sequence[str]
    ) -> Iterator[tuple[AttemptFile, pa.Table | None]]:
        """Yield each attempt's rows with `FILE`; None for a file that is gone or unusable.

        Args:
            files: The attempts.
            columns: Of the schema, those to read.
        """

        def read(file: AttemptFile) -> pa.Table | None:
            return self._rows(file, columns)

        if len(files) == 1:
            yield files[0], read(files[0])
        elif files:
            with ThreadPoolExecutor(_READERS[self.storage.local_root is not None]) as pool:
                yield from zip(files, pool.map(read, files), strict=True)

    def all(
        self, files: Sequence[AttemptFile], columns: Sequence[str], *, first: bool = False
    ) -> tuple[pa.Table, bool]:
        """Return the rows of many attempts, long texts once each, and whether a file is gone.

        Args:
            files: The attempts.
            columns: Of the schema, those to read.
            first: Whether to return the first row of each attempt alone.
        """
        parts, batch, gone = [], [], False
        for file, table in self.tables(files, columns):
            if table is not None:
                batch.append(table.slice(0, 1) if first else table)
            elif file.path not in self._skipped:
                gone = True
            if len(batch) == _BATCH:
                parts.append(encoded(pa.concat_tables(batch)))
                batch = []
        if batch or not parts:
            empty = stored_schema(columns).empty_table()
            parts.append(encoded(pa.concat_tables([empty, *batch])))
        return pa.concat_tables(parts), gone

    def open(self, path: str, payload: pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the table of a file of this ledger.

        Args:
            path: For the message, relative to the ledger.
            payload: Its content.
            columns: Those to read; None for all.

        Raises:
            RequestError: it was written by a newer schema.
            ValueError: it is no file of a ledger.
        """
        file = pa.ipc.open_file(payload, options=_ONE_THREAD)
        self.check_version(path, file.schema)
        if columns is not None and set(columns) < set(file.schema.names):
            places = [place for place, name in enumerate(file.schema.names) if name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=places, use_threads=False)
            file = pa.ipc.open_file(payload, options=options)
        table = file.read_all()
        # Offsets and texts of a damaged file would end the process when they are used.
        table.validate(full=True)
        return table

    def check_version(self, path: str, schema: pa.Schema) -> int:
        """Return the version of the schema that a file was written by.

        Raises:
            RequestError: it is newer than this one.
            ValueError: it has none.
        """
        version = int((schema.metadata or {}).get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            raise RequestError(
                f"The ledger at {self.storage.shown} was written by schema {version}, this version "
                f"reads up to {SCHEMA_VERSION}: upgrade xmft. (Found in {path}.)"
            )
        if version < 1:
            raise ValueError("it is an Arrow file, but not one of this ledger")
        return version

    def skip(self, path: str, why: str) -> None:
        """Say once that a file is not used."""
        key = path.removeprefix(f"{FOLDER}/")
        if key not in self._skipped:
            self._skipped[key] = self.storage.shown_of(path)
            logger.warning("Skipped %s: %s.", self.storage.shown_of(path), why)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The files that were not used, for people."""
        return tuple(self._skipped.values())

    def _rows(self, file: AttemptFile, columns: Sequence[str]) -> pa.Table | None:
        path = f"{FOLDER}/{file.path}"
        try:
            payload = self.storage.read(path)
            if payload is None:
                return None  # deleted between the listing and now
            table = conformed(self.open(path, payload, columns), columns)
            check_configurations(table)
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            self.skip(path, f"it cannot be read ({self.storage.told(error)})")
            return None
        if not table.num_rows:
            self.skip(path, "it has no rows")
            return None
        return table.append_column(FILE, pa.array([file.path] * table.num_rows, pa.string()))


def stored_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the ledger's schema of some columns, with that of the file."""
    fields = [SCHEMA.field(name) for name in columns]
    return pa.schema([*fields, pa.field(FILE, pa.string())], metadata=SCHEMA.metadata)


def conformed(
    table: pa.Table, columns: Sequence[str], *, as_stored: Sequence[str] = ()
) -> pa.Table:
    """Return some columns of a file as the schema has them; those of a later schema are null.

    Args:
        table: With the metadata of its file.
        columns: Of the schema.
        as_stored: Those whose type may be another, such as dictionaries for texts.

    Raises:
        KeyError: the file lacks a column that its own schema has.
        ValueError: a name in it leads out of the ledger.
    """
    schema = _part(tuple(columns))
    check_names(table)
    if table.schema.equals(schema):
        return table.replace_schema_metadata(SCHEMA.metadata)
    version = int((table.schema.metadata or {}).get(VERSION_KEY, b"0"))
    for name in columns:
        if name not in table.schema.names and SINCE[name] > version:
            nulls = pa.nulls(table.num_rows, SCHEMA.field(name).type)
            table = table.append_column(name, nulls)
    table = table.select(list(columns))
    for place, name in enumerate(columns):
        if name in as_stored:
            kept = SCHEMA.field(name).with_type(table.schema.field(name).type)
            schema = schema.set(place, kept)
    return table.cast(schema)


@functools.cache
def _part(columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in columns], metadata=SCHEMA.metadata)


def encoded(table: pa.Table) -> pa.Table:
    """Return a table that holds each of its long texts once, as dictionaries."""
    for place, name in enumerate(table.schema.names):
        if name in LONG_TEXTS and pa.types.is_string(table.schema.field(name).type):
            column = table[name].combine_chunks().dictionary_encode()
            table = table.set_column(place, name, column)
    return table.combine_chunks()


def to_bytes(table: pa.Table) -> pa.Buffer:
    """Return a table as an Arrow IPC file."""
    sink = pa.BufferOutputStream()
    # Rows of an attempt repeat its provenance, which compresses to almost nothing.
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()
