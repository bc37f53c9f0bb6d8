"""Turns the ledger's tables into leaderboards; needs neither torch nor Ray.

`select` picks the comparable cells, `entries` groups them into the entries of a board, `ranks` does
the statistics, `lines` says how each entry stands, `compare` puts them together to a leaderboard;
`terminal`, `markdown` and `long_table` write it down, in the formats that `export` lists;
`published` finds published numbers to set beside it, `status` shows what the ledger holds.
`leaderboard` is the way in for notebooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.report.notebook import Leaderboards, leaderboard

__all__ = ["Leaderboards", "leaderboard"]


def __getattr__(name: str) -> Any:
    """Import pandas and scipy when a leaderboard is asked for, not before."""
    if name in __all__:
        from runner.report import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
