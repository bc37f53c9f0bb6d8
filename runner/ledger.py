"""The folder of results: one small Arrow file per attempt at a cell, written whole.

The ledger is the truth: a cell is done when an attempt with status ok exists, and a file that was
being written when the power went is simply not there. Any Arrow reader reads it:

    from glob import glob
    import pyarrow.dataset as ds
    table = ds.dataset(glob("results/cells/*/attempt-*.arrow"), format="ipc").to_table()
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from runner.example_table import NamedExamples, example_table, examples_in
from runner.results import State, counting
from runner.schema import (
    CURVE_SCHEMA,
    SCHEMA,
    SCHEMA_VERSION,
    VERSION_KEY,
    Attempt,
    attempt_table,
    curve_table,
)
from runner.storage import Storage
from xmft.errors import RequestError
from xmft.examples import Examples
from xmft.registry import nearest
from xmft.task import CurvePoint

logger = logging.getLogger(__name__)

_ATTEMPT = re.compile(r"(?P<cell>[^/]+)/attempt-(?P<number>\d+)\.arrow")
# Of one cell: what damages more of them than these will damage the next one too.
_MOST_SET_ASIDE = 3
_READERS = 16  # threads; reading many small files is waiting, not computing


@dataclass(frozen=True, kw_only=True)
class CellState:
    """What the ledger knows of a cell.

    Attributes:
        status: `ok` if any attempt is ok.
        attempts: Number of readable attempts.
        failure: Class of the latest attempt's failure, None if that attempt is ok.
    """

    status: State
    attempts: int
    failure: str | None


class Ledger:
    """Reads and writes a folder of results.

    Attributes:
        uri: The folder: an absolute path, or the URI of an object store.
        is_local: Whether the folder is on a file system of this machine.
        local_root: The folder as a path, None for an object store.
    """

    def __init__(self, uri: str | Path) -> None:
        """Point at a folder; nothing is created yet.

        Args:
            uri: A local path, or any URI that pyarrow knows (`file://`, `s3://`, `gs://`).

        Raises:
            RequestError: the URI is malformed or of an unknown kind.
        """
        self._storage = Storage(uri)
        self.uri = self._storage.uri
        self.local_root = self._storage.local_root
        self.is_local = self.local_root is not None
        # Attempts never change once written, so that polling `states` reads only the new ones.
        self._outcomes: dict[str, tuple[State, str | None]] = {}
        self._warned: set[str] = set()

    def prepare(self) -> None:
        """Create the folder and make sure that results can be written to it.

        Raises:
            RequestError: it is not writable, or it holds results of a newer schema.
        """
        try:
            self._storage.probe("cells")
        except OSError as error:
            raise RequestError(
                f"Results cannot be written to {self.uri} ({error}). "
                "Name a writable folder with --results."
            ) from error
        self.states()

    def states(self) -> dict[str, CellState]:
        """Return the state of every cell that has a readable attempt, from one listing.

        Raises:
            RequestError: a file was written by a newer schema.
        """
        attempts = self._attempts()
        new = [path for _, path in attempts if path not in self._outcomes]
        for path, table in self._tables(new):
            self._outcomes[path] = (table["status"][0].as_py(), table["failure"][0].as_py())
        outcomes: dict[str, list[tuple[State, str | None]]] = {}
        for cell_id, path in attempts:
            if path in self._outcomes:
                outcomes.setdefault(cell_id, []).append(self._outcomes[path])
        return {
            cell_id: CellState(
                status=known[counting([status for status, _ in known])][0],
                attempts=len(known),
                failure=known[-1][1],
            )
            for cell_id, known in outcomes.items()
        }

    def write_attempt(self, attempt: Attempt) -> int:
        """Write an attempt under the next free number and return that number."""
        folder = f"cells/{attempt.cell_id}"
        taken = (_ATTEMPT.fullmatch(f"{attempt.cell_id}/{n}") for n in self._storage.names(folder))
        number = max((int(match["number"]) for match in taken if match), default=0) + 1
        # Another run on the same ledger may take the number between the listing and the writing.
        while not self._storage.write(
            f"{folder}/attempt-{number}.arrow",
            _to_bytes(attempt_table(attempt, number)),
            overwrite=False,
        ):
            number += 1
        return number

    def write_curves(self, cell_id: str, points: Sequence[CurvePoint]) -> None:
        """Write the cell's training curves, in place of earlier ones."""
        self._storage.write(f"cells/{cell_id}/curves.arrow", _to_bytes(curve_table(points)))

    def curves(self, cell_id: str) -> pa.Table:
        """Return the cell's training curves; an empty table if there are none."""
        payload = self._storage.read(f"cells/{cell_id}/curves.arrow")
        if payload is None:
            return CURVE_SCHEMA.empty_table()
        return pa.ipc.open_file(payload).read_all().select(CURVE_SCHEMA.names).cast(CURVE_SCHEMA)

    def write_examples(
        self, cell_id: str, examples: Examples, channels: Sequence[str] = ()
    ) -> None:
        """Write a few of the cell's predictions, in place of earlier ones.

        Args:
            cell_id: The cell.
            examples: The predictions.
            channels: Names of the target's channels, if they have any.
        """
        table = example_table(examples, channels)
        self._storage.write(f"cells/{cell_id}/examples.arrow", _to_bytes(table))

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions that the cell keeps, None if there are none.

        Raises:
            RequestError: they were written by a newer schema.
        """
        path = f"cells/{cell_id}/examples.arrow"
        payload = self._storage.read(path)
        if payload is None:
            return None
        try:
            return examples_in(self._open(path, payload))
        except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
            self._skip(path, f"it cannot be read ({error})")
            return None

    def read(self) -> pa.Table:
        """Return all rows of all attempts, sorted by cell and attempt, in `SCHEMA`.

        Raises:
            RequestError: a file was written by a newer schema.
        """
        tables = [table for _, table in self._tables([path for _, path in self._attempts()])]
        return pa.concat_tables(tables) if tables else SCHEMA.empty_table()

    def to_pandas(self) -> Any:
        """Return `read` as a pandas data frame."""
        return self.read().to_pandas()

    def find(self, prefix: str) -> str:
        """Return the id of the one cell that starts with `prefix`.

        Raises:
            RequestError: no cell does, or several do.
        """
        cells = sorted({cell_id for cell_id, _ in self._attempts()})
        found = [cell_id for cell_id in cells if cell_id.startswith(prefix)]
        if prefix in found:
            return prefix
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
            raise RequestError(
                f"'{prefix}' begins {len(found)} cells of {self.uri}: {shown}. Write more of it."
            )
        if len(cells) > 10:
            close = nearest(prefix, cells).rpartition("Known:")[0]
            raise RequestError(
                f"No cell of {self.uri} begins with '{prefix}'. {close}"
                f"`xmft export --to cells.csv` lists all {len(cells)}."
            )
        raise RequestError(
            f"No cell of {self.uri} begins with '{prefix}'. {nearest(prefix, cells)}"
        )

    def save_checkpoint(self, cell_id: str, payload: bytes) -> None:
        """Store the state of a running cell, in place of an earlier one."""
        self._storage.write(f"checkpoints/{cell_id}/state.pt", payload)

    def load_checkpoint(self, cell_id: str) -> bytes | None:
        """Return the state that was stored last, None if there is none."""
        payload = self._storage.read(f"checkpoints/{cell_id}/state.pt")
        return None if payload is None else payload.to_pybytes()

    def set_checkpoint_aside(self, cell_id: str) -> str | None:
        """Put the stored state under another name; return it, None if it was deleted instead."""
        path = f"checkpoints/{cell_id}/state.pt"
        return self._storage.set_aside(path, "damaged", most=_MOST_SET_ASIDE)

    def drop_checkpoint(self, cell_id: str) -> None:
        """Delete the stored state, if there is one."""
        self._storage.delete_folder(f"checkpoints/{cell_id}")

    def drop_scratch(self, folder: str) -> None:
        """Delete a folder that is not part of the ledger."""
        self._storage.delete_folder(folder)

    def _attempts(self) -> list[tuple[str, str]]:
        """Return cell id and path of every attempt, sorted by cell, then by number."""
        found = []
        for path in self._storage.files("cells"):
            match = _ATTEMPT.fullmatch(path)
            if match:
                found.append((match["cell"], int(match["number"]), f"cells/{path}"))
        return [(cell_id, path) for cell_id, _, path in sorted(found)]

    def _tables(self, paths: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        with ThreadPoolExecutor(_READERS) as pool:
            for path, table in zip(paths, pool.map(self._table, paths), strict=True):
                if table is not None:
                    yield path, table

    def _table(self, path: str) -> pa.Table | None:
        """Return one attempt's rows; None, with a warning, if the file cannot be used."""
        try:
            payload = self._storage.read(path)
            if payload is None:
                return None  # deleted between the listing and now
            table = self._open(path, payload).select(SCHEMA.names).cast(SCHEMA)
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            self._skip(path, f"it cannot be read ({error})")
            return None
        if not table.num_rows:
            self._skip(path, "it has no rows")
            return None
        return table

    def _open(self, path: str, payload: pa.Buffer) -> pa.Table:
        """Return the table of a file of this ledger; `ValueError` for foreign ones."""
        file = pa.ipc.open_file(payload)
        version = int((file.schema.metadata or {}).get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            raise RequestError(
                f"The ledger at {self.uri} was written by schema {version}, this version "
                f"reads up to {SCHEMA_VERSION}: upgrade xmft. (Found in {path}.)"
            )
        if version < 1:
            raise ValueError("it is an Arrow file, but not one of this ledger")
        return file.read_all()

    def _skip(self, path: str, why: str) -> None:
        if path not in self._warned:  # once, also where `states` is polled
            self._warned.add(path)
            logger.warning("Skipped %s/%s: %s.", self.uri, path, why)


def _to_bytes(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    # Rows of an attempt repeat its provenance, which compresses to almost nothing.
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()
