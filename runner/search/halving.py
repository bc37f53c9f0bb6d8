"""Successive halving: which trials go on, and how far (Jamieson and Talwalkar 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping


def rungs(epochs: int, trials: int, eta: int) -> list[int]:
    """Return the epochs after which trials are compared, the last of them all epochs.

    There are as many as leave a trial at the last one: max/eta^k, at least one epoch.
    """
    found = [epochs]
    while found[0] // eta >= 1 and eta ** len(found) <= trials:
        found.insert(0, found[0] // eta)
    return found


def promoted(values: Mapping[int, float | None], direction: str, count: int) -> list[int]:
    """Return the numbers of the trials that go on, best first; equally good ones by number.

    Args:
        values: Scores by number of the trial; None where it failed, which never goes on.
        direction: `min` or `max`.
        count: Most trials that go on.
    """
    sign = 1.0 if direction == "min" else -1.0
    scored = [
        (sign * value, number)
        for number, value in values.items()
        if value is not None and math.isfinite(value)
    ]
    return [number for _, number in sorted(scored)[:count]]
