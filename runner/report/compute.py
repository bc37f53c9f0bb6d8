"""Which columns tell what cells took: one condition for each, whatever table it is in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Took(Protocol):
    """What took device time and operations: a cell, an entry, the cells of a task."""

    @property
    def device_s(self) -> float | None:
        """Device seconds; None if unknown."""

    @property
    def flops(self) -> float | None:
        """Floating-point operations; None if unknown."""


def tells_flops(all_: Iterable[Took]) -> bool:
    """Tell whether there is a column of FLOPs: where some are known."""
    return any(one.flops is not None for one in all_)


def tells_device_time(all_: Iterable[Took], most_seconds: float | None = None) -> bool:
    """Tell whether there is a column of device time.

    Ledgers that did not count operations have none beside their time, unless it decides who is
    ranked.

    Args:
        all_: Lines of a table.
        most_seconds: Budget of device seconds, if there is one.
    """
    lines = list(all_)
    known = any(one.device_s is not None for one in lines)
    return known and (most_seconds is not None or tells_flops(lines))
