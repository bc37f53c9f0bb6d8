"""A ledger with all that a page shows, its page, and what reads that without a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from runner.ledger import Ledger
from runner.report.query import Query
from runner.report.site.building import Builder, Wanted
from runner.report.site.folder import write_page
from tests.runner.attempts import attempt_of, cell_of, score_of
from xmft.task import CurvePoint

TASKS = ("pdebench/advection", "pdebench/darcy:beta1.0", "nasbench360/darcy")
# As a name, which may hold no slashes and control characters, and as any other text.
HOSTILE = """<script>window.owned=1<img src=x onerror="window.owned=1"> '{{ 7*7 }} &lt;b&gt;"""
HOSTILE_TEXT = (
    HOSTILE
    + "</script><!--<script></pre><img src=x onerror=window.owned=1>"
    + ("\x1b[31m\u202eabc\x00\u2028\\u003c]]>\ud800")
)


def filled(
    folder: Path, *, methods: tuple[str, ...] = ("nft", "orca", "fno"), text: str = "plain"
) -> Ledger:
    """A ledger of three tasks and two seeds; one cell failed, one went well at the second try.

    `text` stands wherever others may write what they like.
    """
    ledger = Ledger(folder)
    ledger.prepare()
    told = text.encode(errors="replace").decode()  # Arrow's texts are whole
    for place, method in enumerate(methods):
        for number, task in enumerate(TASKS):
            for seed in (0, 1):
                cell = cell_of(task, method, seed, method_config={"rate": 0.1 * place, text: text})
                value = 0.1 + 0.05 * place + 0.001 * number + 0.01 * seed
                scores = (
                    score_of(value),
                    score_of(value / 2, split="val"),
                    score_of(value + 0.2, selection="last"),
                )
                if (place, number, seed) == (2, 0, 1):
                    error = (
                        "Traceback (most recent call last):\n  a line\nOutOfMemoryError: full "
                        + told
                    )
                    ledger.write_attempt(attempt_of(cell, failure="oom", error=error))
                    continue
                if (place, number, seed) == (0, 0, 0):
                    ledger.write_attempt(attempt_of(cell, failure="infra", error=told, host=told))
                ledger.write_curves(
                    cell.id,
                    [
                        CurvePoint(epoch=epoch, split="val", name=told, value=value / epoch)
                        for epoch in range(1, 8)
                    ],
                )
                ledger.write_attempt(
                    attempt_of(cell, *scores, invocation={text: text}, device=told)
                )
    return ledger


def written(ledger: Ledger, folder: Path, *, plots: bool = False, **query: Any) -> Path:
    """The page of a ledger, in a folder."""
    write_page(Builder(ledger, Wanted(query=Query(**query), plots=plots)).files(), folder)
    return folder


class Page(HTMLParser):
    """A page as a parser of HTML sees it.

    Attributes:
        elements: Name and attributes of every element, in order.
        texts: The text directly in elements, by the name of these.
        unbalanced: Elements that end otherwise than they begin.
    """

    _VOID = frozenset({"meta", "link", "img", "input", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) < len(attrs):
            self.unbalanced.append(f"{tag} has an attribute twice")
        self.elements.append((tag, dict(attrs)))
        if tag not in self._VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The table of all cells, each with its texts."""
        data = json.loads(next(text for text in self.texts["script"] if text.startswith("{")))
        names = data["columns"]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*names.values(), strict=True)]
        for row in rows:
            row |= {name: texts[row[name]] for name, texts in data["texts"].items()}
        return rows


def opened(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def details(folder: Path) -> dict[str, dict[str, Any]]:
    """The details of every cell, what is shared put in its place."""
    found = {}
    for path in (folder / "cells").iterdir():
        call = re.fullmatch(r'xmftDetails\("([0-9a-f]+)",(.*)\);\n', path.read_text(), re.DOTALL)
        assert call is not None and call[1] == path.stem
        content = json.loads(call[2])
        for cell_id, cell in content["cells"].items():
            shared = content["shared"]
            cell["config"] = shared[cell["config"]]
            for attempt in cell["attempts"]:
                for name in {"versions", "invocation", "error"} & attempt.keys():
                    attempt[name] = shared[attempt[name]]
            found[cell_id] = cell
    return found
