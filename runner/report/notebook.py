"""Leaderboards for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from runner.ledgers import Results
from runner.report.compare import Leaderboard, Query, build
from runner.report.long_table import long_table
from runner.report.markdown import to_markdown


@dataclass(frozen=True, kw_only=True)
class Leaderboards:
    """One leaderboard per origin of the data.

    Attributes:
        boards: The leaderboards, official data first.
        ledger: Where the results lie, in words.
    """

    boards: tuple[Leaderboard, ...]
    ledger: str

    def __iter__(self) -> Iterator[Leaderboard]:
        return iter(self.boards)

    def __len__(self) -> int:
        return len(self.boards)

    def __getitem__(self, place: int) -> Leaderboard:
        return self.boards[place]

    def to_arrow(self, *, published: bool = False) -> pa.Table:
        """Return one row per line and task; `published` adds rows of published numbers."""
        return long_table(self.boards, published=published)

    def to_pandas(self, *, published: bool = False) -> pd.DataFrame:
        """Return `to_arrow` as a data frame."""
        frame: pd.DataFrame = self.to_arrow(published=published).to_pandas()
        return frame

    def to_markdown(self, *, published: bool = False) -> str:
        """Return the boards as Markdown; `published` sets published numbers underneath."""
        return to_markdown(self.boards, ledger=self.ledger, published=published)


def leaderboard(ledger: Results | pa.Table, **query: Any) -> Leaderboards:
    """Compare what a ledger holds.

    Args:
        ledger: One ledger or several (`runner.ledgers`), or rows of one.
        query: The fields of `Query`: protocol, selection, split, tasks, methods, seeds,
            overall.

    Raises:
        RequestError: there is nothing to compare; the message says what to run.
    """
    table, where = (
        (ledger, "a table") if isinstance(ledger, pa.Table) else (ledger.rows(), ledger.shown)
    )
    return Leaderboards(boards=tuple(build(table, Query(**query))), ledger=where)
