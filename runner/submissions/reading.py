"""A submission: the results of a lab in one signed-off file, that another lab can check and merge.

It is a Parquet file with the rows of a ledger in their schema, and two columns more: the first row
of a cell has its training curves and, where they were asked for, its examples as an Arrow file. In
the metadata of the file stands the statement, a JSON object: who, when, with which code, which
cells, the digests of each cell's rows, curves and examples (`runner.submissions.digests`), and
those of the files that they were in the ledger. A second key holds the sha256 of the statement.

Digests tell an edit or a damage. They do not tell a forger who makes them anew; to run a cell again
does (`runner.submissions.rerun`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import (
    LONG_TEXTS,
    FileReader,
    conformed,
    encoded,
)
from runner.attempts import the_cell
from runner.example_table import NamedExamples, examples_in
from runner.schema import CURVE_SCHEMA, SCHEMA
from runner.storage import Storage
from runner.submissions.content import CURVES, EXAMPLES, wrong_cells, wrong_columns
from runner.submissions.digests import cell_digests, table_digest
from runner.submissions.statement import Unusable, statement_of
from runner.uri import split
from xmft.errors import RequestError

ENDING = ".parquet"


class Submission:
    """Reads a submission as if it were a ledger.

    Attributes:
        shown: The file for people.
        local_root: None: nothing is written beside it.
        skipped: Nothing: it is used whole or not at all.
    """

    local_root: Path | None = None
    skipped: tuple[str, ...] = ()

    def __init__(self, place: str | Path) -> None:
        """Point at a file; it is read when it is asked.

        Args:
            place: A local path, or any URI that pyarrow knows.

        Raises:
            RequestError: the URI is malformed or of an unknown kind.
        """
        folder, self._name = split(str(place))
        self._storage = Storage(folder)
        self._reader = FileReader(self._storage)
        self.shown = self._storage.shown_of(self._name)
        self.uri = self._storage.uri_of(self._name)
        self._content: tuple[dict[str, Any], pa.Table] | None = None
        self._places: dict[str, int] = {}

    @property
    def statement(self) -> dict[str, Any]:
        """What was signed off.

        Raises:
            RequestError: as `rows`.
        """
        return self._whole()[0]

    def content(self) -> tuple[dict[str, Any], pa.Table]:
        """Return statement and table as they are in the file, whether or not they fit together.

        Raises:
            RequestError: there is no such file, or it was written by a newer schema.
            Unusable: it is no submission.
        """
        try:
            payload = self._storage.read(self._name)
        except OSError as error:
            raise RequestError(
                f"{self.shown} cannot be read ({self._storage.told(error)})."
            ) from None
        if payload is None:
            raise RequestError(f"There is no file {self.shown}: --results and FILE name one.")
        table = _opened(payload)
        statement = statement_of(table.schema)
        self._reader.check_version(self._name, table.schema)
        problem = next(wrong_columns(table, statement), None)
        if problem is not None:
            raise Unusable(problem)
        return statement, table

    def rows(
        self, columns: Sequence[str] = tuple(SCHEMA.names), *, cell_id: str | None = None
    ) -> pa.Table:
        """Return what `Ledger.rows` does.

        Raises:
            RequestError: the file is not there, no submission, or not as it was signed off.
        """
        table = self._whole()[1]
        if cell_id is not None:
            table = table.filter(pc.equal(table["cell_id"], cell_id))
        return encoded(conformed(table, columns, as_stored=LONG_TEXTS))

    def read(self, *, cell_id: str | None = None) -> pa.Table:
        """Return what `Ledger.read` does; see `rows`."""
        return self.rows(cell_id=cell_id).cast(SCHEMA)

    def cell_ids(self) -> list[str]:
        """Return the ids of all cells, sorted; see `rows`."""
        return sorted(pc.unique(self._whole()[1]["cell_id"]).to_pylist())

    def find(self, prefix: str) -> str:
        """Return the id of the one cell that starts with `prefix`.

        Raises:
            RequestError: no cell does, or several do; or as `rows`.
        """
        return the_cell(prefix, self.cell_ids(), self.shown)

    def curves(self, cell_id: str) -> pa.Table:
        """Return the cell's training curves; an empty table if there are none; see `rows`."""
        return curves_in(self._first(cell_id, CURVES))

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions that the cell keeps, None if there are none; see `rows`."""
        payload = self._first(cell_id, EXAMPLES)
        if payload is None:
            return None
        try:
            return examples_of(payload)
        except Unusable as error:
            raise RequestError(
                f"The examples of cell {cell_id} in {self.shown} cannot be read ({error}). Ask for "
                "the file again."
            ) from None

    def _first(self, cell_id: str, column: str) -> Any:
        table = self._whole()[1]
        if not self._places:
            cells = table["cell_id"].to_pylist()
            self._places = {cell: row for row, cell in reversed(list(enumerate(cells)))}
        return table[column][self._places[cell_id]].as_py() if cell_id in self._places else None

    def _whole(self) -> tuple[dict[str, Any], pa.Table]:
        """Return statement and table once they were found to be as they were signed off."""
        if self._content is None:
            try:
                statement, table = self.content()
                problems = chain(differences(statement, table), wrong_cells(table))
                problem = next(problems, None)
                if problem is not None:
                    raise Unusable(problem)
            except ValueError as error:
                raise RequestError(
                    f"{self.shown} is no submission that can be used: {error}. Ask for the file "
                    "again; `xmft verify-results` lists all that is wrong with one."
                ) from None
            self._content = statement, table
        return self._content


def is_submission(place: str) -> bool:
    """Tell whether results are those of a submitted file, by its name."""
    path = place.partition("?")[0] if "://" in place else place
    if not path.endswith(ENDING):
        return False
    try:
        return not Path(place).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # no name of this machine: opening it says so
        return True


def curves_in(points: list[dict[str, Any]] | None) -> pa.Table:
    """Return the curves of a cell from the value of its column."""
    return pa.Table.from_pylist(points or [], schema=CURVE_SCHEMA)


def examples_of(payload: bytes) -> NamedExamples:
    """Return the examples of a cell from the value of their column.

    Raises:
        Unusable: they cannot be read.
    """
    try:
        table = pa.ipc.open_file(pa.py_buffer(payload)).read_all()
        table.validate(full=True)
        return examples_in(table)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        raise Unusable(" ".join(str(error).split())[:200]) from None


def digests_of(table: pa.Table, columns: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Return of each cell of a submission the digests of its rows, curves and examples.

    Args:
        table: With the columns of `EXTRA`.
        columns: Of the ledger, that it was written with.
    """
    found: dict[str, dict[str, str | None]] = {
        cell_id: {"rows": digest, CURVES: None, EXAMPLES: None}
        for cell_id, digest in cell_digests(table, columns).items()
    }
    said = table.select(["cell_id", CURVES, EXAMPLES])
    said = said.filter(pc.field(CURVES).is_valid() | pc.field(EXAMPLES).is_valid())
    for row in said.to_pylist():
        own = found[row["cell_id"]]
        for name, digest in (
            (CURVES, lambda value: table_digest(curves_in(value))),
            (EXAMPLES, lambda value: hashlib.sha256(value).hexdigest()),
        ):
            if row[name] is not None:
                # Curves stand in one row alone: a second one is an edit, whatever it says.
                own[name] = digest(row[name]) if own[name] is None else "more than one"
    return found


def differences(statement: dict[str, Any], table: pa.Table) -> Iterator[str]:
    """Yield in what a table is not what was signed off, each as half a sentence."""
    signed: dict[str, Any] = statement["cells"]
    found = digests_of(table, statement["columns"])
    for cell_id in sorted(signed.keys() | found.keys()):
        if cell_id not in found:
            yield f"the rows of cell {cell_id} are missing"
        elif cell_id not in signed:
            yield f"cell {cell_id} was added"
        else:
            parts = [
                name
                for name, digest in found[cell_id].items()
                if signed[cell_id].get(name) != digest
            ]
            if parts:
                yield f"{' and '.join(parts)} of cell {cell_id} were changed"


def _opened(payload: pa.Buffer) -> pa.Table:
    from pyarrow import parquet

    head = bytes(payload[:64]).lstrip()
    if head[:1] == b"<":
        raise Unusable("it is a web page or XML, found '<' at its beginning, not a Parquet file")
    if head[:4] != b"PAR1":
        raise Unusable("it is no Parquet file, which begins with 'PAR1'")
    try:
        file = parquet.ParquetFile(pa.BufferReader(payload), page_checksum_verification=True)
        table = file.read()
        table.validate(full=True)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise Unusable(f"it is cut off or damaged ({' '.join(str(error).split())[:200]})") from None
    return table
