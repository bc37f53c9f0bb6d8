"""The documentation opened from the disk: it is searched, and fits a phone."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.documentation import built


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("documentation"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        return None


@pytest.fixture(scope="module")
def served(site):
    """Address of the site on a server: axe reads style sheets, which no page may from the disk."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "grid", "tasks", "methods", "howto/task"])
def test_axe_finds_nothing_serious(served, visit, axe, name, scheme):
    page = visit(f"{served}/{name}.html", scheme=scheme, wait=".md-content")
    assert [found for found in axe(page) if found[0] in ("serious", "critical")] == []
