"""Tasks whose samples are files of their own, thousands of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import data, files
from benchmarks.entry import Entry
from benchmarks.prepare import Reading
from xmft.errors import DataError
from xmft.task import Protocol, Recipe, Split, Task

COUNT = 2000
TASK = Task(
    name="toy/many",
    version=1,
    title="Many",
    kind="classification",
    loss="cross_entropy",
    metrics=("error_pct",),
    classes=2,
)


class _Many(Entry):
    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        names = np.array([int(path.stem) for path in paths[1:]])
        inputs = names.astype(np.float32)[:, None, None]
        splits = np.array_split(np.arange(len(names)), 3)
        return Reading(
            splits={
                name: Split(inputs=inputs[rows], targets=names[rows] % 2)
                for name, rows in zip(("train", "val", "test"), splits, strict=True)
            }
        )


ENTRY = _Many(task=TASK, files=("labels.csv",), patterns=("records/*.mat",))


@pytest.fixture
def records(data_root: Path) -> Path:
    folder = data_root / "records"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:05d}.mat").write_text(f"content {number}")
    (folder / "readme.txt").touch()
    (data_root / "labels.csv").write_text("labels")
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count the files that are hashed or looked at, and the records that are read or written."""
    counts = dict.fromkeys(("hashed", "stat", "written", "read"), 0)

    def count(module: Any, name: str, what: str) -> None:
        original = getattr(module, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            counts[what] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    count(files, "digest", "hashed")
    count(files, "whole", "written")
    count(json, "loads", "read")
    count(os, "stat", "stat")
    yield counts


def _fingerprint(data_root: Path) -> str:
    return data.locate(ENTRY, data_root=data_root).fingerprint


def test_a_second_look_hashes_nothing_and_the_work_is_linear(
    data_root: Path, records: Path, counted: dict[str, int]
) -> None:
    before = _fingerprint(data_root)
    assert counted["hashed"] == COUNT + 1
    assert counted["written"] == 2  # the records of the set, and those of the one named file
    assert counted["read"] <= 4
    counted.update(dict.fromkeys(counted, 0))
    assert _fingerprint(data_root) == before
    assert counted["hashed"] == counted["written"] == 0
    assert COUNT <= counted["stat"] < COUNT + 100
    assert counted["read"] == 2


def test_every_change_is_another_fingerprint(
    data_root: Path, records: Path, counted: dict[str, int]
) -> None:
    seen = [_fingerprint(data_root)]
    counted["hashed"] = 0
    (records / "00007.mat").write_text("changed")
    seen.append(_fingerprint(data_root))
    (records / "new.mat").write_text("new")
    seen.append(_fingerprint(data_root))
    (records / "new.mat").unlink()
    (records / "00008.mat").rename(records / "00008b.mat")
    seen.append(_fingerprint(data_root))
    (records / "00008b.mat").unlink()
    seen.append(_fingerprint(data_root))
    assert len(set(seen)) == len(seen)
    assert counted["hashed"] == 3


def test_a_moved_set_is_the_same(data_root: Path, records: Path) -> None:
    before = _fingerprint(data_root)
    (data_root / "deep").mkdir()
    records.rename(data_root / "deep" / "records")
    assert _fingerprint(data_root) == before


def test_hashes_are_kept_when_a_look_is_cut_short(
    data_root: Path, records: Path, counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Entry, path: Path) -> str:
        if path.name == "01000.mat":
            raise KeyboardInterrupt
        return "official"

    with monkeypatch.context() as patch:
        patch.setattr(_Many, "inspect", stop)
        with pytest.raises(KeyboardInterrupt):
            _fingerprint(data_root)
    counted["hashed"] = 0
    _fingerprint(data_root)
    assert counted["hashed"] == COUNT - 1000


def test_load_and_verify(data_root: Path, records: Path, cache: Path) -> None:
    loaded = data.load(ENTRY, data_root=data_root)
    assert len(loaded.train) + len(loaded.val) + len(loaded.test) == COUNT
    assert f"{COUNT} files like records/*.mat" in loaded.source
    assert loaded.checked and loaded.fingerprint == _fingerprint(data_root)
    # Splits as they are: nothing is stored but that they were checked.
    (folder,) = (cache / "prepared").iterdir()
    assert [path.name for path in folder.iterdir()] == ["meta.json"]
    assert len(data.load(ENTRY, data_root=data_root).train) == len(loaded.train)
    assert len(data.verify(ENTRY, data_root=data_root)) == COUNT + 1


def test_missing_files_are_named(data_root: Path) -> None:
    (data_root / "labels.csv").touch()
    with pytest.raises(DataError, match=r"needs files like records/\*\.mat, looked for everywhere"):
        data.locate(ENTRY, data_root=data_root)
    with pytest.raises(DataError, match=r"cannot be fetched .* labels.csv, records/\*\.mat"):
        data.fetch(ENTRY, data_root=data_root)


def test_a_copy_of_a_data_set_gives_no_sample_twice(data_root: Path, records: Path) -> None:
    before = data.locate(ENTRY, data_root=data_root)
    copy = data_root / "zz_copy" / "records"
    copy.mkdir(parents=True)
    for path in list(records.glob("*.mat"))[:50]:
        (copy / path.name).write_text(path.read_text())
    found = data.locate(ENTRY, data_root=data_root)
    assert found.files == before.files and found.fingerprint == before.fingerprint


def test_a_copy_stands_in_for_a_file_that_does_not_do(data_root: Path, records: Path) -> None:
    before = data.locate(ENTRY, data_root=data_root)
    copy = data_root / "zz_copy" / "records"
    copy.mkdir(parents=True)
    bad = sorted(records.glob("*.mat"))[17]
    (copy / bad.name).write_text(bad.read_text())
    bad.write_text("<html>Log in</html>")
    found = data.locate(ENTRY, data_root=data_root)
    assert found.files[18] == copy / bad.name and len(found.files) == len(before.files)
    (warning,) = found.warnings
    assert f"{bad} is there too and is not taken (it is an answer of a web server" in warning
    (copy / bad.name).unlink()
    with pytest.raises(DataError, match=rf"{bad} is an answer of a web server"):
        data.locate(ENTRY, data_root=data_root)


def test_hidden_files_are_no_samples(data_root: Path, records: Path) -> None:
    """Such as those that macOS lays beside each file on a foreign disk."""
    before = data.locate(ENTRY, data_root=data_root)
    (records / "._00001.mat").write_text("x")
    assert data.locate(ENTRY, data_root=data_root).files == before.files
