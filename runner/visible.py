"""Text of others, such as names and errors out of a ledger or a data file, made harmless to show.

What a terminal, a Markdown renderer or a spreadsheet would obey is shown instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


# Control characters but for line feeds and tabs, marks that turn the direction of text around or
# end lines, and tags that nobody sees.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\U000e0000-\U000e007f]"
)
_MARKDOWN = re.compile(r"[\\`*$\[\]~]")
# Underscores at the ends of words, what makes a block of a line that starts so, and what becomes a
# link by itself.
_MARKDOWN_ENDS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN_START = re.compile(r"^(\d{1,9}(?=[.)](?: |$))|(?=(?:#{1,6}(?: |$)|[+-] )))")
_MARKDOWN_LINK = re.compile(r"(?<=[A-Za-z])(?=://)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # At the start of a line or an item these would be an argument of what was before them.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    # Two hyphens or question marks would become another character.
    "-": "{-}",
    "?": "{?}",
    "!": "{!}",
    "±": r"\ensuremath{\pm}",
    "\u00d7": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "↓": r"\ensuremath{\downarrow}",
    "↑": r"\ensuremath{\uparrow}",
    "→": r"\ensuremath{\rightarrow}",
    "≈": r"\ensuremath{\approx}",
    "…": r"\ldots{}",
}
# What every LaTeX sets without further packages: ASCII, and letters with accents.
_SET = re.compile("[ -~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]")
# What spreadsheets take a text for a formula by; they skip blanks in front of it.
_FORMULA = re.compile(r"\s*[=+\-@|%]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def visible(text: str) -> str:
    r"""Return a text whose control characters are escapes such as `\x1b`; lines stay lines."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


def in_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line.

    Bars are left to tables, and underscores inside of words, which do nothing, as they are.
    """
    text = " ".join(visible(text).split())
    text = _MARKDOWN.sub(lambda match: f"\\{match[0]}", text)
    text = _MARKDOWN_ENDS.sub(r"\\_", text)
    text = _MARKDOWN_LINK.sub(r"\\", text)
    text = _MARKDOWN_START.sub(r"\1\\", text)
    return "".join(_HTML.get(character, character) for character in text)


def in_latex(text: str) -> str:
    r"""Return a text that LaTeX sets as it is, on one line, with its own fonts and T1 or TU.

    A character that needs more than `textcomp` is told by its number, `[U+4E2D]`.
    """
    text = " ".join(visible(text).split())
    return "".join(
        _LATEX.get(character)
        or (character if _SET.fullmatch(character) else f"{{[}}U+{ord(character):04X}{{]}}")
        for character in text
    )


def in_spreadsheet(text: str) -> str:
    """Return a text that spreadsheets take for text, with an apostrophe before a formula."""
    formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return ("'" if formula else "") + visible(text)


def for_spreadsheets(table: pa.Table) -> pa.Table:
    """Return a table for CSV whose texts no spreadsheet calculates; numbers stay as they are."""
    # Not at the top: every command shows text, few have tables, and Arrow takes its time to start.
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if not pa.types.is_string(field.type):
            continue
        column = table[field.name].combine_chunks().dictionary_encode()
        texts = [
            text if text is None else in_spreadsheet(text) for text in column.dictionary.to_pylist()
        ]
        safe = pa.DictionaryArray.from_arrays(column.indices, pa.array(texts, pa.string()))
        table = table.set_column(place, field, safe.cast(pa.string()))
    return table
