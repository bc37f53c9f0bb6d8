"""What a leaderboard is asked for."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from runner.report.wording import operations
from xmft.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a leaderboard is asked for.

    Attributes:
        protocol: `clean` or `released`; the other one's cells are ignored.
        selection: Rule that chose the epoch, `last` or `best_val`.
        split: Split of the values.
        tasks: Names or globs (`pdebench/*`) of the tasks to compare on; empty for all.
        methods: Names or globs of the methods to compare; empty for all.
        seeds: Seeds to take means over; empty for all.
        most_flops: Floating-point operations that a cell may have taken; None: any number.
        most_seconds: Device seconds likewise.
        overall: Whether to add a board over tasks of different origin.
        results: Where the results are, for the command alone.

    Raises:
        RequestError: a budget is not finite, or below zero.
    """

    protocol: str = "clean"
    selection: str = "best_val"
    split: str = "test"
    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    most_flops: float | None = None
    most_seconds: float | None = None
    overall: bool = False
    results: Sequence[str] = ("results",)

    def __post_init__(self) -> None:
        for name in ("most_flops", "most_seconds"):
            most = getattr(self, name)
            if most is not None and not 0 <= most < math.inf:  # NaN is neither
                raise RequestError(
                    f"--{name.replace('_', '-')} is {most:g}, which is no budget: give a finite "
                    "number from 0 on, or leave the option out for no limit."
                )

    def __str__(self) -> str:
        text = f"protocol {self.protocol}, selection {self.selection}, split {self.split}"
        for name in ("tasks", "methods", "seeds"):
            wanted = getattr(self, name)
            text += f", {name} {' '.join(map(str, wanted))}" if wanted else ""
        return text

    @property
    def budget(self) -> str:
        """What a cell may have taken, in words; empty where that is anything."""
        parts = []
        if self.most_flops is not None:
            parts.append(f"{_worded(self.most_flops)} FLOPs")
        if self.most_seconds is not None:
            parts.append(f"{_exact(self.most_seconds)} s of device time")
        return " and ".join(parts)

    def command(self, *options: str, verb: str = "leaderboard") -> str:
        """Return the command that asks for this, with further options."""
        words = ["xmft", verb, "--results", *self.results]
        for name in ("protocol", "selection"):
            if getattr(self, name) != getattr(type(self), name):
                words += [f"--{name}", getattr(self, name)]
        for name in ("tasks", "methods", "seeds"):
            wanted = getattr(self, name)
            words += [f"--{name}", *map(str, wanted)] if wanted else []
        for name in ("most_flops", "most_seconds"):
            most = getattr(self, name)
            words += [] if most is None else [f"--{name.replace('_', '-')}", _exact(most)]
        return shlex.join([*words, *(["--overall"] if self.overall else []), *options])


def _worded(number: float) -> str:
    """Return operations as boards do, but with all digits: what is over is over this."""
    short = operations(number)
    return short if float(short) == number else _exact(number)


def _exact(number: float) -> str:
    """Return a number as short as it can be without another value: `1e+15`, `123456789.5`."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
