"""Several ledgers read as one: of two labs, of two revisions, folders and submitted files.

An attempt that is in several of them, with the same times and the same scores, counts once: it was
copied or submitted. Other attempts at one cell are all kept, and numbered by when they finished, so
that what counts is what counts in one ledger: the latest one that is ok. Of two that finished in
the same microsecond the one of the ledger that was named first counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempts import the_cell
from runner.conflicts import LEDGER
from runner.example_table import NamedExamples
from runner.ledger import Ledger
from runner.merging import CONTENT, PLACE, holders, one_numbering
from runner.numbering import ORDER
from runner.schema import CURVE_SCHEMA, SCHEMA
from runner.submissions.reading import Submission, is_submission
from runner.uri import TOGETHER
from xmft.errors import RequestError

# What the ledgers may differ in and a reader of their numbers should know.
_MADE_WITH = ("git_revision", "versions", "device")


class Results(Protocol):
    """What is read of results, whether they are one ledger, several, or a submitted file.

    Attributes:
        shown: Where they are, for people.
        local_root: Their folder, None where there is none on this machine.
        skipped: The files that could not be read so far, for people.
    """

    @property
    def shown(self) -> str:
        """Where they are."""

    @property
    def local_root(self) -> Path | None:
        """Their folder."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be read."""

    def rows(self, columns: Sequence[str] = ..., *, cell_id: str | None = None) -> pa.Table:
        """See `Ledger.rows`."""

    def read(self, *, cell_id: str | None = None) -> pa.Table:
        """See `Ledger.read`."""

    def curves(self, cell_id: str) -> pa.Table:
        """See `Ledger.curves`."""

    def examples(self, cell_id: str) -> NamedExamples | None:
        """See `Ledger.examples`."""

    def find(self, prefix: str) -> str:
        """See `Ledger.find`."""


def open_results(places: Sequence[str | Path]) -> Results:
    """Return the results at one place or several; files that cannot be read are skipped.

    Args:
        places: Folders, URIs, submitted files; one that is named twice counts once.

    Raises:
        RequestError: a place cannot be opened, or one of several does not exist.
    """
    parts = {str(place): _opened(str(place)) for place in places}
    unique = list({_key(part): part for part in reversed(parts.values())}.values())[::-1]
    if not unique:
        raise RequestError("No results are named: --results takes folders, URIs and files.")
    if len(unique) == 1:
        return unique[0]
    for part in unique:
        if part.local_root is not None and not part.local_root.is_dir():
            raise RequestError(
                f"There are no results at {part.shown}: --results names folders that exist."
            )
    return Ledgers(unique)


def ledger_at(place: str, option: str) -> Ledger:
    """Return the one ledger that an option names; files that cannot be read are skipped.

    Raises:
        RequestError: it is a file, or there is none.
    """
    part = _opened(place)
    if isinstance(part, Submission):
        raise RequestError(
            f"{part.shown} is a submitted file, which {option} does not take: name the folder or "
            "the URI of a ledger."
        )
    if part.local_root is not None and not part.local_root.is_dir():
        raise RequestError(
            f"There are no results at {part.shown}: {option} names a folder or a URI of results, "
            "which `xmft run` fills."
        )
    return part


def parts_of(results: Results) -> Sequence[Results]:
    """Return the ledgers and files that results are read from, one or several."""
    return results.parts if isinstance(results, Ledgers) else (results,)


class Ledgers:
    """Reads several ledgers as one.

    Attributes:
        parts: The ledgers, as they were named.
        shown: Where they are, for people.
        local_root: None: nothing is written into other people's ledgers.
    """

    local_root: Path | None = None

    def __init__(self, parts: Sequence[Ledger | Submission]) -> None:
        self.parts = tuple(parts)
        self.shown = TOGETHER.join(part.shown for part in parts)
        self._notes: tuple[str, ...] | None = None
        # By cell, the places of those that have it, that of the attempt that counts first.
        self._held: dict[str, list[int]] = {}

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be read so far, for people; each was told once."""
        return tuple(path for part in self.parts for path in part.skipped)

    def rows(
        self, columns: Sequence[str] = tuple(SCHEMA.names), *, cell_id: str | None = None
    ) -> pa.Table:
        """Return what `Ledger.rows` does, with a column `ledger` that says whose a row is.

        Raises:
            RequestError: a file was written by a newer schema, or is not what was submitted.
        """
        wanted = dict.fromkeys((*columns, *ORDER, *CONTENT))
        if cell_id is None:
            wanted |= dict.fromkeys(_MADE_WITH)
        tables = []
        for place, part in enumerate(self.parts):
            rows = part.rows(list(wanted), cell_id=cell_id)
            tables.append(rows.append_column(PLACE, pa.array([place] * len(rows), pa.int32())))
        whole = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        if cell_id is None and self._notes is None:
            self._notes = tuple(self._told(whole))
        whole = one_numbering(whole)
        if cell_id is None:
            self._held = holders(whole)
        whole = whole.sort_by([("cell_id", "ascending"), ("attempt", "ascending")])
        names = pa.array([part.shown for part in self.parts], pa.string())
        column = pa.DictionaryArray.from_arrays(whole[PLACE].combine_chunks(), names)
        return whole.select(list(columns)).append_column(LEDGER, column)

    def read(self, *, cell_id: str | None = None) -> pa.Table:
        """Return what `Ledger.read` does; see `rows`."""
        return self.rows(cell_id=cell_id).select(SCHEMA.names).cast(SCHEMA)

    def find(self, prefix: str) -> str:
        """Return the id of the one cell of any of them that starts with `prefix`.

        Raises:
            RequestError: no cell does, or several do.
        """
        return the_cell(prefix, self.cell_ids(), self.shown)

    def cell_ids(self) -> list[str]:
        """Return the ids of all cells, sorted."""
        return sorted({cell for part in self.parts for cell in _cell_ids(part)})

    def curves(self, cell_id: str) -> pa.Table:
        """Return the training curves of the attempt that counts, or of another one."""
        found = (part.curves(cell_id) for part in self._holders(cell_id))
        return next((table for table in found if table.num_rows), CURVE_SCHEMA.empty_table())

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions of the attempt that counts, or of another one."""
        found = (part.examples(cell_id) for part in self._holders(cell_id))
        return next((examples for examples in found if examples is not None), None)

    def holder(self, cell_id: str) -> Ledger | Submission:
        """Return the ledger whose attempt at a cell counts."""
        return self._holders(cell_id)[0]

    def notes(self) -> tuple[str, ...]:
        """Return what one should know of the ledgers beside one another."""
        if self._notes is None:
            self.rows(["cell_id"])
        return self._notes or ()

    def _holders(self, cell_id: str) -> list[Ledger | Submission]:
        """Return all ledgers, that whose attempt at a cell counts first."""
        if not self._held:
            self.rows(["cell_id"])
        first = self._held.get(cell_id, [])
        places = [*first, *(n for n in range(len(self.parts)) if n not in first)]
        return [self.parts[place] for place in places]

    def _told(self, whole: pa.Table) -> Iterator[str]:
        pairs = whole.select(["cell_id", PLACE]).group_by(["cell_id", PLACE]).aggregate([])
        held = pairs[PLACE].to_pylist()
        counts = ", ".join(
            f"{part.shown} ({held.count(place)} cells)" for place, part in enumerate(self.parts)
        )
        both = len(held) - len(pc.unique(pairs["cell_id"]))
        text = f"{len(self.parts)} ledgers: {counts}"
        if both:
            text += (
                "; of a cell that several have, the attempt that is ok and finished last counts, "
                "and other values are told"
            )
        yield text
        for what, said in self._made_with(whole).items():
            known = [own for own in said if own]
            if any(own != known[0] for own in known):
                told = ", ".join(
                    f"{' '.join(sorted(own))} ({part.shown})"
                    for own, part in zip(said, self.parts, strict=True)
                    if own
                )
                yield f"the ledgers were made with another {what}: {told}"

    def _made_with(self, whole: pa.Table) -> dict[str, list[set[str]]]:
        """Return what ledgers are made with, revision and device first, as each of them says it."""
        revisions, versions, devices = (self._values(whole, name) for name in _MADE_WITH)
        found = {"revision": [{text[:12] for text in own} for own in revisions], "device": devices}
        libraries: dict[str, list[set[str]]] = {}
        for place, texts in enumerate(versions):
            for text in texts:
                for library, version in json.loads(text).items():
                    empty: list[set[str]] = [set() for _ in self.parts]
                    libraries.setdefault(library, empty)[place].add(str(version))
        return found | dict(sorted(libraries.items()))

    def _values(self, whole: pa.Table, name: str) -> list[set[str]]:
        """Return the values that each ledger has in a column."""
        pairs = whole.select([name, PLACE]).group_by([name, PLACE]).aggregate([])
        found: list[set[str]] = [set() for _ in self.parts]
        for value, place in zip(pairs[name].to_pylist(), pairs[PLACE].to_pylist(), strict=True):
            if value is not None:
                found[place].add(value)
        return found


def _opened(place: str) -> Ledger | Submission:
    if is_submission(place):
        return Submission(place)
    part = Ledger(place, lenient=True)
    if part.local_root is not None and part.local_root.is_file():
        raise RequestError(
            f"{part.shown} is a file: results are a folder, a URI, or a file of "
            "`xmft submit-results`, which ends in .parquet."
        )
    return part


def _key(part: Ledger | Submission) -> str:
    """Return what two names of the same place have in common."""
    if "://" in part.uri:
        return part.uri
    return str(Path(part.uri).resolve())


def _cell_ids(part: Ledger | Submission) -> list[str]:
    return part.attempts.cell_ids() if isinstance(part, Ledger) else part.cell_ids()
