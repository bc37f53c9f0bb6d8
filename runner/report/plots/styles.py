"""How the entries of a board look in its plots: colour, marker and line, and what they are called.

No two of them differ in colour alone, so that they can be told apart in print and by people who see
few colours.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.visible import visible

# M. Okabe and K. Ito, Color Universal Design, 2008; without yellow, which white paper swallows, and
# in an order in which neighbours stay apart for dichromats and in grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#000000", "#D55E00", "#56B4E9", "#CC79A7")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))
# What comes after as many entries is again the marker and the line of the first.
DISTINCT = len(_MARKERS) * len(_DASHES)
GREY = "#767676"
_LONGEST = 30
# What XML cannot hold, beyond what `visible` makes harmless.
_NO_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How an entry looks.

    Attributes:
        colour: Of its line and marks.
        marker: Shape of its marks.
        dash: Of its line.
    """

    colour: str
    marker: str
    dash: Any

    @property
    def dots(self) -> dict[str, Any]:
        """What matplotlib needs for marks without a line."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": "none",
            "markersize": 5.0,
            "markeredgecolor": "black",
            "markeredgewidth": 0.4,
        }

    @property
    def line(self) -> dict[str, Any]:
        """What matplotlib needs for a line with marks."""
        return {**self.dots, "linestyle": self.dash, "linewidth": 1.2, "markersize": 3.8}


def look(number: int) -> Look:
    """Return the look of the entry with that number; unique up to `DISTINCT`."""
    return Look(
        colour=PALETTE[number % len(PALETTE)],
        marker=_MARKERS[number % len(_MARKERS)],
        dash=_DASHES[number % len(_DASHES)],
    )


def one_line(text: str) -> str:
    """Return a text that XML can hold, on one line, with control characters as escapes."""
    text = _NO_XML.sub(lambda match: ascii(match[0])[1:-1], text)
    return visible(" ".join(text.split()))


def cut(text: str, longest: int = _LONGEST) -> str:
    """Return a text on one line; what is too long loses its middle, for ends tell names apart."""
    text = one_line(text)
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"


def names_of(labels: Sequence[str], longest: int = _LONGEST) -> dict[str, str]:
    """Return a short name for each label; different labels keep different names."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        name, number = cut(label, longest), 1
        while name in taken:
            number += 1
            ending = f" #{number}"
            name = cut(label, longest - len(ending)) + ending
        names[label] = name
        taken.add(name)
    return names


def wrapped(text: str, width: int) -> str:
    """Return the name of a task over at most three lines, broken behind `/`, `:`, `_` and `-`."""
    text = cut(text, 3 * width)
    parts = [part for part in re.split(r"(?<=[/:_\-\s])", text) if part]
    lines = [""]
    for part in parts:
        for piece in textwrap.wrap(part, width, drop_whitespace=False) or [part]:
            if len(lines[-1]) + len(piece) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def there_are(number: int) -> str:
    """Return `is one`, `are 3` or `are none`."""
    return "is one" if number == 1 else f"are {number or 'none'}"


def enumerated(names: Sequence[str], most: int = 8) -> str:
    """Return names as `a, b, c and 4 more`."""
    shown = [one_line(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + (shown or [""])[-1]
