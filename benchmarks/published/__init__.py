"""Published numbers, each with where it was read and how sure that is.

They stand beside the measured ones in reports, never among them: the protocols differ, and
published numbers never enter the ledger.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """One number of a publication.

    Attributes:
        suite: `pdebench` or `nasbench360`.
        task: The name within the suite, or `average_rank` for a summary over tasks.
        method: The method as the publication calls it.
        metric: The metric as this project calls it, in the same units.
        value: The mean that was published.
        std: The standard deviation over seeds, None where none was published.
        seeds: Number of seeds, None where it was not published.
        source: Where the number was read.
        confidence: `verified` (read in the publication) or `second-hand` (read in an index of it).
        note: In what the published quantity differs from that of this project, where it does.
    """

    suite: str
    task: str
    method: str
    metric: str
    value: float
    std: float | None
    seeds: int | None
    source: str
    confidence: str
    note: str = ""

    @property
    def task_name(self) -> str:
        """The task as the rest of the project names it, `suite/task`."""
        return f"{self.suite}/{self.task}"


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """Return every row of `published.csv`, in the order of the file, with those of `notes.csv`."""
    notes = {(row["suite"], row["task"], row["metric"]): row["note"] for row in _rows("notes.csv")}
    return tuple(
        PublishedScore(
            suite=row["suite"],
            task=row["task"],
            method=row["method"],
            metric=row["metric"],
            value=float(row["value"]),
            std=float(row["std"]) if row["std"] else None,
            seeds=int(row["seeds"]) if row["seeds"] else None,
            source=row["source"],
            confidence=row["confidence"],
            note=notes.get((row["suite"], row["task"], row["metric"]), ""),
        )
        for row in _rows("published.csv")
    )


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
