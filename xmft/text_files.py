"""Text that people wrote, in whatever encoding their editor saved it."""

from __future__ import annotations

import codecs
from pathlib import Path

from xmft.errors import FileError

# The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_MENDING = "Save it as UTF-8 (in an editor: Save as, encoding UTF-8)."


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8, or what a byte order mark at its beginning says.

    What has neither is refused, for a guess could change a name without a word.

    Raises:
        FileError: it is in another encoding.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    if not mark and b"\0" in content:
        found = "is no text, or UTF-16 without a byte order mark (it holds NUL bytes)"
        raise FileError(path, found, note=_MENDING, between=" ")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"is no {encoding.upper()} text (byte 0x{content[error.start]:02x} in line {line})"
        raise FileError(path, found, note=_MENDING, between=" ") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
