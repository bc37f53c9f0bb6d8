"""Fills a hand-written Markdown document with tables made of a ledger.

`python -m runner.cli.study --results DIR --document FILE` puts them between the markers
`<!-- table: NAME -->` and `<!-- end -->`: `scores` has results, ranks and wins, `bound` the
measured terms of the bound and what they say about the error, `setting` what was run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from runner.report.compare import Leaderboard, Query, build
from runner.report.study.bound import bound_error_table, bound_table, measured_terms
from runner.report.study.document import fill
from runner.report.study.scores import ranks_table, scores_table, wins_table
from runner.report.study.setting import setting_text
from runner.report.wording import count

__all__ = ["fill", "tables"]


def tables(
    table: pa.Table,
    *,
    selection: str = "best_val",
    ours: str = "",
    head_trained: Collection[str] = (),
) -> dict[str, str]:
    """Return the Markdown of every table by name.

    Data of different origin never share a table; each block has one table for each.

    Args:
        table: All rows of the ledger; those of the clean protocol count.
        selection: Rule that chose the epoch, `last` or `best_val`.
        ours: The method that is set against all others in `wins`; empty for none.
        head_trained: Methods whose stage 1 trains the head; their target fit is left aside.

    Raises:
        RequestError: there is nothing to compare.
    """
    found = build(table, Query(selection=selection))
    terms = measured_terms(table)
    return {
        "scores": _by_origin(found, scores_table),
        "ranks": _by_origin(found, ranks_table),
        "wins": _by_origin(found, lambda board: wins_table(board, ours)),
        "bound": _by_origin(found, lambda board: bound_table(board, terms)),
        "bound-error": _by_origin(
            found, lambda board: bound_error_table(board, terms, head_trained)
        ),
        "setting": _by_origin(found, lambda board: setting_text(board, table)),
    }


def _by_origin(found: Sequence[Leaderboard], make: Callable[[Leaderboard], str]) -> str:
    blocks = []
    several = Counter(board.origin for board in found)
    for board in found:
        suite = f", {board.suite or 'all suites'}" if several[board.origin] > 1 else ""
        title = f"{board.origin.capitalize()} data{suite}, {count(len(board.tasks), 'task')}"
        blocks += [f"**{title}**", make(board)]
    return "\n\n".join(blocks)
