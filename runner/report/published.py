"""Published numbers that may stand beside a board, never in it."""

from __future__ import annotations

from benchmarks.published import PublishedScore, published_scores
from runner.report.compare import Leaderboard

CAUTION = (
    "published, other protocol (selection on the test set is usual there): not ranked, "
    "not comparable line by line"
)
PUBLISHED_COLUMNS = ("task", "metric", "method", "value", "source", "confidence", "note")


def published_beside(board: Leaderboard) -> list[PublishedScore]:
    """Return the published numbers for the board's tasks, in their order, best first.

    Only numbers for exactly the same task, under a metric of the same name or with a note on what
    else they are: a variant such as `pdebench/darcy:beta1.0` has none.
    """
    return [
        score
        for column in board.tasks
        for score in sorted(
            published_scores(),
            key=lambda score: score.value if column.direction == "min" else -score.value,
        )
        if score.task_name == column.task and (score.metric == column.metric or score.note)
    ]


def published_rows(board: Leaderboard) -> list[list[str]]:
    """Return the numbers of `published_beside` as the texts of `PUBLISHED_COLUMNS`."""
    return [
        [
            score.task_name,
            score.metric,
            score.method,
            as_published(score),
            score.source,
            score.confidence,
            score.note,
        ]
        for score in published_beside(board)
    ]


def as_published(score: PublishedScore) -> str:
    """Return value and deviation with no more digits than were published."""
    return f"{score.value:g}" + ("" if score.std is None else f" ± {score.std:g}")
