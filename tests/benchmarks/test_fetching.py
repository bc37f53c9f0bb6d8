"""What a task's files are got from: the mirrors of each file, archives, and its other forms."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import data as task_data
from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.fetching import download_text
from benchmarks.prepare import Reading
from benchmarks.status import status
from tests.mirror import LOGIN, Mirror, Served
from xmft.errors import DataError
from xmft.task import Protocol, Recipe, Split, Task

TASK = Task(
    name="toy/numbers",
    version=1,
    title="Numbers",
    kind="classification",
    loss="cross_entropy",
    metrics=("error_pct",),
    classes=2,
)
VALUES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Numbers(Entry):
    """Reads whatever files it has, one after the other."""

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        values = np.concatenate([np.load(path) for path in paths])[:, None]
        part = Split(inputs=values, targets=np.arange(len(values)) % 2)
        return Reading(splits={"train": part, "val": part, "test": part})


def npy(values: Any = VALUES) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(npy())
            tar.addfile(info, io.BytesIO(npy()))
    return stream.getvalue()


def one(*urls: str, name: str = "all.npy", **options: Any) -> Download:
    return Download(path=PurePosixPath(name), urls=urls, **options)


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


def test_an_archive_that_is_cut_off_is_told_with_what_to_do(web: Mirror, data_root: Path) -> None:
    url = web.put("parts.tar.gz", Served(archive("a.npy")[:-20]))
    download = one(url, name="parts.tar.gz", unpack=True)
    entry = Numbers(task=TASK, files=("a.npy",), downloads=(download,))
    with pytest.raises(DataError) as caught:
        task_data.fetch(entry, data_root=data_root)
    assert "expected a whole archive" in str(caught.value)
    assert str(caught.value).endswith("Delete it, with its pin if it has one, and fetch it again.")


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


def test_without_downloads_fetch_says_what_goes_where(data_root: Path) -> None:
    entry = Numbers(task=TASK, files=("all.npy",), alternatives=(
        Numbers(task=TASK, patterns=("raw/*.npy",)),))  # fmt: skip
    with pytest.raises(DataError) as caught:
        task_data.fetch(entry, data_root=data_root)
    assert str(caught.value) == (
        "The files of toy/numbers cannot be fetched automatically. Put all.npy or raw/*.npy "
        f"anywhere under {data_root}."
    )


def test_status_opens_no_large_file(data_root: Path) -> None:
    entry = Numbers(
        task=TASK, files=("all.npy", "b.npy"), downloads=(one(), one(name="b.npy", size=10**9))
    )
    place = data_root / "all.npy"
    with place.open("wb") as stream:
        stream.truncate(2**36)  # a sparse file, which would take a minute to hash
    start = time.monotonic()
    shown = status(entry, data_root)
    assert time.monotonic() - start < 2
    assert shown.word == "unchecked"
    assert shown.text == (
        f"{place} (68.7 GB) never looked at, which the next plan or run does; b.npy is missing "
        "(to fetch: 1 file, about 1.0 GB)"
    )


def test_status_of_what_is_there_bad_or_missing(data_root: Path) -> None:
    entry = Numbers(task=TASK, files=("all.npy",), downloads=(one(size=10**7),))
    assert status(entry, data_root).word == "missing"
    np.save(data_root / "all.npy", VALUES)
    shown = status(entry, data_root)
    assert (shown.word, shown.text) == ("official", f"official: {data_root / 'all.npy'}")
    (data_root / "all.npy").write_bytes(LOGIN)
    shown = status(entry, data_root)
    assert shown.word == "unusable" and "is an answer of a web server" in shown.text
    assert "(1 file, about 10.0 MB)" in shown.text


def test_folders_are_looked_into_once(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    walk = files.walk

    def counted(root: Path, **options: Any) -> Any:
        looks.append(root)
        return walk(root, **options)

    monkeypatch.setattr(files, "walk", counted)
    np.save(data_root / "all.npy", VALUES)
    entry = Numbers(task=TASK, files=("all.npy",), patterns=("x/*.npy",))
    with files.one_look():
        before = [status(entry, data_root).text for _ in range(3)]
    assert looks == [data_root] and len(set(before)) == 1
    (data_root / "all.npy").unlink()  # seen at once by whoever asks outside
    assert status(entry, data_root).text != before[0] and len(looks) > 2
