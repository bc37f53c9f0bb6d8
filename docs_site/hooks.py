"""What mkdocs calls: parts of pages that are made of the code, and sections of the README."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from mkdocs.exceptions import PluginError

from docs_site import catalog, citations, columns, commands, grid, methods

GENERATORS: dict[str, Callable[[], str]] = {
    "tasks": catalog.tasks,
    "metrics": catalog.metrics,
    "licences": catalog.licence_table,
    "citations": citations.all_citations,
    "methods": methods.methods,
    "backbones": methods.backbones,
    "sources": methods.sources,
    "grid": grid.grid_reference,
    "rows": columns.rows_schema,
    "curves": columns.curves_schema,
    "leaderboard": columns.leaderboard_schema,
    "commands": commands.commands,
}
_MARKER = re.compile(r"^<!-- (generated|readme): *(.*?) *-->$", re.MULTILINE)


@cache
def _sections() -> dict[str, str]:
    """Return the README's sections by heading; what is in front of the first by no name."""
    text = (citations.ROOT / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text.partition("\n")[2], flags=re.MULTILINE)
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    # Pictures lie below docs/, which pages are relative to.
    return {
        name: section.strip().replace("](docs/", "](")
        for name, section in {"": parts[0], **named}.items()
    }


def filled(markdown: str, page: str) -> str:
    """Return a page with what its markers ask for.

    Raises:
        PluginError: a marker asks for something that there is not.
    """

    def part(match: re.Match[str]) -> str:
        kind, name = match.groups()
        known: dict[str, Any] = GENERATORS if kind == "generated" else _sections()
        if name not in known:
            raise PluginError(
                f"{page} asks for '{kind}: {name}'; there are {', '.join(filter(None, known))}."
            )
        found = known[name]
        return found if isinstance(found, str) else str(found())

    return _MARKER.sub(part, markdown)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill a page before it is rendered."""
    return filled(markdown, page.file.src_path)


def on_post_page(output: str, **_: Any) -> str:
    """Make what the theme leaves out for people with a keyboard or a screen reader.

    Wide tables scroll, so they must be reached by the keyboard; the dialog of the search needs a
    name.
    """
    output = output.replace("<table>", '<table tabindex="0">')
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')
