"""What a task's files are got from: the mirrors of each file, archives, and its other forms."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import catalog, pins
from benchmarks import data as task_data
from benchmarks.fetching import download_text
from benchmarks.status import status
from tests.benchmarks.toy_numbers import TASK, VALUES, Numbers, archive, npy, one
from tests.mirror import LOGIN, Mirror, Served
from xmft.errors import DataError, FileError
from xmft.task import Origin


def test_an_archive_is_fetched_unpacked_and_read(web: Mirror, data_root: Path) -> None:
    url = web.put("parts.tar.gz", Served(archive("records/a.npy", "records/b.npy")))
    download = one(url, name="raw/parts.tar.gz", unpack=True, size=500)
    entry = Numbers(task=TASK, patterns=("records/*.npy",), downloads=(download,))
    said: list[str] = []
    paths = task_data.fetch(entry, data_root=data_root, say=said.append)
    folder = data_root / "toy" / "numbers" / "raw"
    assert paths == [folder / "parts" / "records" / f"{name}.npy" for name in "ab"]
    assert said[0] == "toy/numbers: 1 file, about 500 bytes"
    assert len(task_data.load(entry, data_root=data_root).train) == 40
    assert task_data.fetch(entry, data_root=data_root) == paths and len(web.asked) == 1
    lines = task_data.verify(entry, data_root=data_root)
    assert any("parts.tar.gz: SHA-256" in line for line in lines)
    with (folder / "parts.tar.gz").open("ab") as stream:
        stream.write(b"x")
    for ask in (task_data.verify, task_data.fetch):
        with pytest.raises(DataError, match=r"parts\.tar\.gz .*(first fetched)"):
            ask(entry, data_root=data_root)
    (folder / "parts.tar.gz").unlink()  # which is no longer needed
    assert task_data.fetch(entry, data_root=data_root) == paths and len(web.asked) == 1


def test_an_archive_that_is_there_is_unpacked_where_it_lies(web: Mirror, data_root: Path) -> None:
    mine = data_root / "by-hand" / "parts.tar.gz"
    mine.parent.mkdir()
    mine.write_bytes(archive("parts/a.npy"))
    entry = Numbers(
        task=TASK, files=("a.npy",), downloads=(one(name="parts.tar.gz", unpack=True, size=9),)
    )
    assert "(nothing to download, only to unpack)" in status(entry, data_root).text
    assert task_data.fetch(entry, data_root=data_root) == [mine.parent / "parts" / "a.npy"]


def test_an_archive_without_what_is_needed(web: Mirror, data_root: Path) -> None:
    url = web.put("parts.tar.gz", Served(archive("else.npy")))
    download = one(url, name="parts.tar.gz", unpack=True)
    entry = Numbers(task=TASK, files=("a.npy",), downloads=(download,))
    for _ in range(2):
        with pytest.raises(DataError, match=r"parts.tar.gz of toy/numbers came, but a.npy is not"):
            task_data.fetch(entry, data_root=data_root)
    assert len(web.asked) == 1


def test_an_archive_that_does_not_do_is_had_elsewhere(web: Mirror, data_root: Path) -> None:
    whole = archive("a.npy")
    urls = [
        web.put("one", Served(whole[:-20])),
        web.put("two", Served(archive("../a.npy"))),
        web.put("three", Served(whole)),
    ]
    download = one(*urls[:2], name="parts.tar.gz", unpack=True)
    entry = Numbers(task=TASK, files=("a.npy",), downloads=(download,))
    with pytest.raises(DataError) as caught:
        task_data.fetch(entry, data_root=data_root)
    assert f"from {urls[0]} (what it sends cannot be unpacked" in str(caught.value)
    assert f"from {urls[1]} (what it sends is not unpacked, for its member" in str(caught.value)
    folder = data_root / "toy" / "numbers"
    assert list(folder.iterdir()) == []
    download = one(*urls, name="parts.tar.gz", unpack=True)
    entry = Numbers(task=TASK, files=("a.npy",), downloads=(download,))
    assert task_data.fetch(entry, data_root=data_root) == [folder / "parts" / "a.npy"]
    assert (folder / "parts.tar.gz").read_bytes() == whole
    assert pins.check_pin(folder / "parts.tar.gz") is not None


def test_what_is_not_what_its_name_says_is_neither_kept_nor_pinned(
    web: Mirror, data_root: Path
) -> None:
    """A file that is cut off where no length is stated, and one with another content."""
    first = web.put("one", Served(npy()[:-100], length=0))
    second = web.put("two", Served(npy()))
    download = one(first, second, name="a.npy")

    class Careful(Numbers):
        def inspect(self, path: Path) -> Origin:
            if path.stat().st_size != len(npy()):
                raise FileError(path, "found too few numbers", "60")
            return "official"

    entry = Careful(task=TASK, files=("a.npy",), downloads=(download,))
    said: list[str] = []
    (path,) = task_data.fetch(entry, data_root=data_root, say=said.append)
    assert path.read_bytes() == npy() and pins.check_pin(path) is not None
    assert any(
        "(what it sends does not do: found too few numbers, expected 60); the next" in line
        for line in said
    )
    path.unlink()
    pins.place_of(path).unlink()
    with pytest.raises(DataError, match="what it sends does not do: found too few"):
        task_data.fetch(replace(entry, downloads=(one(first, name="a.npy"),)), data_root=data_root)
    assert list(path.parent.iterdir()) == []


def test_only_what_is_missing_is_fetched(web: Mirror, data_root: Path) -> None:
    np.save(data_root / "a.npy", VALUES)
    downloads = (
        one(web.put("a.npy", Served(npy())), name="a.npy", size=2_000_000),
        one(web.put("b.npy", Served(npy())), name="b.npy", size=300, about=False),
    )
    entry = Numbers(task=TASK, files=("a.npy", "b.npy"), downloads=downloads)
    assert download_text(entry) == "2 files, about 2.0 MB"
    shown = status(entry, data_root)
    assert shown.word == "missing" and "needs b.npy, looked for" in shown.text
    assert "Get the official data (1 file, 300 bytes) with `xmft data fetch" in shown.text
    with pytest.raises(DataError, match=r"it has 368 bytes, 300 bytes are expected"):
        task_data.fetch(entry, data_root=data_root)
    entry = replace(entry, downloads=(downloads[0], replace(downloads[1], about=True)))
    paths = task_data.fetch(entry, data_root=data_root)
    assert paths == [data_root / "a.npy", data_root / "toy" / "numbers" / "b.npy"]
    assert {path for path, _, _ in web.asked} == {"/b.npy"}


def forms(web: Mirror, own: Served, raw: Served) -> Numbers:
    other = Numbers(
        task=TASK, files=("raw.npy",), downloads=(one(web.put("raw.npy", raw), name="raw.npy"),)
    )
    downloads = (one(web.put("all.npy", own)),)
    return Numbers(task=TASK, files=("all.npy",), downloads=downloads, alternatives=(other,))


def test_the_first_form_is_fetched_where_it_can_be_had(web: Mirror, data_root: Path) -> None:
    entry = forms(web, Served(npy()), Served(npy(VALUES[:5])))
    assert [path.name for path in task_data.fetch(entry, data_root=data_root)] == ["all.npy"]
    assert len(web.asked) == 1


def test_otherwise_an_alternative_is(web: Mirror, data_root: Path) -> None:
    entry = forms(web, Served(LOGIN, kind="text/html"), Served(npy(VALUES[:5])))
    said: list[str] = []
    paths = task_data.fetch(entry, data_root=data_root, say=said.append)
    assert [path.name for path in paths] == ["raw.npy"]
    assert any("all.npy could not be fetched from" in line for line in said)
    assert len(task_data.load(entry, data_root=data_root).train) == 5
    assert task_data.fetch(entry, data_root=data_root) == paths
    assert len(web.asked) == 2  # what is read is there, and the other is not asked for again


def test_where_none_can_be_had_all_are_named(web: Mirror, data_root: Path) -> None:
    entry = forms(web, Served(status=403), Served(status=404))
    with pytest.raises(DataError, match=r"all.npy could .* 403.* Instead: raw.npy could .* 404"):
        task_data.fetch(entry, data_root=data_root)


def test_without_room_no_other_form_is_tried(
    web: Mirror, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = forms(web, Served(npy()), Served(npy()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300))
    with pytest.raises(DataError, match=r"all\.npy needs 368 bytes, and the disk of"):
        task_data.fetch(entry, data_root=data_root)
    assert len(web.asked) == 1


def test_room_for_all_files_is_looked_for_before_the_first(
    web: Mirror, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = tuple(
        one(web.put(f"{name}.npy", Served(npy())), name=f"{name}.npy", size=len(npy()))
        for name in "ab"
    )
    entry = Numbers(task=TASK, files=("a.npy", "b.npy"), downloads=downloads)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=700))
    wanted = (
        "Of toy/numbers, what is missing needs 736 bytes, and the disk of .* has 700 bytes left"
    )
    with pytest.raises(DataError, match=wanted):
        task_data.fetch(entry, data_root=data_root)
    assert web.asked == [] and not (data_root / "toy").exists()
    folder = data_root / "toy" / "numbers"
    folder.mkdir(parents=True)
    (folder / "a.npy.part").write_bytes(npy()[:100])  # what has arrived needs no room
    assert len(task_data.fetch(entry, data_root=data_root)) == 2


def test_published_sums_are_checked_in_full_but_not_of_miniatures(data_root: Path) -> None:
    np.save(data_root / "all.npy", VALUES)
    right = f"md5:{hashlib.md5(npy()).hexdigest()}"
    entry = Numbers(task=TASK, files=("all.npy",), downloads=(one(checksum=right),))
    (first, second) = task_data.verify(entry, data_root=data_root)
    assert "no checksum is published" not in first
    assert second == f"{data_root / 'all.npy'}: {right.replace(':', ' ')} as published"
    assert task_data.fetch(entry, data_root=data_root) == [data_root / "all.npy"]
    np.save(data_root / "all.npy", VALUES + 1)
    with pytest.raises(DataError, match=r"has not the published md5 .* Move the file away, then"):
        task_data.verify(entry, data_root=data_root)
    with pytest.raises(DataError, match="has the official name but not the published md5"):
        task_data.fetch(entry, data_root=data_root)
    assert len(task_data.verify(replace(entry, origin="miniature"), data_root=data_root)) == 1


def test_without_downloads_fetch_says_what_goes_where(data_root: Path) -> None:
    entry = Numbers(task=TASK, files=("all.npy",), alternatives=(
        Numbers(task=TASK, patterns=("raw/*.npy",)),))  # fmt: skip
    with pytest.raises(DataError) as caught:
        task_data.fetch(entry, data_root=data_root)
    assert str(caught.value) == (
        "The files of toy/numbers cannot be fetched automatically. Put all.npy or raw/*.npy "
        f"anywhere under {data_root}."
    )


@pytest.mark.parametrize("name", catalog.names())
def test_what_the_catalogue_names_can_be_asked_for(name: str) -> None:
    entry = catalog.get(name)
    for form in (entry, *entry.alternatives):
        names = [download.path for download in form.downloads]
        assert len(set(names)) == len(names)
        for download in form.downloads:
            assert not download.path.is_absolute() and ".." not in download.path.parts
            assert download.urls or download.note
            assert all(re.fullmatch(r"https?://[^/\s]+/\S+", url) for url in download.urls)
            assert download.checksum is None or re.fullmatch(
                r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", download.checksum
            )
            known = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
            assert not download.unpack or download.path.name.endswith(known)
            # Otherwise nobody could tell that it is there already.
            assert download.unpack or download.path.suffix[:3] == ".z0" or form.files
    if name.startswith("nasbench360/"):
        assert any(form.downloads for form in (entry, *entry.alternatives))
