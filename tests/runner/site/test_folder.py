"""The folder of a page: its own files are replaced, those of others never."""

import os

import pytest

from runner.report.site.folder import check_folder, write_page
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import xmft
from tests.runner.site.pages import filled, written
from xmft.errors import RequestError


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("ledger"))


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_stale_goes_and_what_is_not_ours_stays(tmp_path):
    ledger = filled(tmp_path / "ledger")
    site = written(ledger, tmp_path / "site")
    before = names(site)
    (site / "cells" / "notes.txt").write_text("mine")
    (site / "own.html").write_text("mine")
    ledger.write_attempt(attempt_of(cell_of("pdebench/advection", "nft", 2), score_of(0.1)))
    after = names(written(ledger, site))
    gone = before - after
    assert len(gone) == 1 and gone.pop().startswith("cells/")
    assert {"cells/notes.txt", "own.html"} <= after
    assert len(after) == len(before) + 2


@pytest.mark.parametrize("name", ["plots", "cells"])
def test_a_page_in_a_folder_that_is_called_like_one_of_its_own_is_written_again(tmp_path, name):
    folder = tmp_path / name
    files = {"index.html": b"<p>1", "version.txt": b"1", "cells/a.js": b"x"}
    write_page(files, folder)
    write_page(files | {"index.html": b"<p>2", "version.txt": b"2"}, folder)
    assert (folder / "index.html").read_bytes() == b"<p>2"
    assert (folder / "version.txt").read_bytes() == b"2"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_folder_of_something_else_is_refused(ledger, tmp_path, kind):
    target = tmp_path / "mine"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
        (target / "index.html").write_text("<p>mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="--out") as refused:
        written(ledger, target)
    assert str(target) in str(refused.value) and "\n" not in str(refused.value)
    if kind == "folder":
        assert names(target) == {"index.html"}


def test_a_page_whose_writing_was_interrupted_is_written_again(ledger, tmp_path, monkeypatch):
    def broken(source, target):
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", lambda path, target: broken(path, target))
        with pytest.raises(RequestError, match="cannot be written"):
            written(ledger, tmp_path / "site")
    assert names(tmp_path / "site") == set()  # nothing half written is left
    (tmp_path / "site" / ".xmft-report").touch()
    (tmp_path / "site" / "cells").mkdir()
    (tmp_path / "site" / "cells" / "half.js").write_text("half")
    assert "cells/half.js" not in names(written(ledger, tmp_path / "site"))


def test_the_page_itself_comes_after_what_it_loads(tmp_path, monkeypatch):
    order = []
    replace = os.replace
    monkeypatch.setattr(
        "pathlib.Path.replace",
        lambda path, target: (order.append(target.name), replace(path, target)),
    )
    write_page({"index.html": b"", "version.txt": b"", "cells/a.js": b""}, tmp_path / "site")
    assert order == [".xmft-report", "a.js", "index.html", "version.txt"]
    check_folder(tmp_path / "site")


def test_the_command_writes_a_page_and_says_where(ledger, tmp_path):
    site = tmp_path / "site"
    told = xmft("report", "--results", ledger.shown, "--out", site, "--no-plots")
    assert (told.exit_code, told.output) == (0, f"The page is {site / 'index.html'}\n")
    assert xmft("report", "--results", ledger.shown, "--out", site, "--no-plots").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "80"), "add --watch"),
        (("--watch", "--port", "65536"), "from 0 to 65535, found 65536"),
        (("--methods", "nowt"), "matches 'nowt'"),
        (("--seeds", "x"), "whole numbers"),
    ],
)
def test_wrong_requests_are_one_sentence(ledger, tmp_path, arguments, said):
    told = xmft("report", "--results", ledger.shown, "--out", tmp_path / "site", *arguments)
    assert told.exit_code == 2 and said in told.output and told.output.count("\n") == 1


def test_an_empty_ledger_has_no_page(tmp_path):
    told = xmft("report", "--results", tmp_path / "none", "--out", tmp_path / "site")
    assert told.exit_code == 2 and "The ledger holds no results" in told.output
    assert not (tmp_path / "site").exists()
