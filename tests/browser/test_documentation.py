"""The documentation opened from the disk: it is searched, and fits a phone."""

import pytest

from tests.documentation import built


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("documentation"))


def test_search_works_from_the_disk(site, visit):
    page = visit(site, wait=".md-content")
    page.get_by_placeholder("Search").fill("halving")
    hit = page.locator(".md-search-result__link").first
    hit.wait_for(timeout=20_000)
    assert "grid.html" in hit.get_attribute("href")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "grid", "tasks", "commands", "howto/task"])
def test_nothing_but_tables_is_wider_than_a_phone(site, visit, name, scheme):
    page = visit((site / f"{name}.html").as_uri(), width=360, scheme=scheme, wait=".md-content")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
