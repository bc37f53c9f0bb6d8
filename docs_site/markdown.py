"""Tables, headings and texts of Markdown pages."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from runner.report.markdown import markdown_table as table

__all__ = ["anchor", "code", "heading", "paragraphs", "plain", "table"]


def heading(level: int, text: str, name: str = "") -> str:
    """Return a heading with an anchor made of its name; `name` is `text` unless given."""
    return f"{'#' * level} {text} {{ #{anchor(name or text)} }}"


def anchor(name: str) -> str:
    """Return what a page is linked at for the entry of a name."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def code(value: Any) -> str:
    """Return a value as inline code: texts as they are, others as JSON; nothing for nothing."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if text else ""


def plain(text: str) -> str:
    """Return a text that holds no markup but inline code, on one line."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_\[\]<>])", _escaped, part) for part in parts
    )


def _escaped(match: re.Match[str]) -> str:
    return html.escape(match[0]) if match[0] in "<>" else f"\\{match[0]}"


def paragraphs(docstring: str | None) -> list[str]:
    """Return the paragraphs of a docstring up to its first section, such as `Attributes:`."""
    found = []
    for paragraph in re.split(r"\n\s*\n", docstring or ""):
        if re.match(r"\s*(Attributes|Args|Returns|Raises|Yields):", paragraph):
            break
        found.append(paragraph)
    return found
