"""Files that come in parts, and stay what they were: nothing is glued together, nothing is lost."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from benchmarks import pins
from benchmarks.download import Download, retrieve
from tests.benchmarks.retrieving import CONTENT, MD5, OTHER, SHA, SIZE, Fetch
from tests.mirror import LOGIN, Mirror, Served
from xmft.errors import DataError


@pytest.fixture
def fetch(data_root: Path) -> Fetch:
    return Fetch(data_root)


def test_a_connection_that_ends_early_is_made_anew(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT, cuts=[100_000, 50_000, None]))
    assert fetch(url).read_bytes() == CONTENT
    assert web.asked == [
        ("/all.bin", None, None),
        ("/all.bin", "bytes=100000-", '"one"'),
        ("/all.bin", "bytes=150000-", '"one"'),
    ]
    assert fetch.said[1].startswith("all.bin: 300.0 kB from")
    assert fetch.said[1].endswith(", going on behind 100.0 kB")


def test_a_server_that_ignores_ranges_starts_again(web: Mirror, fetch: Fetch) -> None:
    served = Served(CONTENT, ranges=False, cuts=[100_000, None])
    assert fetch(web.put("all.bin", served)).read_bytes() == CONTENT
    assert web.ranges() == [None, "bytes=100000-"]
    assert any("all.bin starts again" in line for line in fetch.said)


@pytest.mark.parametrize("known", [{}, {"checksum": f"sha256:{hashlib.sha256(OTHER).hexdigest()}"}])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"heeds": False},  # it sends the end of the other version, and only its ETag tells
        {"tag": None},  # nothing tells
        {"ranges": False},
        {"heeds": False, "then": OTHER + b"more"},
        {"shift": 7, "then": None, "content": OTHER},  # other bytes than it was asked for
    ],
)
def test_two_versions_are_never_glued(
    web: Mirror, fetch: Fetch, changed: dict[str, Any], known: dict[str, Any]
) -> None:
    """The file changes on the server while half of it has arrived."""
    options = {"content": CONTENT, "then": OTHER, "cuts": [100_000, None], **changed}
    url = web.put("all.bin", Served(**options))
    longer = options["then"] not in (OTHER, None)
    if known and longer:
        assert "does not match the known hash" in fetch.refused(url, **known)
        return
    path = fetch(url, **known)
    assert path.read_bytes() == (OTHER + b"more" if longer else OTHER)
    assert fetch.names == {"all.bin"} | (set() if known else {"all.bin.sha256"})


def test_the_end_of_another_mirror_is_not_glued_on(web: Mirror, fetch: Fetch) -> None:
    urls = [
        web.put("one", Served(CONTENT, cuts=[100_000, 0])),
        web.put("two", Served(OTHER)),
    ]
    assert fetch(*urls).read_bytes() == OTHER
    assert web.asked[-1] == ("/two", None, None)


def test_with_a_checksum_another_mirror_goes_on(web: Mirror, fetch: Fetch) -> None:
    urls = [
        web.put("one", Served(CONTENT, cuts=[100_000, 0])),
        web.put("two", Served(CONTENT, tag='"its own"')),
    ]
    assert fetch(*urls, checksum=f"sha256:{SHA}").read_bytes() == CONTENT
    assert web.asked[-1] == ("/two", "bytes=100000-", None)


@pytest.mark.parametrize("known", [{}, {"checksum": f"md5:{MD5}"}])
def test_a_mirror_without_the_file_costs_nothing_of_what_arrived(
    web: Mirror, fetch: Fetch, known: dict[str, Any]
) -> None:
    served = Served(CONTENT, cuts=[100_000, 0])
    urls = [web.put("one", served), web.put("two", Served(LOGIN, kind="text/html"))]
    fetch.refused(*urls, **known)
    served.cuts = [None]
    assert fetch(*urls, **known).read_bytes() == CONTENT
    assert web.asked[-1] == ("/one", "bytes=100000-", '"one"')


def test_a_part_of_something_else_is_mended(web: Mirror, fetch: Fetch) -> None:
    fetch.folder.mkdir(parents=True)
    (fetch.folder / "all.bin.part").write_bytes(OTHER[:1000])
    url = web.put("all.bin", Served(CONTENT))
    assert fetch(url, checksum=f"md5:{MD5}").read_bytes() == CONTENT
    assert any("has not the expected checksum" in line for line in fetch.said)


def test_what_was_pinned_stays(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT, then=OTHER))
    path = fetch(url)
    path.unlink()
    message = fetch.refused(url)
    assert "does not match the known hash" in message and f"sha256 {SHA}" in message
    assert message.endswith(f"if a new release is meant, delete {path}.sha256.")
    (path.parent / "all.bin.sha256").unlink()
    assert fetch(url).read_bytes() == OTHER


def test_a_pinned_file_that_has_changed_is_not_taken(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT))
    path = fetch(url)
    assert pins.check_pin(path) == f"SHA-256 {SHA} as pinned when it was first fetched"
    path.write_bytes(OTHER)
    with pytest.raises(DataError, match="it was damaged or changed"):
        fetch(url)
    with pytest.raises(DataError, match="is not what it was when it was first fetched"):
        pins.check_pin(path)
    (path.parent / "all.bin.sha256").write_text("nothing\n")
    with pytest.raises(DataError, match="expected a SHA-256 of 64 digits"):
        fetch(url)
    assert path.read_bytes() == OTHER and len(web.asked) == 1


@pytest.mark.parametrize("known", [{}, {"checksum": f"md5:{MD5}"}])
def test_whoever_stops_it_keeps_what_arrived(
    web: Mirror, data_root: Path, known: dict[str, Any]
) -> None:
    url = web.put("all.bin", Served(CONTENT))
    download = Download(path=PurePosixPath("all.bin"), urls=(url,), **known)

    def stop(done: int, _: int) -> None:
        if done >= 65536:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrieve(download, data_root, data_root, progress=stop)
    names = {"all.bin.part", "all.bin.part.json"}
    assert {path.name for path in data_root.iterdir()} == names
    kept = (data_root / "all.bin.part").read_bytes()
    assert kept == CONTENT[: len(kept)] and len(kept) >= 65536
    assert retrieve(download, data_root, data_root).read_bytes() == CONTENT
    assert web.ranges() == [None, f"bytes={len(kept)}-"]


def test_whoever_stops_it_while_it_is_hashed_keeps_all(
    web: Mirror, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("all.bin", Served(CONTENT))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.hash_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(url, checksum=f"md5:{MD5}")
    assert fetch.names == {"all.bin.part", "all.bin.part.json"}
    assert fetch(url, checksum=f"md5:{MD5}").read_bytes() == CONTENT
    assert web.ranges() == [None, f"bytes={SIZE}-"]


def test_two_processes_do_not_write_the_same_file(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT))
    refused = []

    def second(*_: int) -> None:
        if not refused:
            refused.append(Fetch(fetch.data_root).refused(url))

    download = Download(path=PurePosixPath("all.bin"), urls=(url,))
    path = retrieve(download, fetch.folder, fetch.data_root, progress=second)
    assert path.read_bytes() == CONTENT and len(web.asked) == 1
    assert "all.bin is being fetched by another process. Wait for it" in refused[0]
    path.unlink()
    assert fetch(url) == path  # the first is done


def test_a_folder_that_cannot_be_written(web: Mirror, fetch: Fetch) -> None:
    url = web.put("all.bin", Served(CONTENT))
    fetch.folder.mkdir(parents=True)
    fetch.folder.chmod(0o555)
    message = fetch.refused(url)
    assert message == (
        f"all.bin goes to {fetch.folder}, which cannot be written. Give --data a folder that can."
    )
    assert web.asked == []
    fetch.folder.chmod(0o755)
    (fetch.folder / "all.bin").write_bytes(CONTENT)
    fetch.folder.chmod(0o555)
    assert fetch(url).read_bytes() == CONTENT  # somebody else's, which is not pinned
    assert fetch.names == {"all.bin"}
    fetch.folder.chmod(0o755)
