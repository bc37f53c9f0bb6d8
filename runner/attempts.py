"""The attempts of a ledger, in whichever files they are.

Readers need no lock. They list the files of single attempts first and the compact files then: an
attempt whose own file is deleted before the first listing is in a compact file that is there in
the second, since none is deleted before another one that holds all its rows was read back. Where a
listed file is gone when it is opened, they look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from runner import compact_files
from runner.attempt_files import FILE, FileReader, stored_schema
from runner.numbering import ORDER, merged
from runner.results import State, counting
from xmft.errors import RequestError
from xmft.registry import nearest

# How often to look again where files vanish under the reader.
_LOOKS = 10
_STATE = (*ORDER, "status", "failure")


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


class Attempts:
    """Reads the attempts of a ledger."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        # Files never change once written, so that asking `states` again reads the new ones alone.
        self._seen: set[str] = set()
        self._firsts = stored_schema(_STATE).empty_table()
        self._compact_firsts: dict[str, pa.Table] = {}

    def states(self) -> dict[str, CellState]:
        """Return the state of every cell that has a readable attempt, from one listing."""
        for _ in range(_LOOKS):
            files = self._reader.listed()
            compacted = self._known_firsts()
            new, gone = self._reader.all(
                [file for file in files if file.path not in self._seen], _STATE, first=True
            )
            self._firsts = pa.concat_tables([self._firsts, new])
            self._seen.update(new[FILE].to_pylist())
            if not gone:
                break
        listed = pa.array([file.path for file in files], pa.string())
        loose = self._firsts.filter(pc.is_in(self._firsts[FILE], value_set=listed))
        return _states_in(merged([*compacted, loose]))

    def rows(self, columns: Sequence[str], *, cell_id: str | None = None) -> pa.Table:
        """Return some columns of all rows, sorted by cell and attempt; see `Ledger.rows`.

        `FILE` may be among the columns.
        """
        wanted = [name for name in dict.fromkeys((*columns, *ORDER)) if name != FILE]
        for _ in range(_LOOKS):
            # In this order: what is deleted after the listing is in a compact file before it.
            files = self._reader.listed() if cell_id is None else self._reader.listed_of(cell_id)
            compacted = self._compacted(wanted, cell_id=cell_id)
            loose, gone = self._reader.all(files, wanted)
            if not gone:
                break
        return merged([*compacted, loose]).select(list(columns))

    def highest(self, cell_id: str) -> int:
        """Return the highest number that an attempt at a cell has, 0 if there is none."""
        taken = [file.number for file in self._reader.listed_of(cell_id)]
        for table in self._compacted(["cell_id", "attempt"], cell_id=cell_id):
            taken += table["attempt"].to_pylist()
        return max(taken, default=0)

    def cell_ids(self) -> list[str]:
        """Return the ids of all cells that have an attempt, sorted."""
        known = {file.cell_id for file in self._reader.listed()}
        for table in self._compacted(["cell_id"]):
            known.update(pc.unique(table["cell_id"]).to_pylist())
        return sorted(known)

    def _compacted(self, columns: Sequence[str], *, cell_id: str | None = None) -> list[pa.Table]:
        """Return the rows of all compact files."""
        for _ in range(_LOOKS):
            names = compact_files.listed(self._reader)
            found = [
                compact_files.read(self._reader, name, columns, cell_id=cell_id) for name in names
            ]
            kept = [table for table in found if table is not None]
            if len(kept) == len(names):  # none was replaced meanwhile
                break
        return kept

    def _known_firsts(self) -> list[pa.Table]:
        """Return the first row of each attempt of all compact files."""
        for _ in range(_LOOKS):
            names = compact_files.listed(self._reader)
            for name in names:
                if name not in self._compact_firsts:
                    table = compact_files.read(self._reader, name, _STATE, first=True)
                    if table is not None:
                        self._compact_firsts[name] = table
            if all(name in self._compact_firsts for name in names):
                break
        return [self._compact_firsts[name] for name in names if name in self._compact_firsts]


def _states_in(attempts: pa.Table) -> dict[str, CellState]:
    outcomes: dict[str, list[tuple[State, str | None]]] = {}
    columns = (attempts[name].to_pylist() for name in ("cell_id", "status", "failure"))
    for cell_id, status, failure in zip(*columns, strict=True):
        outcomes.setdefault(cell_id, []).append((status, failure))
    return {
        cell_id: CellState(
            status=known[counting([status for status, _ in known])][0],
            attempts=len(known),
            failure=known[-1][1],
        )
        for cell_id, known in outcomes.items()
    }


def the_cell(prefix: str, cells: Sequence[str], shown: str) -> str:
    """Return the one of some cells whose id starts with `prefix`.

    Args:
        prefix: How the id begins.
        cells: All ids.
        shown: Where they are, for people.

    Raises:
        RequestError: no cell does, or several do.
    """
    found = [cell_id for cell_id in cells if cell_id.startswith(prefix)]
    if prefix in found:
        return prefix
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise RequestError(
            f"'{prefix}' begins {len(found)} cells of {shown}: {told}. Write more of it."
        )
    more = ""
    close = nearest(prefix, cells)
    if len(cells) > 10:
        close = close.rpartition("Known:")[0]
        more = f"`xmft export --to cells.csv` lists all {len(cells)}."
    raise RequestError(f"No cell of {shown} begins with '{prefix}'. {close}{more}")
