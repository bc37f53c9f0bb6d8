"""Replaces what stands between the markers of a document, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xmft.errors import RequestError
from xmft.registry import nearest

_MARKER = re.compile(r"<!-- (?:table: *(?P<name>[^\s>]*)|(?P<end>end)) *-->")


def fill(text: str, tables: Mapping[str, str]) -> str:
    """Return the document with its tables replaced.

    Args:
        text: The document; each table goes between `<!-- table: NAME -->` and `<!-- end -->`.
        tables: Markdown by name; those that the document has no place for are left out.

    Raises:
        RequestError: no marker, an unknown name, or markers that do not come in pairs.
    """
    markers = list(_MARKER.finditer(text))
    starts, ends = markers[::2], markers[1::2]
    if not markers:
        raise RequestError(
            "The document has no place for a table. Write <!-- table: scores --> and "
            f"<!-- end --> on lines of their own. {nearest('', tables)}"
        )
    if len(starts) != len(ends) or any(m["end"] for m in starts) or any(not m["end"] for m in ends):
        lines = ", ".join(str(text.count("\n", 0, m.start()) + 1) for m in markers)
        raise RequestError(
            "Every <!-- table: NAME --> needs its <!-- end --> before the next one; the markers "
            f"of the document are in lines {lines}."
        )
    parts, position = [], 0
    for start, end in zip(starts, ends, strict=True):
        name = start["name"]
        if name not in tables:
            raise RequestError(f"Unknown table '{name}'. {nearest(name, tables)}")
        parts += [text[position : start.end()], "\n\n", tables[name], "\n\n"]
        position = end.start()
    return "".join([*parts, text[position:]])
