"""All plots that can be made of some boards and the ledger behind them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from runner.example_table import NamedExamples
from runner.report.compare import Leaderboard
from runner.report.plots.error_time import error_time
from runner.report.plots.errors import errors
from runner.report.plots.plot import KINDS, NotDrawn, Plot
from runner.report.plots.profiles import profiles
from runner.report.plots.rendering import Drawing, house_style, rendered
from xmft.errors import RequestError
from xmft.registry import nearest


class Kept(Protocol):
    """What keeps curves and examples of cells, such as a ledger."""

    def curves(self, cell_id: str) -> pa.Table:
        """Return the cell's training curves; an empty table if there are none."""

    def examples(self, cell_id: str) -> NamedExamples | None:
        """Return the predictions that the cell keeps, None if there are none."""


def plots(
    boards: Sequence[Leaderboard], table: pa.Table, ledger: Kept, kinds: Collection[str] = ()
) -> Iterator[Plot]:
    """Yield every plot that can be drawn, board by board.

    Args:
        boards: The boards.
        table: Rows of the ledger that they were made of.
        ledger: What keeps curves and examples of its cells.
        kinds: The kinds to draw, of `KINDS`; empty for all.

    Raises:
        RequestError: there is no such kind.
    """
    found = plots_and_reasons(boards, table, ledger, kinds)
    return (one for one in found if isinstance(one, Plot))
