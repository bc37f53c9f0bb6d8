"""The folder of results: one small Arrow file per attempt at a cell, written whole.

The ledger is the truth: a cell is done when an attempt with status ok exists, and a file that was
being written when the power went is simply not there. Many attempts are compacted into one file
(`runner.compaction`). Any Arrow reader reads both:

    from glob import glob
    import pyarrow.dataset as ds
    kinds = {"ipc": "cells/*/attempt-*.arrow", "parquet": "compact-*.parquet"}
    found = {kind: glob(f"results/{names}") for kind, names in kinds.items()}
    table = ds.dataset([ds.dataset(found[k], format=k) for k in found if found[k]]).to_table()
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from runner.attempt_files import FOLDER, UNNUMBERED, FileReader, numbered_name, unique_name
from runner.attempt_files import to_bytes as _to_bytes
from runner.attempts import Attempts, CellState, the_cell
from runner.example_table import NamedExamples, example_table, examples_in
from runner.schema import CURVE_SCHEMA, SCHEMA, Attempt, attempt_table, curve_table
from runner.storage import Storage
from xmft.errors import RequestError, XmftError
from xmft.examples import Examples
from xmft.task import CurvePoint

# A writer waits so long for a folder that is full, read-only or away: for somebody who makes room,
# or a file system that comes back.
PAUSES_S = (0.5, 1.0, 2.0)
# Of one cell: what damages more of them than these will damage the next one too.
_MOST_SET_ASIDE = 3


class LedgerError(XmftError):
    """Results cannot be written: the folder is full, read-only or gone. Not the cell's fault."""


class Ledger:
    """Reads and writes a folder of results.

    Attributes:
        uri: The folder: an absolute path, or the URI of an object store; for programs alone, since
            it may hold keys.
        shown: The folder for people.
        is_local: Whether the folder is on a file system of this machine.
        local_root: The folder as a path, None for an object store.
        storage: The folder as files.
        reader: What reads its small files.
        attempts: What reads its attempts.
    """

    def __init__(self, uri: str | Path, *, lenient: bool = False) -> None:
        """Point at a folder; nothing is created yet.

        Args:
            uri: A local path, or any URI that pyarrow knows (`file://`, `s3://`, `gs://`).
            lenient: Whether to go on without a compact file that cannot be read, as without other
                files: for those who only look.

        Raises:
            RequestError: the URI is malformed or of an unknown kind.
        """
        self.storage = Storage(uri)
        self.reader = FileReader(self.storage, lenient=lenient)
        self.uri, self.shown = self.storage.uri, self.storage.shown
        self.local_root = self.storage.local_root
        self.is_local = self.local_root is not None
        self.attempts = Attempts(self.reader)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be read so far, for people; each was told once."""
        return self.reader.skipped

    def prepare(self) -> None:
        """Create the folder and make sure that results can be written to it.

        Raises:
            RequestError: it is not writable, or it holds results of a newer schema.
        """
        try:
            self.storage.probe(FOLDER)
        except OSError as error:
            raise RequestError(
                f"Results cannot be written to {self.shown} ({self.storage.told(error)}). "
                "Name a writable folder with --results."
            ) from None
        self.states()

    def states(self) -> dict[str, CellState]:
        """Return the state of every cell that has a readable attempt, from one listing.

        Raises:
            RequestError: a file was written by a newer schema.
        """
        return self.attempts.states()

    def write_attempt(self, attempt: Attempt) -> int:
        """Write an attempt under the next free number and return that number.

        On an object store attempts are numbered as they are read, and `UNNUMBERED` is returned.

        Raises:
            LedgerError: it cannot be written.
        """
        cell_id = attempt.cell_id
        if self.storage.is_object_store:
            payload = _to_bytes(attempt_table(attempt, UNNUMBERED))
            self._write(f"{FOLDER}/{unique_name(cell_id)}", payload)
            return UNNUMBERED
        number = self.attempts.highest(cell_id) + 1
        # Another run on the same ledger may take the number between the listing and the writing.
        while not self._write(
            f"{FOLDER}/{numbered_name(cell_id, number)}",
            _to_bytes(attempt_table(attempt, number)),
            overwrite=False,
        ):
            number += 1
        return number

    def write_curves(self, cell_id: str, points: Sequence[CurvePoint]) -> None:
        """Write the cell's training curves, in place of earlier ones.

        Raises:
            LedgerError: they cannot be written.
        """
        self._write(self.places("curves", cell_id)[0], _to_bytes(curve_table(points)))

    def curves(self, cell_id: str) -> pa.Table:
        """Return the cell's training curves; an empty table if there are none.

        Raises:
            RequestError: they were written by a newer schema.
        """
        for path in self.places("curves", cell_id):
            table = self._kept(path)
            if table is not None:
                try:
                    return table.select(CURVE_SCHEMA.names).cast(CURVE_SCHEMA)
                except (pa.ArrowException, KeyError) as error:
                    self.reader.skip(path, f"it cannot be read ({error})")
        return CURVE_SCHEMA.empty_table()

    def write_examples(
        self, cell_id: str, examples: Examples, channels: Sequence[str] = ()
    ) -> None:
        """Write a few of the cell's predictions, in place of earlier ones.

        Args:
            cell_id: The cell.
            examples: The predictions.
            channels: Names of the target's channels, if they have any.

        Raises:
            LedgerError: they cannot be written.
        """
        table = example_table(examples, channels)
        self._write(self.places("examples", cell_id)[0], _to_bytes(table))

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions that the cell keeps, None if there are none.

        Raises:
            RequestError: they were written by a newer schema.
        """
        for path in self.places("examples", cell_id):
            table = self._kept(path)
            if table is not None:
                try:
                    return examples_in(table)
                except (pa.ArrowException, KeyError, ValueError, AttributeError) as error:
                    self.reader.skip(path, f"it cannot be read ({error})")
        return None

    def read(self, *, cell_id: str | None = None) -> pa.Table:
        """Return all rows of all attempts, sorted by cell and attempt, in `SCHEMA`.

        Args:
            cell_id: The only cell whose rows to return; None for all.

        Raises:
            RequestError: a file was written by a newer schema.
        """
        return self.rows(cell_id=cell_id).cast(SCHEMA)

    def rows(
        self, columns: Sequence[str] = tuple(SCHEMA.names), *, cell_id: str | None = None
    ) -> pa.Table:
        """Return what `read` does, of some columns, and its long texts as dictionaries.

        Texts that are the same in all rows of an attempt are then in memory once.

        Args:
            columns: Of `SCHEMA`.
            cell_id: The only cell whose rows to return; None for all.

        Raises:
            RequestError: a file was written by a newer schema.
        """
        return self.attempts.rows(columns, cell_id=cell_id)

    def to_pandas(self) -> Any:
        """Return `read` as a pandas data frame."""
        return self.read().to_pandas()

    def find(self, prefix: str) -> str:
        """Return the id of the one cell that starts with `prefix`.

        Raises:
            RequestError: no cell does, or several do.
        """
        return the_cell(prefix, self.attempts.cell_ids(), self.shown)

    def save_checkpoint(self, cell_id: str, payload: bytes) -> None:
        """Store the state of a running cell, in place of an earlier one.

        Raises:
            LedgerError: it cannot be written; once tried, for the training waits.
        """
        self._write(f"checkpoints/{cell_id}/state.pt", payload, once=True)

    def load_checkpoint(self, cell_id: str) -> bytes | None:
        """Return the state that was stored last, None if there is none."""
        payload = self.storage.read(f"checkpoints/{cell_id}/state.pt")
        return None if payload is None else payload.to_pybytes()

    def set_checkpoint_aside(self, cell_id: str) -> str | None:
        """Put the stored state under another name; return it, None if it was deleted instead."""
        folder = f"checkpoints/{cell_id}"
        with contextlib.suppress(OSError, RequestError):
            names = self.storage.names(folder)
            kept = f"{folder}/damaged-{sum(name.startswith('damaged-') for name in names) + 1}.pt"
            if "state.pt" in names and len(names) <= _MOST_SET_ASIDE:
                self.storage.move(f"{folder}/state.pt", kept)
                return f"{self.shown}/{kept}"
            self.storage.delete(f"{folder}/state.pt")
        return None

    def drop_checkpoint(self, cell_id: str) -> None:
        """Delete the stored state, if there is one; what cannot be deleted only takes room."""
        with contextlib.suppress(OSError):
            self.storage.delete_folder(f"checkpoints/{cell_id}")

    def scratch(self, run: str) -> str:
        """Return the URI of a folder for files of a run that are not part of the ledger."""
        return self.storage.uri_of(f"ray-{run}")

    def drop_scratch(self, run: str) -> None:
        """Delete that folder, if it is there."""
        self.storage.delete_folder(f"ray-{run}")

    def places(self, kind: str, cell_id: str) -> tuple[str, str]:
        """Return where curves or examples of a cell may be, the newest first."""
        # Beside the attempts, until these are compacted. On an object store, where a file is not
        # renamed, they are at once where they stay.
        beside, stay = f"{FOLDER}/{cell_id}/{kind}.arrow", f"{kind}/{cell_id}.arrow"
        return (stay, beside) if self.storage.is_object_store else (beside, stay)

    def _kept(self, path: str) -> pa.Table | None:
        """Return the table of a file; None, with a warning where it cannot be read."""
        try:
            payload = self.storage.read(path)
            return None if payload is None else self.reader.open(path, payload)
        except (OSError, pa.ArrowException, ValueError) as error:
            self.reader.skip(path, f"it cannot be read ({self.storage.told(error)})")
            return None

    def _write(
        self, path: str, payload: bytes | pa.Buffer, *, overwrite: bool = True, once: bool = False
    ) -> bool:
        for pause in (None,) if once else (*PAUSES_S, None):
            try:
                if self.local_root is not None and not self.local_root.exists():
                    raise FileNotFoundError("the folder does not exist")
                return self.storage.write(path, payload, overwrite=overwrite)
            except OSError as error:
                if pause is None:
                    raise LedgerError(
                        f"Results cannot be written to {self.shown} ({self.storage.told(error)}). "
                        "Make room there, or the folder writable, and run the same command again."
                    ) from None
                time.sleep(pause)
        raise AssertionError("unreachable")
