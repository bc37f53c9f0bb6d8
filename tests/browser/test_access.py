"""Colours, axe-core, print, and a page that follows a run."""

import threading
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from runner.ledger import Ledger
from runner.report.query import Query
from runner.report.site.building import Builder, Wanted
from runner.report.site.serving import watch
from tests.runner.attempts import attempt_of, cell_of, score_of


def unfold(page, part):
    page.locator(f"{part} details").evaluate_all("(all) => all.forEach((one) => (one.open = true))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(visit, site, axe, scheme, width):
    page = visit(site, width=width, scheme=scheme)
    assert axe(page) == []
    unfold(page, "main")
    assert axe(page) == []
    page.locator("#board-1 tbody button.open").first.click()
    page.wait_for_selector("#details-body .result")
    assert axe(page) == []
    unfold(page, "dialog")
    assert axe(page) == []


def test_axe_would_find_something(visit, site, axe):
    page = visit(site)
    page.evaluate(
        "document.querySelector('#filters input').parentElement.replaceWith("
        "document.createElement('input'))"
    )
    assert ("critical", "label") in [(impact, rule) for impact, rule, _ in axe(page)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_a_reader_chooses(visit, site, scheme):
    page = visit(site, scheme=scheme)

    def is_dark():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(","))) < 300

    button = page.get_by_role("button", name="Dark colours")
    for _ in range(2):
        assert is_dark() == (scheme == "dark")
        assert button.get_attribute("aria-pressed") == str(is_dark()).lower()
        button.press("Enter")
        assert is_dark() != (scheme == "dark")
        assert button.get_attribute("aria-pressed") == str(is_dark()).lower()
        button.press("Enter")
    button.click()
    page.reload()
    assert is_dark() != (scheme == "dark")  # the choice is remembered


def test_the_outline_and_the_tables_can_be_heard(visit, site):
    page = visit(site)
    for role in ("banner", "main", "contentinfo", "navigation", "search"):
        assert page.get_by_role(role).count() == 1
    levels = page.locator("h1, h2, h3").evaluate_all("(all) => all.map((one) => one.tagName[1])")
    assert levels[0] == "1" and all(int(b) - int(a) <= 1 for a, b in pairwise(levels))
    assert page.locator("table").count() == page.locator("table > caption").count()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_print_shows_tables_on_white_without_what_is_pressed(visit, site):
    page = visit(site, scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#filters").is_visible() and not page.locator("nav").is_visible()
    assert page.locator("table.board").first.is_visible()
    assert len(page.pdf()) > 10_000


def test_a_served_page_follows_the_run_and_waits_for_its_reader(visit, tmp_path):
    ledger, said, ended = Ledger(tmp_path / "ledger"), [], threading.Event()
    ready = threading.Event()
    ledger.prepare()

    def write(seed):
        cell = cell_of("pdebench/advection", "nft", seed)
        ledger.write_attempt(attempt_of(cell, score_of(0.25 + seed / 100)))

    def say(text):
        said.append(text)
        ready.set()

    write(0)
    thread = threading.Thread(
        target=watch,
        args=(Builder(ledger, Wanted(query=Query(), plots=False)), tmp_path / "site", 0, say),
        kwargs={"every_s": 0.1, "ended": ended},
    )
    thread.start()
    try:
        assert ready.wait(30)
        page = visit(said[0].split()[4])
        assert page.locator("#count").inner_text() == "1 of 1 cells"
        page.get_by_label("Search").fill("nft")
        write(1)
        expect(page.locator("#count")).to_have_text("2 of 2 cells", timeout=20_000)
        assert page.get_by_label("Search").input_value() == "nft"  # filters stay
        page.locator("#board-1 tbody button.open").first.click()
        page.wait_for_selector("#details-body .result")
        write(2)
        expect(page.locator("#news")).to_have_text("There are newer results.", timeout=20_000)
        assert page.locator("#details").is_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#count")).to_have_text("3 of 3 cells", timeout=20_000)
    finally:
        ended.set()
        thread.join()
