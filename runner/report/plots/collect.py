"""All plots that can be made of some boards and the ledger behind them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import pyarrow as pa

from runner.example_table import NamedExamples
from runner.names import wrong_with
from runner.report.compare import Leaderboard, TaskColumn
from runner.report.plots import (
    bound,
    critical,
    curves,
    error_taken,
    errors,
    fields,
    profiles,
    samples,
    spectra,
)
from runner.report.plots.plot import KINDS, NotDrawn, Plot
from runner.report.plots.rendering import Drawing, house_style, rendered
from runner.report.study.bound import Terms, measured_terms
from xmft.errors import RequestError
from xmft.registry import nearest

_LONGEST = 50  # characters of a part of a file's name, which may take four bytes each


class Kept(Protocol):
    """What keeps curves and examples of cells, such as a ledger."""

    def curves(self, cell_id: str) -> pa.Table:
        """Return the cell's training curves; an empty table if there are none."""

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions that the cell keeps, None if there are none."""


def plots(
    boards: Sequence[Leaderboard], table: pa.Table, ledger: Kept, kinds: Collection[str] = ()
) -> Iterator[Plot]:
    """Yield every plot that can be drawn, board by board; those of a task with its first board.

    Args:
        boards: The boards.
        table: Rows of the ledger that they were made of, with the columns that terms of the bound
            are read from (`Ledger.read` has all).
        ledger: What keeps curves and examples of its cells.
        kinds: The kinds to draw, of `KINDS`; empty for all.

    Raises:
        RequestError: there is no such kind.
    """
    found = plots_and_reasons(boards, table, ledger, kinds)
    return (one for one in found if isinstance(one, Plot))


def plots_and_reasons(
    boards: Sequence[Leaderboard], table: pa.Table, ledger: Kept, kinds: Collection[str] = ()
) -> Iterator[Plot | NotDrawn]:
    """Yield what `plots` does, and the reason for each plot that cannot be drawn.

    Raises:
        RequestError: there is no such kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise RequestError(f"There are no plots '{kind}'. {nearest(kind, KINDS)}")
    return _all(boards, _Source(table=table, ledger=ledger), kinds)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What boards were made of."""

    table: pa.Table
    ledger: Kept

    @cached_property
    def terms(self) -> dict[str, Terms]:
        return measured_terms(self.table)


_Drawn = Iterator[Drawing | NotDrawn]
_Columns = Sequence[TaskColumn]


def _by_task(
    board: Leaderboard,
    columns: _Columns,
    kind: str,
    draw: Callable[[TaskColumn], Drawing | NotDrawn],
) -> _Drawn:
    """Yield a drawing per task; what cannot be read of one does not keep back the others."""
    for column in columns:
        try:
            yield draw(column)
        except RequestError as error:  # such as a file of a newer schema
            yield NotDrawn(kind=kind, reason=str(error), board=board.name, task=column.task)


def _curves(board: Leaderboard, columns: _Columns, source: _Source) -> _Drawn:
    read = source.ledger.curves
    return _by_task(board, columns, curves.KIND, lambda of: curves.curves(board, of, read))


def _spectra(board: Leaderboard, columns: _Columns, source: _Source) -> _Drawn:
    read = source.ledger.examples
    return _by_task(board, columns, spectra.KIND, lambda of: spectra.spectra(board, of, read))


def _fields(board: Leaderboard, columns: _Columns, source: _Source) -> _Drawn:
    try:
        yield from fields.fields(board, columns, source.table, source.ledger.examples)
    except RequestError as error:
        yield NotDrawn(kind=fields.KIND, reason=str(error), board=board.name)


# Of a board and those of its tasks that no board before it has.
_MAKERS: dict[str, Callable[[Leaderboard, _Columns, _Source], _Drawn]] = {
    critical.KIND: lambda board, *_: iter([critical.critical_differences(board)]),
    profiles.KIND: lambda board, *_: iter([profiles.profiles(board)]),
    errors.KIND: lambda board, *_: iter([errors.errors(board)]),
    **{
        taken.kind: lambda board, *_, taken=taken: iter([error_taken.error_taken(board, taken)])
        for taken in (error_taken.TIME, error_taken.DEVICE_TIME, error_taken.COMPUTE)
    },
    samples.KIND: lambda board, *_: iter([samples.samples(board)]),
    curves.KIND: _curves,
    fields.KIND: _fields,
    spectra.KIND: _spectra,
    bound.KIND: lambda board, _, source: iter([bound.bound(board, source.terms)]),
}


def _all(
    boards: Sequence[Leaderboard], source: _Source, kinds: Collection[str]
) -> Iterator[Plot | NotDrawn]:
    taken: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for board in boards:
        columns = [of for of in board.tasks if (of.task, of.origin or board.origin) not in seen]
        seen |= {(of.task, of.origin or board.origin) for of in columns}
        for kind in KINDS:
            if kinds and kind not in kinds:
                continue
            with house_style():
                found = _MAKERS[kind](board, columns, source)
            while (drawing := _next(found)) is not None:
                if isinstance(drawing, NotDrawn):
                    yield drawing
                    continue
                name = file_name(drawing.name)
                taken[name.lower()] += 1
                if taken[name.lower()] > 1:  # names may differ in what no file name can hold
                    name += f"-{taken[name.lower()]}"
                yield rendered(replace(drawing, name=name))


def _next(found: _Drawn) -> Drawing | NotDrawn | None:
    with house_style():  # which must not reach whoever takes the plots
        return next(found, None)


def file_name(name: str) -> str:
    """Return a name as a path that stays in its folder on every file system."""
    parts = [re.sub(r"[^\w.=-]", "_", part)[:_LONGEST].strip(".") for part in name.split("/")]
    plain = "/".join(part or "_" for part in parts)
    return plain if wrong_with(plain, slashes=True) is None else re.sub(r"(^|/)", r"\1_", plain)
