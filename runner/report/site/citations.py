"""Where methods and tasks come from, for a page that names them."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, kw_only=True)
class Citation:
    """What to cite for a method, or for the tasks of a suite.

    Attributes:
        kind: `method` or `suite`.
        name: Of the method or the suite.
        text: Authors, title, venue, year; what is cited instead for what has no paper.
        url: Where it can be read; empty for what has no paper.
    """

    kind: str
    name: str
    text: str
    url: str


@functools.cache
def citations() -> tuple[Citation, ...]:
    """Return what is known of the shipped methods and suites."""
    text = resources.files(__package__).joinpath("citations.csv").read_text(encoding="utf-8")
    return tuple(Citation(**row) for row in csv.DictReader(text.splitlines()))


def cited(kind: str, names: Iterable[str]) -> list[tuple[str, Citation | None]]:
    """Return each name, sorted, with what to cite; None where nothing is known.

    Args:
        kind: `method` or `suite`.
        names: Of methods, or of suites.
    """
    known = {one.name: one for one in citations() if one.kind == kind}
    return [(name, known.get(name)) for name in sorted(set(names))]
