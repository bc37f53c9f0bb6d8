"""Files that come over a network on which anything happens."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import transfer
from benchmarks.room import NoRoomError
from tests.benchmarks.retrieving import CONTENT, MD5, SHA, SIZE, Fetch
from tests.mirror import LOGIN, Mirror, Served


@pytest.fixture
def fetch(data_root: Path) -> Fetch:
    return Fetch(data_root)


def test_a_file_is_announced_shown_pinned_and_fetched_once(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT))
    path = fetch(url)
    assert path == fetch.folder / "all.bin" and path.read_bytes() == CONTENT
    assert fetch.said == [f"all.bin: 300.0 kB from 127.0.0.1:{web.server_port}"]
    assert fetch.shown[0] == (0, SIZE) and fetch.shown[-1] == (SIZE, SIZE)
    assert fetch.shown == sorted(fetch.shown)
    assert (fetch.folder / "all.bin.sha256").read_text() == f"{SHA}  all.bin\n"
    assert fetch.names == {"all.bin", "all.bin.sha256"}
    assert fetch(url) == path and len(web.asked) == 1


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Served(status=403), "HTTP Error 403"),
        (Served(status=404), "HTTP Error 404"),
        (Served(status=503), "HTTP Error 503"),
        (Served(LOGIN, kind="text/html; charset=utf-8"), "it sends a web page (text/html)"),
        (Served(LOGIN), "what it sends is a web page"),
        (Served(b""), "what it sends is empty"),
        (Served(CONTENT, cuts=[0]), f"the connection ended after 0 of {SIZE} bytes"),
        (Served(CONTENT, cuts=[200_000, 0]), f"the connection ended after 200000 of {SIZE} bytes"),
        (Served(CONTENT, wait=0.6), "timed out"),
        (Served(CONTENT, length=5 * SIZE), "it has 1500000 bytes, about 300.0 kB are expected"),
        (Served(CONTENT[: SIZE // 2], length=0), "it has 150000 bytes, about 300.0 kB"),
        (Served(CONTENT, length=SIZE // 2), "it has 150000 bytes, about 300.0 kB"),
    ],
)
def test_a_mirror_that_fails_is_passed_over(
    web: Mirror, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, bad: Served, why: str
) -> None:
    monkeypatch.setattr(transfer, "WAIT_SECONDS", 0.2)
    first = web.put("first", bad)
    assert fetch(first, web.put("second", Served(CONTENT)), size=SIZE).read_bytes() == CONTENT
    passed = next(line for line in fetch.said if "could not be fetched from" in line)
    assert f"{first} ({why}" in passed and "the next address is tried" in passed
    assert fetch.names == {"all.bin", "all.bin.sha256"}
    assert {path for path, _, _ in web.asked} == {"/first", "/second"}


def test_redirects_are_followed_to_the_file_and_not_to_a_login(web: Mirror, fetch: Fetch) -> None:
    login = web.put("login", Served(LOGIN, kind="text/html"))
    to_login = web.put("away", Served(to=login))
    to_file = web.put("moved", Served(to=web.put("real", Served(CONTENT, cuts=[9999, None]))))
    assert fetch(to_login, to_file).read_bytes() == CONTENT
    assert web.asked[-1] == ("/real", "bytes=9999-", '"one"')


def test_nobody_listens(fetch: Fetch, web: Mirror) -> None:
    path = fetch("http://127.0.0.1:9/all.bin", web.put("all.bin", Served(CONTENT)))
    assert path.read_bytes() == CONTENT


def test_where_all_mirrors_fail_each_is_named(web: Mirror, fetch: Fetch) -> None:
    urls = [
        web.put("a", Served(status=403)),
        web.put("b", Served(LOGIN, kind="text/html")),
        web.put("c", Served(CONTENT, cuts=[1000, 0])),
    ]
    message = fetch.refused(*urls, checksum=f"md5:{MD5}", note="A drive has it as 1OOp6.")
    assert message.startswith(f"all.bin could not be fetched from {urls[0]} (HTTP Error 403")
    assert f", nor from {urls[1]} (it sends a web page" in message
    assert f", nor from {urls[2]} (the connection ended after 1000 of {SIZE} bytes)" in message
    assert "Run the command again to go on where it stopped, or download the file" in message
    assert f"(md5 {MD5}) and put it anywhere under {fetch.data_root}" in message
    assert message.endswith(f"for instance at {fetch.folder / 'all.bin'}. A drive has it as 1OOp6.")
    assert fetch.names == {"all.bin.part", "all.bin.part.json"}


def test_a_file_that_only_people_can_get(fetch: Fetch) -> None:
    message = fetch.refused(note="A drive has it as 1OOp6.")
    assert message.startswith("all.bin could not be fetched automatically. Download the file and")
    assert message.endswith("A drive has it as 1OOp6.")


def test_a_length_that_is_too_large_is_told(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT, length=SIZE + 500))
    said = f"{SIZE} bytes have arrived, the server has {SIZE} and said {SIZE + 500}"
    message = fetch.refused(url)
    assert f"the connection ended after {SIZE} of {SIZE + 500} bytes" in message
    assert any(said in line for line in fetch.said)
    assert fetch(url, checksum=f"md5:{MD5}").read_bytes() == CONTENT  # which tells better


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"size": SIZE, "about": False}, "it has 290000 bytes, 300000 bytes are expected"),
        ({"checksum": f"sha256:{SHA}"}, "does not match the known hash"),
        ({"checksum": f"md5:{MD5}"}, "does not match the known hash"),
    ],
)
def test_a_length_that_is_too_small_is_told(
    web: Mirror, fetch: Fetch, known: dict[str, Any], why: str
) -> None:
    url = web.put("all.bin", Served(CONTENT, length=290_000))
    assert why in fetch.refused(url, **known)
    assert fetch.names == set()  # what was wrong is no beginning


def test_sizes_in_other_units_are_no_fault(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT))
    assert fetch(url, size=int(SIZE / 1.024**3)).read_bytes() == CONTENT


@pytest.mark.parametrize("cut", [None, 150_000])
def test_a_server_that_sends_pieces(web: Mirror, fetch: Fetch, cut: int | None) -> None:
    """Where the connection ends is told by the missing end, without a length of the whole."""
    url = web.put("all.bin", Served(CONTENT, chunked=True, cuts=[cut, None]))
    assert fetch(url).read_bytes() == CONTENT
    assert len(web.asked) == (1 if cut is None else 2)
    assert fetch.said[0].startswith("all.bin: a file of unknown size from")


def test_a_server_without_lengths(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT, length=0))
    assert fetch(url, size=SIZE).read_bytes() == CONTENT
    assert fetch.said[0].startswith("all.bin: about 300.0 kB from")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("ecg.pkl", LOGIN, "is a web page"),
        ("ecg.pkl", b"\xef\xbb\xbf<html>", "is a web page"),
        ("ecg.pkl", b'<?xml version="1.0"?><Error>', "is a web page"),
        ("all.zip", LOGIN, "is a web page"),
        ("all.zip", b'{"error": "quota"}', "begins with b'{\"error\"', which is no .zip file"),
        ("all.tar.gz", b"Not found, sorry", "begins with b'Not foun', which is no .gz file"),
        ("x.npy", b'{"error": "quota"}', "is JSON text"),
        ("x.npy", b"\x1f\x8b rest", "is still packed (gzip)"),
        ("x.mat", bytes(5000), "begins with 5000 zero bytes: room was made for it"),
        ("x.csv", LOGIN, "is a web page"),
        ("x.npy", b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    web: Mirror, fetch: Fetch, name: str, content: bytes, why: str
) -> None:
    message = fetch.refused(web.put("x", Served(content)), name=name)
    assert f"(what it sends {why}" in message
    assert "Run the command again later, or download the file elsewhere" in message
    assert fetch.names == set()


def test_a_file_of_ones_own_is_taken_where_it_lies(web: Mirror, fetch: Fetch) -> None:
    mine = fetch.data_root / "elsewhere" / "all.bin"
    mine.parent.mkdir()
    mine.write_bytes(CONTENT)
    assert fetch("http://127.0.0.1:9/") == mine
    assert [path.name for path in mine.parent.iterdir()] == ["all.bin"]


def test_room_is_looked_for_before_anything_is_written(
    web: Mirror, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("all.bin", Served(CONTENT, cuts=[100_000, 0]))
    fetch.refused(url)
    before = (fetch.folder / "all.bin.part").read_bytes()
    left = {"free": 199_999}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(**left))
    asked = len(web.asked)
    with pytest.raises(NoRoomError) as caught:
        fetch(url, url)
    assert "all.bin needs 200.0 kB, and the disk of" in str(caught.value)
    assert "has 200.0 kB left. Make room there, or give --data another" in str(caught.value)
    assert len(web.asked) == asked + 1  # no other mirror is asked
    assert (fetch.folder / "all.bin.part").read_bytes() == before
    left["free"], web.files["/all.bin"].cuts = 200_000, [None]
    assert fetch(url).read_bytes() == CONTENT
