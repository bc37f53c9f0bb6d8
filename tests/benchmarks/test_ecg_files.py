"""Files of ECG records that are refused, and what is said of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from tests.benchmarks.ecg_records import NAME, content, load, message, raw, write


def test_files_of_two_releases(data_root: Path) -> None:
    folder = raw(data_root, content())
    table = data_root / "REFERENCE-v3.csv"
    savemat(folder / "A00099.mat", {"val": np.ones((1, 1000), np.int16)})
    assert f"A00099.mat: {table} has no label for it, expected files of one" in message(data_root)
    (folder / "A00099.mat").unlink()
    (folder / "A00007.mat").unlink()
    assert "1 of its 40 records have no file, the first is A00007" in message(data_root)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A00002,X", "line 2: found 'A00002,X', expected the name of a record and one of N A O ~"),
        ("A00001,A", "line 2: found A00001 again as A, expected it to be N as before"),
        ("A00002", "line 2: found 'A00002', expected the name"),
    ],
)
def test_bad_tables(data_root: Path, line: str, found: str) -> None:
    raw(data_root, content())
    table = data_root / "REFERENCE-v3.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], line, *lines[2:]]))
    assert found in message(data_root)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.ones((1, 900), np.int16), "found 900 values, expected at least 1000"),
        (np.full((1, 1000), np.nan), "found values of the type float64"),
        (np.full((1, 1000), 40_000, np.int32), "found values from 40000 to 40000"),
        (np.ones((2, 1000), np.int16), "'val' has the shape (2, 1000)"),
    ],
)
def test_bad_records_of_physionet(data_root: Path, values: np.ndarray, found: str) -> None:
    path = raw(data_root, content()) / "A00005.mat"
    savemat(path, {"val": values})
    assert (said := message(data_root)).startswith(f"{path}: ") and found in said
    savemat(path, {"other": values})
    assert "there is no 'val' in it" in message(data_root)


def test_damaged_matlab_files(data_root: Path) -> None:
    path = raw(data_root, content(6)) / "A00005.mat"
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    # The last 7 bytes may be padding.
    for length in (1, 50, 127, 128, 140, 200, 1000, len(whole) - 8):
        path.write_bytes(whole[:length])
        assert message(data_root).startswith(str(path))
    for _ in range(30):
        path.write_bytes(rng.integers(0, 256, 400, dtype=np.uint8).tobytes())
        assert message(data_root).startswith(str(path))
    path.write_bytes(b"<html>no</html>")
    assert "is an answer of a web server" in message(data_root)


def floats(held: dict[str, Any]) -> None:
    held["data"][3] = np.full(2000, np.nan)


def short(held: dict[str, Any]) -> None:
    held["data"][3] = np.ones(999, np.int16)


def texts(held: dict[str, Any]) -> None:
    held["data"][3] = "a record"


def large(held: dict[str, Any]) -> None:
    held["data"][3] = np.full(1000, 32768, np.int32)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda held: held.pop("label"), "the file holds 'data', expected a dictionary with"),
        (lambda held: held.update(label=held["label"][:39]), "found 40 records and 39 labels"),
        (lambda held: held.update(data=5), "'data' is a int, expected a list or array"),
        (lambda held: held["label"].__setitem__(2, "B"), "1 labels are none of the four, the"),
        (lambda held: held.update(data=[], label=[]), "found no records, expected at least one"),
        (lambda held: held.update(xmft_origin="else"), "'xmft_origin' is 'else', expected one"),
        (floats, "record 3: found values of the type float64 and the shape (2000,), expected a"),
        (short, "record 3: found 999 values, expected at least 1000, which are one window"),
        (texts, "record 3: found a str, expected a series of 16-bit integers"),
        (large, "record 3: found values from 32768 to 32768, expected 16-bit integers, from"),
    ],
)
def test_bad_content(data_root: Path, change: Any, found: str) -> None:
    held = content()
    change(held)
    path = write(data_root, held)
    said = message(data_root)
    assert said.startswith(str(path)) and found in said
    assert f"`xmft data fetch {NAME} --data" in said


def test_too_few_records(data_root: Path) -> None:
    write(data_root, content(5))
    assert "found 5 records, expected at least 6" in message(data_root)
    write(data_root, content(6))
    assert [len(split.inputs) for split in load(data_root).splits.values()] == [4, 1, 1]


class _Code:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


def test_a_pickle_that_carries_code_does_not_run(data_root: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = write(data_root, content() | {"more": _Code(ran)})
    said = message(data_root)
    assert said.startswith(f"{path} cannot be read (it asks for ") and "mkdir" in said
    assert not ran.exists()


def test_truncated_pickles(data_root: Path) -> None:
    path = write(data_root, content())
    whole = path.read_bytes()
    for length in (1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert message(data_root).startswith(f"{path} cannot be read (")
    path.write_bytes(b"")
    assert f"{path} is empty" in message(data_root)
    path.write_bytes(b"<!DOCTYPE html><html>Quota exceeded</html>")
    assert f"{path} is an answer of a web server" in message(data_root)
