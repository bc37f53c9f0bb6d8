"""The page as it is written: valid, complete, the ledger's numbers, and nothing else runs in it."""

import base64
import hashlib
import json
import re
import statistics
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmarks.catalog import TASKS as CATALOG
from runner.report.site import page as pages
from runner.report.site.citations import citations
from runner.results import results
from runner.visible import visible
from tests.runner.site.pages import HOSTILE, HOSTILE_TEXT, Page, details, filled, opened, written
from xmft.errors import RequestError
from xmft.methods import METHODS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def site(ledger, tmp_path_factory):
    return written(ledger, tmp_path_factory.mktemp("site"), plots=True)


def test_the_html_is_balanced_and_its_ids_are_unique(site):
    page = opened(site)
    assert page.unbalanced == []
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))


def test_all_that_the_page_names_is_there(site):
    page = opened(site)
    ids = {one["id"] for _, one in page.elements if "id" in one}
    for link in page.all("a"):
        target = link["href"]
        if target.startswith("#"):
            assert target[1:] in ids
        elif not target.startswith("https://"):
            assert (site / unquote(target)).is_file()
    for image in page.all("img"):
        assert (site / image["src"]).is_file() and image["alt"]
    assert len(page.all("img")) > 5
    for name, one in page.elements:
        for attribute in ("aria-labelledby", "for", "aria-describedby"):
            assert one.get(attribute, next(iter(ids))) in ids, name
    for cell in page.cells:
        assert (site / "cells" / f"{cell['chunk']}.js").is_file()


def test_nothing_is_loaded_from_anywhere_else(site):
    page = opened(site)
    loaded = [one["src"] for _, one in page.elements if "src" in one]
    loaded += [one["href"] for one in page.all("link")]
    assert [place for place in loaded if "//" in place] == []
    assert "url(" not in "".join(page.texts["style"]) and "@import" not in page.texts["style"][0]


def test_the_table_is_what_the_ledger_holds(site, ledger):
    told = {cell["id"]: cell for cell in opened(site).cells}
    found = results(ledger.read())
    assert told.keys() == {cell.cell_id for cell in found}
    for cell in found:
        row = told[cell.cell_id]
        assert (row["task"], row["method"], row["seed"]) == (cell.task, cell.method, cell.seed)
        assert (row["protocol"], row["origin"]) == (cell.protocol, cell.origin or "unknown")
        assert row["value"] == cell.value
        assert row["state"] == (cell.failure or "ok")
        assert row["seconds"] == pytest.approx(cell.wall_s)


def test_details_are_what_the_ledger_holds(site, ledger):
    told = details(site)
    rows = ledger.read().to_pylist()
    assert told.keys() == {row["cell_id"] for row in rows}
    for row in rows:
        cell = told[row["cell_id"]]
        config = json.loads(row["config_json"])
        assert {**cell["config"], "seed": config["seed"]} == config
        attempt = next(one for one in cell["attempts"] if one["attempt"] == row["attempt"])
        for name in ("status", "failure", "error", "device", "host", "wall_s", "git_revision"):
            assert attempt.get(name) == row[name]
        assert attempt["versions"] == json.loads(row["versions"])
        if row["attempt"] == cell["counts"] and row["metric"] is not None:
            score = [row[name] for name in ("split", "selection", "metric")]
            value = [row["metric_version"], row["direction"], row["value"], row["epoch"]]
            assert score + value in cell["scores"]
    assert sum(len(cell["scores"]) for cell in told.values()) == sum(
        row["metric"] is not None for row in rows
    )
    assert {len(cell["attempts"]) for cell in told.values()} == {1, 2}


def test_curves_and_commands_are_those_of_the_cells(site, ledger):
    for cell_id, cell in details(site).items():
        curves = ledger.curves(cell_id)
        if not curves.num_rows:
            assert cell["curves"] == {}
        else:
            epochs, values = cell["curves"]["val plain"]
            assert epochs == curves["epoch"].to_pylist()
            assert values == pytest.approx(curves["value"].to_pylist(), rel=1e-6)
        assert f"cell:{cell_id} " in cell["command"] and ledger.shown in cell["command"]


def test_each_number_of_a_board_opens_the_cells_that_it_is_the_mean_of(site):
    page = opened(site)
    buttons = [one for one in page.all("button") if one.get("data-cells")]
    places = [
        (parent, button)
        for (name, parent), (_, button) in zip(page.elements, page.elements[1:], strict=False)
        if name == "td" and button in buttons
    ]
    assert len(places) == len(buttons) > 12
    for parent, button in places:
        cells = [page.cells[int(place)] for place in button["data-cells"].split()]
        assert len({(cell["entry"], cell["task"]) for cell in cells}) == 1
        values = [cell["value"] for cell in cells if cell["value"] is not None]
        assert float(parent["data-sort"]) == pytest.approx(statistics.fmean(values))


def test_filters_leave_what_they_name(ledger, tmp_path):
    site = written(ledger, tmp_path / "site", tasks=["*darcy*"], methods=["nft", "fno"], seeds=[1])
    cells = opened(site).cells
    assert {cell["task"] for cell in cells} == {"pdebench/darcy:beta1.0", "nasbench360/darcy"}
    assert {cell["method"] for cell in cells} == {"nft", "fno"}
    assert {cell["seed"] for cell in cells} == {1}
    with pytest.raises(RequestError, match="No method of the ledger matches 'nowt'"):
        written(ledger, tmp_path / "other", methods=["nowt"])


def test_the_same_ledger_makes_the_same_files(ledger, tmp_path):
    one, other = written(ledger, tmp_path / "one"), written(ledger, tmp_path / "other")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_names_and_texts_stay_text_whatever_they_are(tmp_path, ledger):
    strange = filled(tmp_path / "ledger", methods=(HOSTILE, "nft", "fno"), text=HOSTILE_TEXT)
    site = written(strange, tmp_path / "site")
    page, usual = opened(site), opened(written(ledger, tmp_path / "usual"))
    assert page.unbalanced == []
    # But for links to papers that a method of that name does not have, and places to break lines.
    plain = [
        Counter(tag for tag, _ in one.elements if tag not in ("a", "wbr")) for one in (page, usual)
    ]
    assert plain[0] == plain[1]
    assert [name for _, one in page.elements for name in one if name.startswith("on")] == []
    assert any(text.strip().startswith(HOSTILE) for text in page.texts["th"])
    assert {cell["method"] for cell in page.cells} == {HOSTILE, "nft", "fno"}
    errors = [
        attempt["error"]
        for cell in details(site).values()
        for attempt in cell["attempts"]
        if "error" in attempt
    ]
    told = visible(HOSTILE_TEXT.encode(errors="replace").decode())
    assert len(errors) == 2 and all(error.endswith(told) for error in errors)
    for path in (site / "cells").iterdir():
        assert not set("<>&\x1b\u202e\u2028") & set(path.read_text(encoding="utf-8"))


def test_the_policy_lets_our_scripts_run_and_no_others(site):
    page = opened(site)
    policy = next(one["content"] for one in page.all("meta") if "http-equiv" in one)
    texts = [text for text in page.texts["script"] if not text.startswith("{")]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts}
    assert set(re.findall(r"'sha256-([^']+)'", policy.partition("style-src")[0])) == hashes
    assert "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize(
    "record", sorted(ROOT.glob("**/vendor/vendored.json")), ids=lambda path: path.parts[-3]
)
def test_what_others_wrote_is_what_they_published(record):
    listed = {"vendored.json"}
    for package in json.loads(record.read_text()):
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) and package["licence"]
        for name, file in package["files"].items():
            found = hashlib.sha256((record.parent / name).read_bytes()).hexdigest()
            assert found == file["sha256"], name
            listed.add(name)
    assert {path.name for path in record.parent.iterdir()} == listed


def test_every_method_and_suite_is_cited_and_nothing_else():
    named = {
        kind: {one.name for one in citations() if one.kind == kind} for kind in ("method", "suite")
    }
    shipped = {"pdebench", "nasbench360"}
    assert named == {"method": set(METHODS), "suite": shipped}
    assert shipped <= {task.partition("/")[0] for task in CATALOG}
    assert all(one.text and (not one.url or one.url.startswith("https://")) for one in citations())


def test_a_page_reads_itself_as_a_page():
    assert Page("<p>a<b>c</p>").unbalanced  # the check finds what it is for
    assert (
        pages.version_of(b'<meta name="xmft-version" content="0123456789abcdef">')
        == "0123456789abcdef"
    )
