"""The documentation is built strictly, holds all there is, and needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer.main
from mkdocs.exceptions import PluginError

from benchmarks import catalog
from benchmarks.licences import licences
from docs_site.hooks import GENERATORS, filled
from docs_site.markdown import anchor, plain, table
from runner.cli import app
from runner.config import Grid
from runner.report.long_table import LONG_SCHEMA
from runner.resources import Resources
from runner.schema import CURVE_SCHEMA, SCHEMA
from runner.search.space import Domain, Search
from tests.documentation import built
from tests.runner.commands import ALL
from xmft.methods import METHODS
from xmft.metrics import METRICS
from xmft.recipe import Recipe

pytestmark = pytest.mark.slow
# Elements that a browser fetches something for as it shows a page.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """Anchors, links and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(given["href"])
        if tag in FETCHED and FETCHED[tag] in given:
            self.fetched.append(given[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("site"))


@cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(site: Path) -> Iterator[Path]:
    yield from (path for path in site.rglob("*.html") if path.name != "404.html")


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    seen = 0
    for path in pages(site):
        for link in page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in page(target).ids, f"{path.name}: {link}"
            seen += 1
    assert seen > 500


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in pages(site):
        assert [one for one in page(path).fetched if urlsplit(one).netloc] == [], path.name
        for one in page(path).fetched:
            assert (path.parent / unquote(urlsplit(one).path)).exists(), f"{path.name}: {one}"
    for path in site.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import )[\"']?(https?:|//)", path.read_text())
        assert addresses == [], path.name


EVERYTHING = {
    "tasks.html": catalog.names(),
    "methods.html": list(METHODS),
    "metrics.html": list(METRICS),
    "commands.html": [f"xmft {verb}" for verb in ALL],
    "grid.html": [
        *(name for name in Grid.model_fields),
        *(f"recipe.{name}" for name in Recipe.model_fields),
        *(f"resources.{name}" for name in Resources.model_fields),
        *(f"search.{name}" for name in Search.model_fields),
        *(f"search.space.{name}" for name in Domain.model_fields),
        "per_task.backbone",
        "per_task.source",
        "join",
    ],
    "results.html": [
        *(f"row-{name}" for name in SCHEMA.names),
        *(f"curve-{name}" for name in CURVE_SCHEMA.names),
        *(f"leaderboard-{name}" for name in LONG_SCHEMA.names),
    ],
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_everything_has_its_place(site: Path, name: str) -> None:
    ids = page(site / name).ids
    assert [one for one in EVERYTHING[name] if anchor(one) not in ids] == []


def test_every_option_and_every_licence_is_told(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    for option in [one for p in group.commands["run"].params for one in p.opts]:  # type: ignore[attr-defined]
        assert not option.startswith("--") or f"<code>{option}</code>" in text or option == "--help"
    text = (site / "licences.html").read_text(encoding="utf-8")
    assert [one for one in licences() if one.used_by not in text or one.licence not in text] == []


def test_a_marker_without_a_meaning_ends_the_build() -> None:
    assert filled("a\n<!-- generated: curves -->\nb", "x.md").startswith("a\n| column |")
    for marker in ("<!-- generated: curve -->", "<!-- readme: No such section -->"):
        with pytest.raises(PluginError, match=r"x\.md asks for"):
            filled(marker, "x.md")
    assert all(make().strip() for make in GENERATORS.values())


def test_texts_of_others_cannot_break_a_table() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == "| x\\|y z |"
    assert plain("a *b* <c> `<d>` [e]") == "a \\*b\\* &lt;c&gt; `<d>` \\[e\\]"
