"""Tables in a browser: sorting, filtering, paging, with the mouse and with the keyboard."""

import pytest
from playwright.sync_api import expect

from tests.runner.site.pages import filled, opened, written

VALUE = 4  # the column, counted from 1


def column(page, place, table="#all-cells"):
    return page.locator(f"{table} tbody tr > :nth-child({place})").all_inner_texts()


def head(page, name, table="#all-cells"):
    return page.locator(f"{table} thead th", has_text=name).first


def numbers(texts):
    return [float(text) for text in texts if text != "none"]


def test_a_header_sorts_up_down_and_back(visit, site):
    page = visit(site)
    first = column(page, VALUE)
    header = head(page, "value")
    for order, said in ((1, "ascending"), (-1, "descending")):
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == said
        found = column(page, VALUE)
        assert found[-1] == "none"  # what is not there comes last in both directions
        values = numbers(found)
        assert values == sorted(values, reverse=order < 0) and len(values) == len(found) - 1
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(page, VALUE) == first


def test_texts_sort_as_texts_and_seeds_as_numbers(visit, site):
    page = visit(site)
    for name, place, key in (("task", 2, str), ("seed", 3, int)):
        head(page, name).get_by_role("button").click()
        found = [key(text) for text in column(page, place)]
        assert found == sorted(found) and len(set(found)) > 1


def test_headers_sort_by_the_keyboard_alone(visit, site):
    page = visit(site)
    button = head(page, "value").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert numbers(column(page, VALUE)) == sorted(numbers(column(page, VALUE)))
    page.keyboard.press("Space")
    assert head(page, "value").get_attribute("aria-sort") == "descending"
    assert button.evaluate("(one) => one === document.activeElement")
    outline = button.evaluate("(one) => getComputedStyle(one).outlineStyle")
    assert outline == "solid"  # the focus is seen


def test_filters_leave_what_they_say_and_tell_how_many(visit, site):
    page = visit(site)
    cells = opened(site).cells
    count = page.locator("#count")
    assert count.inner_text() == f"{len(cells)} of {len(cells)} cells"
    assert count.get_attribute("role") == "status"
    page.get_by_role("combobox", name="Task").select_option("pdebench/advection")
    left = [cell for cell in cells if cell["task"] == "pdebench/advection"]
    assert count.inner_text() == f"{len(left)} of {len(cells)} cells"
    assert set(column(page, 2)) == {"pdebench/advection"}
    page.get_by_role("combobox", name="State").select_option("oom")
    assert column(page, 1) == ["fno"] and count.inner_text() == f"1 of {len(cells)} cells"
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#all-cells tbody tr").nth(1)).to_be_visible()
    assert count.inner_text() == f"{len(cells)} of {len(cells)} cells"
    page.get_by_label("Search").fill("ORCA nasbench")
    assert {*zip(column(page, 1), column(page, 2), strict=True)} == {("orca", "nasbench360/darcy")}
    page.get_by_role("textbox", name="Seed").fill("1")
    assert column(page, 3) == ["1"]
    page.get_by_label("Search").fill("nobody")
    assert count.inner_text() == f"0 of {len(cells)} cells" and column(page, 1) == []


def test_many_cells_are_shown_page_by_page(visit, tmp_path):
    methods = tuple(f"method_{number:02}" for number in range(20))
    site = written(filled(tmp_path / "ledger", methods=methods), tmp_path / "site")
    page = visit(site)
    seen = column(page, 1)
    following = page.get_by_role("button", name="Next")
    assert page.locator("#page-of").inner_text() == "page 1 of 3" and len(seen) == 50
    for number in (2, 3):
        following.press("Enter")
        assert page.locator("#page-of").inner_text() == f"page {number} of 3"
        seen += column(page, 1)
    assert len(seen) == 120 and set(seen) == set(methods)
    following.press("Enter")  # there is nothing behind it, and the focus stays
    assert page.locator("#page-of").inner_text() == "page 3 of 3"
    assert following.evaluate("(one) => one === document.activeElement")
    head(page, "seed").get_by_role("button").click()
    assert page.locator("#page-of").inner_text() == "page 1 of 3"
    assert set(column(page, 3)) == {"0"}


def test_a_leaderboard_sorts_by_each_column(visit, site):
    page = visit(site)
    board = "#board-1 table.board"
    heads = page.locator(f"{board} thead th")
    assert heads.nth(1).get_attribute("aria-sort") == "ascending"
    entries = [text.split()[0] for text in heads.all_inner_texts()].index("entry") + 1
    before = column(page, entries, board)
    for place in range(heads.count()):
        heads.nth(place).get_by_role("button").click()
        keys = page.locator(f"{board} tbody tr > :nth-child({place + 1})").evaluate_all(
            "(places) => places.map((place) => place.dataset.sort ?? null)"
        )
        found = [key if place + 1 == entries else float(key) for key in keys if key is not None]
        order = heads.nth(place).get_attribute("aria-sort")
        assert found == sorted(found, reverse=order == "descending")
        assert None not in keys[: len(found)]
        assert sorted(column(page, entries, board)) == sorted(before)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(visit, site, width):
    page = visit(site, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("table.board button.open").first.click()
    page.wait_for_selector("#details-body .result")
    box = page.locator("#details").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    wider = page.locator("#details-body").evaluate("(one) => one.scrollWidth - one.clientWidth")
    assert wider == 0
