"""How things stand with the data of a task, told quickly."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import files
from benchmarks.status import status
from tests.benchmarks.toy_numbers import TASK, VALUES, Numbers, one
from tests.mirror import LOGIN


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


def test_what_is_generated_could_be_fetched_instead(data_root: Path) -> None:
    shown = status("nasbench360/darcy", data_root)
    assert shown.word == "generated"
    assert shown.text.endswith("(to fetch instead: 2 files, about 3.2 GB)")
