"""Makes the files of a page from a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from runner.ledgers import Results
from runner.repeat import record_of, way_again
from runner.report.compare import Leaderboard, build
from runner.report.plots.plot import NotDrawn, Plot
from runner.report.query import Query
from runner.report.select import chosen
from runner.report.site.board_parts import shown_board
from runner.report.site.cell_rows import as_columns, cell_rows
from runner.report.site.citations import cited
from runner.report.site.details import chunks, curves_in
from runner.report.site.json_text import plain
from runner.report.site.page import page_html, version_of
from runner.results import Result, results
from xmft.errors import RequestError

INDEX, VERSION = "index.html", "version.txt"
_DETAILS, _PLOTS = "cells", "plots"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a page is to show.

    Attributes:
        query: What its boards compare.
        published: Whether published numbers stand underneath.
        plots: Whether it has plots.
    """

    query: Query
    published: bool = True
    plots: bool = True


@dataclass(frozen=True)
class Builder:
    """Makes a page again and again, and reads again only what may have changed."""

    ledger: Results
    wanted: Wanted
    _curves: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)

    def files(self, *, patient: bool = False) -> dict[str, bytes]:
        """Return the files of the page by their paths in its folder.

        Args:
            patient: Show the cells that there are where there is nothing to compare yet, and say
                so, instead of an error.

        Raises:
            RequestError: there is nothing to compare, or the ledger cannot be read.
        """
        table = self.ledger.rows()
        boards: Sequence[Leaderboard] = ()
        cells: Sequence[Result] = ()
        notes: list[str] = []
        try:
            cells = self._cells(table)
            boards = build(table, self.wanted.query)
        except RequestError as error:
            if not patient:
                raise
            notes.append(str(error))
        rows = cell_rows(cells, boards)
        files: dict[str, bytes] = {}
        chunk_of: dict[str, str] = {}
        for name, text, cell_ids in chunks(table, rows, self._curves_of, self._again):
            files[f"{_DETAILS}/{name}"] = text.encode("ascii")
            chunk_of.update(dict.fromkeys(cell_ids, name.removesuffix(".js")))
        drawn = list(self._drawn(boards, table))
        for plot in drawn:
            if isinstance(plot, Plot):
                files[f"{_PLOTS}/{plot.name}.svg"] = plot.svg
                files[f"{_PLOTS}/{plot.name}.png"] = plot.png
        finished = max((cell.finished_at for cell in rows.cells), default=None)
        content = {
            "boards": [
                shown_board(board, rows.place, drawn, published=self.wanted.published)
                for board in boards
            ],
            "methods": cited("method", (cell.method for cell in rows.cells)),
            "suites": cited("suite", (cell.task.partition("/")[0] for cell in rows.cells)),
            "tasks": sorted({cell.task for cell in rows.cells}),
            "ledger": self.ledger.shown,
            "query": str(self.wanted.query),
            "command": _command(self.wanted),
            "finished": finished.strftime("%Y-%m-%d %H:%M UTC") if finished else "",
            "cells": len(rows.cells),
            "failed": sum(cell.state == "failed" for cell in rows.cells),
            "notes": notes,
        }
        html = page_html(content, plain(as_columns(rows, chunk_of)))
        return files | {INDEX: html, VERSION: version_of(html).encode()}

    def _cells(self, table: pa.Table) -> Sequence[Result]:
        """Return the cells of all protocols that the filters leave."""
        query = self.wanted.query
        return chosen(
            results(table, selection=query.selection, split=query.split),
            tasks=query.tasks,
            methods=query.methods,
            seeds=query.seeds,
        )

    def _again(self, facts: Mapping[str, Any]) -> str:
        return way_again(self.ledger, record_of(facts))

    def _curves_of(self, cell: Result) -> Mapping[str, Any]:
        # Curves are written before the attempt that they are of, and with each one anew.
        key = cell.cell_id, cell.attempts
        if key not in self._curves:
            self._curves[key] = curves_in(self.ledger.curves(cell.cell_id))
        return self._curves[key]

    def _drawn(self, boards: Sequence[Leaderboard], table: pa.Table) -> Iterator[Plot | NotDrawn]:
        """Yield the plots, each with a name that changes with its content, and what has none."""
        if not self.wanted.plots:
            return
        from runner.report.plots.collect import plots_and_reasons  # which loads matplotlib

        for one in plots_and_reasons(boards, table, self.ledger):
            if isinstance(one, NotDrawn):
                yield one
                continue
            digest = hashlib.sha256(one.name.encode() + one.svg).hexdigest()[:16]
            yield replace(one, name=f"{one.kind}-{digest}")


def _command(wanted: Wanted) -> str:
    """Return the command that makes the page."""
    without = [name for name in ("published", "plots") if not getattr(wanted, name)]
    return wanted.query.command(
        *(f"--no-{name}" for name in without), "--out", "DIR", verb="report"
    )
