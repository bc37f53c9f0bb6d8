"""How a number was made, in a browser; and that nothing of a stranger's ledger runs there."""

import json
import shutil

from playwright.sync_api import expect

from tests.runner.site.pages import HOSTILE, HOSTILE_TEXT, details, filled, opened, written


def body(page):
    page.wait_for_selector("#details-body .result")
    return page.locator("#details-body")


def test_a_number_opens_the_cells_behind_it(visit, site):
    page = visit(site)
    row = page.locator("#board-1 tbody tr", has_text="nft").first
    row.locator("button.open").first.click()
    shown = body(page)
    cells = [c for c in opened(site).cells if c["entry"] == "nft" and "darcy" in c["task"]]
    cells = [cell for cell in cells if cell["task"].startswith("nasbench360")]
    assert page.locator("#details-title").inner_text() == "nft on nasbench360/darcy"
    assert shown.locator("details.cell").count() == len(cells) == 2
    for cell in cells:
        told = details(site)[cell["id"]]
        one = shown.locator("details.cell", has_text=cell["id"])
        assert told["command"] in one.inner_text()
        configuration = one.locator("details", has_text="Configuration")
        configuration.locator("summary").click()
        assert json.loads(configuration.locator("pre").inner_text()) == {
            **told["config"],
            "seed": cell["seed"],
        }
        one.locator("summary", has_text="All scores").click()
        values = one.locator("table", has_text="Scores").locator("tbody tr").count()
        assert values == len(told["scores"])


def test_curves_are_drawn_and_told(visit, site):
    page = visit(site)
    page.locator("#board-1 tbody button.open").first.click()
    chart = body(page).locator("svg[role=img]")
    assert chart.locator("path.line").count() == 2  # one for each seed
    assert "val plain by epoch. seed 0: " in chart.get_attribute("aria-label")
    lines = chart.locator("path.line").evaluate_all(
        "(all) => all.map((one) => one.getBBox()).map(({ width, height }) => ({ width, height }))"
    )
    assert all(line["width"] > 100 and line["height"] > 50 for line in lines)


def test_a_failure_tells_its_class_its_error_and_its_attempts(visit, site):
    page = visit(site)
    page.get_by_role("combobox", name="State").select_option("oom")
    page.locator("#all-cells tbody button.open").click()
    text = body(page).inner_text()
    assert "Seed 1: oom" in text and "OutOfMemoryError: full" in text
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#all-cells tbody tr").nth(1)).to_be_visible()
    twice = next(key for key, one in details(site).items() if len(one["attempts"]) == 2)
    place = [cell["id"] for cell in opened(site).cells].index(twice)
    page.locator(f"#all-cells button[data-cells='{place}']").click()
    attempts = body(page).locator("table", has_text="Attempts").locator("tbody tr")
    assert [row.split("\t")[1] for row in attempts.all_inner_texts()] == ["failed", "ok"]
    assert "2 (counts)" in attempts.last.inner_text()


def test_the_keyboard_opens_and_closes_and_the_focus_returns(visit, site):
    page = visit(site)
    button = page.locator("#board-1 tbody button.open").first
    button.focus()
    page.keyboard.press("Enter")
    body(page)
    assert page.locator("#close").evaluate("(one) => one === document.activeElement")
    for _ in range(30):  # the focus stays in the dialog, or goes to the browser's own
        page.keyboard.press("Tab")
        place = (
            "document.activeElement === document.body || document.activeElement.closest('dialog')"
        )
        assert page.evaluate(f"Boolean({place})")
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()
    assert button.evaluate("(one) => one === document.activeElement")


def test_an_opened_number_has_an_address(visit, site):
    page = visit(site)
    page.locator("#board-1 tbody button.open").first.click()
    title = page.locator("#details-title").inner_text()
    page.reload()
    body(page)
    assert page.locator("#details-title").inner_text() == title
    page.locator("#close").click()
    assert "#" not in page.url


def test_details_that_are_gone_are_told(visit, site, tmp_path):
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    shutil.rmtree(copy / "cells")
    page = visit(copy)
    page.locator("#board-1 tbody button.open").first.click()
    page.wait_for_selector("#details-body [role=alert]")
    assert "Reload the page" in page.locator("#details-body").inner_text()
    assert len(page.wrong) == len({url for url in page.wrong if "ERR_FILE_NOT_FOUND" in url}) > 0
    page.wrong.clear()


def test_a_strangers_ledger_runs_nothing(visit, tmp_path):
    ledger = filled(tmp_path / "ledger", methods=(HOSTILE, "nft", "fno"), text=HOSTILE_TEXT)
    page = visit(written(ledger, tmp_path / "site", plots=True))
    row = page.locator("#board-1 tbody tr", has_text="window.owned").first
    assert row.locator("th").inner_text().startswith(HOSTILE)
    row.locator("button.open").first.click()
    shown = body(page)
    shown.locator("details").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
    assert (
        "window.owned=1" in shown.inner_text()
        and HOSTILE in page.locator("h2").all_inner_texts()[-1]
    )
    assert page.evaluate("typeof window.owned") == "undefined"
    assert page.locator("#details-body img, #details-body script").count() == 0
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Entry").select_option(label=HOSTILE)
    page.locator("#all-cells tbody button.open").first.click()
    body(page)
    assert page.evaluate("typeof window.owned") == "undefined"


def test_even_a_script_in_the_page_does_not_run(visit, site, tmp_path):
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    html = (copy / "index.html").read_text(encoding="utf-8")
    bad = "<main id='content'><script>window.owned=1</script><img src=x onerror=window.owned=1>"
    (copy / "index.html").write_text(html.replace('<main id="content">', bad), encoding="utf-8")
    page = visit(copy)
    assert page.evaluate("typeof window.owned") == "undefined"
    assert any("Content Security Policy" in text for text in page.wrong)
    page.wrong.clear()


def test_the_page_loads_nothing_but_plots_until_something_is_opened(visit, site):
    page = visit(site)
    asked = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert [url for url in asked if "/plots/" not in url and not url.startswith("data:")] == []
