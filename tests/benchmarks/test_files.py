from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from benchmarks import files
from xmft.cache import whole
from xmft.errors import RequestError
from xmft.task import Origin


def _touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_find_looks_in_all_folders_and_takes_the_first_in_sorted_order(data_root: Path) -> None:
    later = _touch(data_root / "b" / "wanted.h5")
    first = _touch(data_root / "a" / "deep" / "wanted.h5")
    _touch(data_root / "a" / "other.h5")
    assert files.find(data_root, ["wanted.h5", "absent.h5"]) == {"wanted.h5": first}
    first.unlink()
    assert files.find(data_root, ["wanted.h5"]) == {"wanted.h5": later}


@pytest.mark.parametrize("own", ["generated", "prepared", "source"])
def test_find_leaves_out_what_this_package_wrote(
    data_root: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(data_root / own / "wanted.h5")
    assert files.find(data_root, ["wanted.h5"]) == {}
    monkeypatch.setenv("XMFT_CACHE", str(data_root / "cache"))
    _touch(data_root / "cache" / own / "wanted.h5")
    assert files.find(data_root, ["wanted.h5"]) == {}
    users_own = _touch(data_root / "cache" / "deeper" / own / "wanted.h5")
    assert files.find(data_root, ["wanted.h5"]) == {"wanted.h5": users_own}


def test_find_follows_links_once(data_root: Path, tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere" / "wanted.h5")
    (data_root / "link").symlink_to(tmp_path / "elsewhere")
    (data_root / "loop").symlink_to(data_root)
    (data_root / "broken.h5").symlink_to(tmp_path / "nothing")
    found = files.find(data_root, ["wanted.h5", "broken.h5"])
    assert found == {"wanted.h5": data_root / "link" / "wanted.h5"}


def test_find_in_a_missing_folder_finds_nothing_and_a_file_is_refused(tmp_path: Path) -> None:
    assert files.find(tmp_path / "nowhere", ["a"]) == {}
    with pytest.raises(RequestError, match="is a file; name the folder"):
        files.find(_touch(tmp_path / "file"), ["a"])


def test_a_folder_without_write_permission_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    assert files.is_writable(folder / "new" / "deeper")
    folder.chmod(0o555)
    try:
        assert not files.is_writable(folder / "new")
    finally:
        folder.chmod(0o755)
    assert not files.is_writable(_touch(tmp_path / "file") / "below")


class _Inspector:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> Origin:
        self.calls += 1
        return "miniature"


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path) -> None:
    path, inspect = _touch(tmp_path / "a.h5", b"one"), _Inspector()
    for _ in range(2):
        identity = files.identify(path, inspect)
        assert identity.sha256 == hashlib.sha256(b"one").hexdigest()
        assert identity.origin == "miniature"
    assert inspect.calls == 1
    status = path.stat()
    path.write_bytes(b"two")  # same size: the change time tells
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert files.identify(path, inspect).sha256 == hashlib.sha256(b"two").hexdigest()
    assert inspect.calls == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"version": 0, "files": {}}',
        b'{"version": 1, "files": 3}',
        b'{"version": 1, "files": {"PATH": {"size": 3}}}',
    ],
)
def test_a_damaged_cache_is_replaced(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = _touch(tmp_path / "a.h5", b"one")
    _touch(cache / "fingerprints.json", content.replace(b"PATH", os.fsencode(path)))
    assert files.identify(path, _Inspector()).sha256 == hashlib.sha256(b"one").hexdigest()
    records = json.loads((cache / "fingerprints.json").read_text())["files"]
    assert list(records) == [str(path)]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, cache: Path) -> None:
    _touch(cache)  # a file where the folder should be
    path = _touch(tmp_path / "a.h5", b"one")
    assert files.identify(path, _Inspector()).sha256 == hashlib.sha256(b"one").hexdigest()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError), whole(tmp_path / "taken") as temporary:
        temporary.write_bytes(b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("size", "text"), [(12, "12 bytes"), (6_851_787, "6.9 MB"), (8_232_968_312, "8.2 GB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert files.size_text(size) == text


def test_roots_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMFT_DATA", str(tmp_path / "d"))
    assert files.default_data_root() == tmp_path / "d"
    monkeypatch.delenv("XMFT_DATA")
    monkeypatch.delenv("XMFT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.default_data_root() == files.cache_root() == tmp_path / ".cache" / "xmft"
