"""Turns the ledger's tables into leaderboards; needs neither torch nor Ray.

`select` picks the comparable cells, `entries` groups them into the lines of a board, `ranks` does
the statistics, `compare` puts them together to a `board`; `terminal`, `markdown` and `export` write
boards down, `published` finds published numbers to set beside them, `status` shows what the ledger
holds.
"""

from runner.report.board import Leaderboard, Leaderboards
from runner.report.compare import build
from runner.report.export import long_table, to_csv, write
from runner.report.markdown import to_markdown
from runner.report.status import show_cell, status_table, summary
from runner.report.terminal import to_terminal

__all__ = [
    "Leaderboard",
    "Leaderboards",
    "build",
    "long_table",
    "show_cell",
    "status_table",
    "summary",
    "to_csv",
    "to_markdown",
    "to_terminal",
    "write",
]
