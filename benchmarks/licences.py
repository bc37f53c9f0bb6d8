"""Under which terms the data of tasks and sources may be used, and who says so.

Facts, no legal advice: what holders or NAS-Bench-360 state. Where nobody states anything the
licence is `UNKNOWN`, and people who pass data or models on have to ask.
"""

from __future__ import annotations

import csv
import fnmatch
from dataclasses import dataclass
from functools import cache
from importlib import resources

UNKNOWN = "unknown: ask the holder"


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The licence of one data set.

    Attributes:
        used_by: Name of the task or the source that it is the data of; `*` matches.
        data_set: What it is called.
        holder: Who made it.
        licence: By its short name, or `UNKNOWN`.
        stated_by: Who says so.
        url: Where to read on; empty where there is nothing to read.
        note: What else is to be known; may be empty.
    """

    used_by: str
    data_set: str
    holder: str
    licence: str
    stated_by: str
    url: str
    note: str


@cache
def licences() -> tuple[Licence, ...]:
    """Return every row of `licences.csv`, in the order of the file."""
    text = (resources.files("benchmarks") / "licences.csv").read_text(encoding="utf-8")
    return tuple(Licence(**row) for row in csv.DictReader(text.splitlines()))


def licence_of(name: str) -> Licence | None:
    """Return the licence of the data of a task (any variant) or of a source.

    None for those of plug-ins, whose authors know it.
    """
    base = name.partition(":")[0]
    return next((one for one in licences() if fnmatch.fnmatch(base, one.used_by)), None)
