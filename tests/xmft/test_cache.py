from __future__ import annotations

import hashlib
import os
import pwd
import threading
from pathlib import Path

import pytest

from xmft.cache import (
    cache_root,
    check_writable,
    digest,
    key,
    lend_home,
    once,
    walk,
    whole,
)
from xmft.errors import DataError, FileError, RequestError, mending


def test_a_key_is_the_hash_of_canonical_json() -> None:
    assert key(b=1, a=[0.5, None]) == hashlib.sha256(b'{"a":[0.5,null],"b":1}').hexdigest()
    assert key(a=1) != key(a=2)


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert digest(tmp_path / "a") == hashlib.sha256(b"x").hexdigest()
    assert digest(tmp_path / "a", "md5") == hashlib.md5(b"x").hexdigest()


def test_what_is_wanted_at_once_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("content")

    def read(path: Path) -> str | None:
        return path.read_text() if path.is_file() else None

    found: list[str] = []
    place = tmp_path / "deep" / "file"
    threads = [
        threading.Thread(target=lambda: found.append(once(place, make, read))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["content"] * 8 and len(made) == 1
    assert sorted(path.name for path in place.parent.iterdir()) in (["file"], ["file", "file.lock"])


def test_what_is_damaged_is_made_again(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    (place / "rest").touch()

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "good").touch()

    once(place, make, lambda path: True if (path / "good").exists() else None)
    assert [path.name for path in place.iterdir()] == ["good"]
    with pytest.raises(FileNotFoundError, match="vanished"):
        once(tmp_path / "other", make, lambda path: None)


@pytest.mark.parametrize("folder", [False, True])
def test_an_error_leaves_nothing_behind(tmp_path: Path, folder: bool) -> None:
    with pytest.raises(RuntimeError), whole(tmp_path / "place") as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "file").touch()
        else:
            temporary.touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_walk_is_sorted_and_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/deep/3", "skipped/4", "0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")
    found = [
        (folder.relative_to(tmp_path).as_posix(), names)
        for folder, names in walk(tmp_path, skip=lambda path: path.name == "skipped")
    ]
    assert found == [(".", ["0"]), ("a", []), ("a/deep", ["3"]), ("b", ["1", "2"])]
    assert [names for _, names in walk(tmp_path / "nowhere")] == [[]]


def test_a_file_error_says_what_was_found_and_who_asks_adds_what_to_do() -> None:
    error = FileError("f.h5", "found 3 samples", "at least 4", "A note.")
    assert (error.path, error.found, error.expected) == ("f.h5", "found 3 samples", "at least 4")
    assert str(error) == "f.h5: found 3 samples, expected at least 4. A note."
    with pytest.raises(DataError, match=r"^f.h5 is gone\. Fetch it\.$"), mending("Fetch it."):
        raise FileError("f.h5", "is gone", between=" ")


def test_a_file_error_survives_a_pickle() -> None:
    import pickle

    error = FileError("f.h5", "found 3 samples", "at least 4", "A note.", between=" ")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_links_to_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert next(walk(tmp_path))[1] == ["file", "link"]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user id without a name and without HOME."""

    def unknown(_id: int) -> None:
        raise KeyError

    for name in ("HOME", "XMFT_CACHE", "XMFT_DATA", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_no_home_names_the_variable(nobody: None) -> None:
    lend_home()
    assert "HOME" not in os.environ
    with pytest.raises(RequestError, match="Set XMFT_CACHE to a folder that can be written"):
        cache_root()


def test_a_home_in_the_cache(nobody: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path))
    lend_home()
    assert Path.home() == tmp_path / "home"
    assert "MPLCONFIGDIR" not in os.environ


def test_a_home_that_is_there_stays(
    nobody: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("MPLCONFIGDIR")  # what is set below goes with the test
    lend_home()
    assert Path.home() == tmp_path / "file"
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "matplotlib")


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "file"))
    with pytest.raises(RequestError, match="Set XMFT_CACHE to a folder that can"):
        check_writable()
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "new"))
    check_writable()
    assert list((tmp_path / "new").iterdir()) == []
