"""What a plot is, whatever drew it."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "critical-difference",
    "profiles",
    "errors",
    "time",
    "device-time",
    "compute",
    "samples",
    "curves",
    "fields",
    "spectra",
    "bound",
)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawn plot in both formats.

    Attributes:
        name: What its files are called, without an ending; unique, may hold slashes.
        kind: What it shows, one of `KINDS`.
        title: For people, one line.
        caption: What is shown and how it was computed, one or two sentences.
        alt: What can be read in it, in words, for those who do not see it.
        board: Name of the board that it is of (`Leaderboard.name`); None if of a task.
        task: The task that it is of; None if of a board.
        svg: As SVG, self-contained.
        png: As PNG.
    """

    name: str
    kind: str
    title: str
    caption: str
    alt: str
    board: str | None = None
    task: str | None = None
    svg: bytes
    png: bytes


@dataclass(frozen=True, kw_only=True)
class NotDrawn:
    """A plot that cannot be made of what there is.

    Attributes:
        kind: As in `Plot`.
        reason: What it lacks, in half a sentence.
        board: Name of the board.
        task: The task; None if of a board.
    """

    kind: str
    reason: str
    board: str
    task: str | None = None

    def __str__(self) -> str:
        where = self.board if self.task is None else f"{self.board}, {self.task}"
        return f"{self.kind} ({where}): {self.reason}"
