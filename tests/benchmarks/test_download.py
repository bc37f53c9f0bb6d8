from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath

import pytest

from benchmarks import data as task_data
from benchmarks import transfer
from benchmarks.pdebench import download
from xmft.errors import DataError

NAME = "2D_DarcyFlow_beta0.1_Train.hdf5"
GROUPS = "2D_rdb_NA_NA.h5"
CONTENT = bytes(range(256)) * 40


class _Server(HTTPServer):
    """Serves CONTENT; `cut` ends the connection early, `ranges` knows the Range header."""

    cut: int | None = None
    ranges = True
    asked: list[str | None]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.server.ranges:
            start = 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    release = download.Release(
        path=PurePosixPath("2D/DarcyFlow") / NAME,
        number="7",
        md5=hashlib.md5(CONTENT).hexdigest(),
        samples=10,
    )
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
    groups = replace(release, path=PurePosixPath("2D/shallow-water") / GROUPS)
    monkeypatch.setattr(download, "releases", lambda: {NAME: release, GROUPS: groups})
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_table_matches_the_published_one() -> None:
    table = download.releases()
    assert len(table) == 53
    assert len({release.md5 for release in table.values()}) == 53
    assert all(len(release.md5) == 32 for release in table.values())
    release = table["1D_Advection_Sols_beta0.4.hdf5"]
    assert release.number == "255674"
    assert release.md5 == "d595bbfd2c659df995a93cd40d6ea568"
    assert release.path.parent == PurePosixPath("1D/Advection/Train")
    water = table["2D_rdb_NA_NA.h5"]
    assert (water.number, water.samples) == ("133021", 1000)
    assert water.path.parent == PurePosixPath("2D/shallow-water")


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: _Server, data_root: Path) -> None:
    done: list[tuple[int, int]] = []
    path = download.fetch(NAME, data_root, progress=lambda *pair: done.append(pair))
    assert path == data_root / "pdebench" / "2D" / "DarcyFlow" / NAME
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [NAME]
    assert done[-1] == (len(CONTENT), len(CONTENT))
    assert download.fetch(NAME, data_root) == path
    assert server.asked == [None]


@pytest.mark.parametrize("name", [NAME, GROUPS])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_off_goes_on(
    server: _Server, data_root: Path, ranges: bool, name: str
) -> None:
    server.cut = 3000
    with pytest.raises(DataError, match=f"ended after 3000 of {len(CONTENT)} bytes") as caught:
        download.fetch(name, data_root)
    assert "Run the command again to go on where it stopped" in str(caught.value)
    assert not list(data_root.rglob(name))
    assert [path.name for path in data_root.rglob("*.part")] == [f"{name}.part"]
    # Where it stopped it was asked again, and no more came.
    assert server.asked == [None, *["bytes=3000-"] * 2]
    server.cut, server.ranges = None, ranges
    assert download.fetch(name, data_root).read_bytes() == CONTENT
    assert not list(data_root.rglob("*.part"))
    assert server.asked[3:] == ["bytes=3000-"]


def test_a_part_that_is_already_whole(server: _Server, data_root: Path) -> None:
    part = data_root / "pdebench" / "2D" / "DarcyFlow" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert download.fetch(NAME, data_root).read_bytes() == CONTENT
    assert not part.exists()


def test_a_wrong_checksum_leaves_no_file(
    server: _Server, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = download.releases()
    wrong = {NAME: replace(right[NAME], md5=hashlib.md5(b"else").hexdigest())}
    with monkeypatch.context() as patch:
        patch.setattr(download, "releases", lambda: wrong)
        with pytest.raises(DataError, match="does not match the known hash"):
            download.fetch(NAME, data_root)
    assert not list(data_root.rglob("*.*"))
    assert download.fetch(NAME, data_root).read_bytes() == CONTENT


def test_a_part_of_something_else_is_thrown_away(server: _Server, data_root: Path) -> None:
    part = data_root / "pdebench" / "2D" / "DarcyFlow" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    path = download.fetch(NAME, data_root)
    assert path.read_bytes() == CONTENT and server.asked == ["bytes=14-", None]
    assert list(path.parent.iterdir()) == [path]


def test_another_file_of_that_name_is_not_overwritten(server: _Server, data_root: Path) -> None:
    mine = data_root / NAME
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="has the official name but not the published md5"):
        download.fetch(NAME, data_root)
    assert mine.read_bytes() == b"mine" and server.asked == []


@pytest.mark.parametrize(
    ("task", "file", "number"),
    [
        ("pdebench/darcy", f"2D/DarcyFlow/{NAME}", "133218"),
        ("pdebench/shallow_water", f"2D/shallow-water/{GROUPS}", "133021"),
    ],
)
def test_without_a_connection_the_message_says_what_goes_where(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, task: str, file: str, number: str
) -> None:
    monkeypatch.setattr(download, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(DataError) as caught:
        task_data.fetch(task, data_root=data_root)
    message, name = str(caught.value), Path(file).name
    assert message.startswith(f"{name} could not be fetched from http://127.0.0.1:9/{number}")
    assert f"md5 {download.releases()[name].md5}" in message
    assert f"put it anywhere under {data_root}" in message
    assert f"for instance at {data_root / 'pdebench' / file}" in message
