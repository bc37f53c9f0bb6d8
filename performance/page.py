"""The page of a large ledger in a real browser: how soon it is painted, how fast it sorts.

Times of a reader's actions are from the event to the frame after the one that shows its effect.

    python -m performance.page [--cells 10000] [--repeat 5]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from performance.ledger import grown
from runner.ledger import Ledger
from runner.report.compare import Query
from runner.report.site.building import INDEX, Builder, Wanted
from runner.report.site.folder import write_page

# Does something and returns the milliseconds until it is on the screen.
_UNTIL_SHOWN = """
async (act) => {
  const start = performance.now();
  new Function(act)();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - start;
}
"""
_SORT = "document.querySelectorAll('#all-cells thead button')[{place}].click()"
_SEARCH = (
    "const box = document.querySelector('#filters input'); box.value = '{text}'; "
    "box.dispatchEvent(new Event('input', {{bubbles: true}}))"
)
ACTIONS = {
    "sort by entry (text)": _SORT.format(place=0),
    "sort by value (number)": _SORT.format(place=3),
    "sort by time": _SORT.format(place=8),
    "search two words": _SEARCH.format(text="method_3 task_1"),
    "search nothing": _SEARCH.format(text=""),
    "next page of the table": "document.getElementById('next').click()",
    "sort a leaderboard": "document.querySelectorAll('table.board thead button')[2].click()",
}


def measured(page: Any, address: str) -> dict[str, float]:
    """Return milliseconds of everything, of one load of the page."""
    page.goto(address)
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    while page.evaluate(paint) is None:
        page.wait_for_timeout(20)
    ready = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    times = {"first paint": page.evaluate(paint), "ready": page.evaluate(ready)}
    # What policy forbids the page is not forbidden to who drives the browser: text of `ACTIONS`
    # goes in as the body of the function itself.
    for name, act in ACTIONS.items():
        times[name] = page.evaluate(_UNTIL_SHOWN.replace("new Function(act)()", act))
    start = time.perf_counter()
    page.locator("table.board button.open").first.click()
    page.wait_for_selector("#details-body .result")
    times["open a number"] = 1000 * (time.perf_counter() - start)
    return times


def main() -> None:
    """Print the size of the page, what making it took, and the median and worst of each time."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        results, site = Path(folder) / "results", Path(folder) / "site"
        grown(results, 0, arguments.cells)
        builder = Builder(Ledger(results), Wanted(query=Query(), plots=False))
        for name in ("made", "made again"):
            start = time.perf_counter()
            files = builder.files()
            write_page(files, site)
            print(f"{arguments.cells} cells {name} in {time.perf_counter() - start:.1f} s")
        sizes = [len(content) for content in files.values()]
        print(f"{len(files[INDEX]) / 1e6:.2f} MB to load, {sum(sizes) / 1e6:.1f} MB in all")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        runs = []
        for _ in range(arguments.repeat):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            runs.append(measured(page, f"file://{site / INDEX}"))
            page.close()
        browser.close()
    print(f"{'':24} {'median ms':>10} {'worst ms':>10}")
    for name in runs[0]:
        times = [run[name] for run in runs]
        print(f"{name:24} {statistics.median(times):>10.0f} {max(times):>10.0f}")


if __name__ == "__main__":
    main()
