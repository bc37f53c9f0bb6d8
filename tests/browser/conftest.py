"""Chromium, which opens pages from a disk and listens to what goes wrong in them."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.runner.site.pages import filled, written

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")


def pytest_ignore_collect():
    """Leave these tests out where somebody says that there is no browser."""
    return True if os.environ.get("XMFT_NO_BROWSER") == "1" else None


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail(
            "These tests need Chromium: apt-get install chromium. XMFT_NO_BROWSER=1 leaves them "
            "out.",
            pytrace=False,
        )
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def ledger(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="session")
def site(ledger, tmp_path_factory):
    return written(ledger, tmp_path_factory.mktemp("site"), plots=True)


@pytest.fixture
def visit(chromium):
    """Opens pages; whatever a page complains of, or asks of a network, fails the test."""
    contexts, wrong = [], []

    def open_(site, *, width=1280, scheme="light", wait="#count"):
        # Without smooth scrolling: what moves under the pointer is not clicked.
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if _is_far(request) else None)
        address = site if isinstance(site, str) else (site / "index.html").as_uri()
        page.goto(address)
        page.wait_for_selector(wait)
        page.wrong = wrong
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def _is_far(request):
    return not request.url.startswith(("file://", "data:", "http://127.0.0.1:"))


@pytest.fixture(scope="session")
def axe():
    """Returns what axe-core finds in a page, as impact and rule."""

    def found(page):
        page.evaluate(AXE)
        violations = page.evaluate("axe.run()")["violations"]
        return [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in violations]

    return found
