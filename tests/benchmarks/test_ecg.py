from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from sklearn.model_selection import train_test_split

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360.ecg import STRIDES, laid_windows, split_records
from benchmarks.nasbench360.ecg_files import CLASSES
from benchmarks.nasbench360.miniatures import ecg as miniature
from xmft.errors import DataError
from xmft.samples import Samples
from xmft.split import Split
from xmft.task import Ragged, Recipe, TaskData

NAME = "nasbench360/ecg"


def content(count: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    data = np.empty(count, dtype=object)
    data[:] = [rng.integers(-900, 900, n).astype(np.int16) for n in rng.integers(2000, 3000, count)]
    labels = np.array([CLASSES[number % 4] for number in range(count)], dtype=object)
    return {"data": data, "label": labels}


def write(folder: Path, held: Any) -> Path:
    path = folder / "challenge2017.pkl"
    path.write_bytes(pickle.dumps(held))
    return path


def load(data_root: Path, **recipe: Any) -> TaskData:
    return task_data.load(NAME, data_root=data_root, recipe=Recipe(**recipe))


def record_of(split: Split, number: int) -> np.ndarray:
    assert isinstance(split.inputs, Ragged)
    return split.inputs[number]


def message(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(data_root)
    return str(caught.value)


@pytest.mark.parametrize("total", [8528, 40, 10, 7, 6])
def test_the_splits_are_those_of_scikit_learn(total: int) -> None:
    numbers = np.arange(total)
    train, off = train_test_split(numbers, test_size=0.2, random_state=0)
    val, test = train_test_split(off, test_size=0.5, random_state=0)
    cut = split_records(total, None, "clean")
    for name, rows in {"train": train, "val": val, "test": test}.items():
        np.testing.assert_array_equal(cut[name], np.sort(rows))
    rest, test = train_test_split(numbers, test_size=0.1, random_state=0)
    cut = split_records(total, None, "released")
    np.testing.assert_array_equal(cut["test"], np.sort(test))
    train, val = train_test_split(rest, test_size=len(test), random_state=0)
    np.testing.assert_array_equal(cut["val"], np.sort(val))
    np.testing.assert_array_equal(cut["train"], np.sort(train))


def test_the_splits_have_the_published_sizes_and_no_record_twice() -> None:
    for protocol in ("clean", "released"):
        whole = split_records(8528, None, protocol)  # type: ignore[arg-type]
        assert {name: len(rows) for name, rows in whole.items()} == {
            "test": 853, "val": 853, "train": 6822,
        }  # fmt: skip
        np.testing.assert_array_equal(np.sort(np.concatenate(list(whole.values()))), range(8528))
        few = split_records(8528, 50, protocol)  # type: ignore[arg-type]
        assert [len(rows) for rows in few.values()] == [5, 5, 40]
        assert all(np.isin(few[name], whole[name]).all() for name in whole)


def test_published_windows() -> None:
    lengths = np.array([9000, 9000, 9000, 9000, 1000, 1001, 2001])
    windows = laid_windows(lengths, np.array([0, 1, 2, 3, 0, 3, 0]))
    assert np.bincount(windows.table[:, 0]).tolist() == [16, 97, 32, 320, 1, 1, 3]
    for record, name in enumerate("NAO~"):
        starts = windows.table[windows.table[:, 0] == record, 1]
        assert starts.tolist() == list(range(0, 9000 - 1000, STRIDES[name]))


def test_windows_that_are_scored_say_nothing_of_the_class() -> None:
    windows = laid_windows(np.array([9000, 9000, 9100, 1000]), None)
    assert np.bincount(windows.table[:, 0]).tolist() == [17, 17, 18, 1]
    assert windows.table[windows.table[:, 0] == 2, 1].max() == 8100


@pytest.mark.parametrize("protocol", ["clean", "released"])
def test_a_window_is_scaled_by_its_record(data_root: Path, protocol: Any) -> None:
    held = content()
    held["data"][:] = [np.full(2100, 32767, np.int16) if n == 3 else one
                       for n, one in enumerate(held["data"])]  # fmt: skip
    write(data_root, held)
    data = task_data.load(NAME, data_root=data_root, protocol=protocol)
    assert data.task.pool == "vote" and data.task.metrics[0] == "one_minus_f1"
    assert ("one_minus_f1_chunks" in data.task.metrics) == (protocol == "released")
    cut = split_records(40, None, protocol)
    for name, split in data.splits.items():
        assert isinstance(split.inputs, Ragged) and split.inputs.dtype == np.int16
        assert split.windows is not None
        rows = np.arange(0, len(split), 7)
        batch = Samples(split, torch.device("cpu"), decode=data.decode).take(rows)
        for place, row in enumerate(rows):
            sample, start = split.windows.table[row].tolist()
            record = held["data"][cut[name][sample]].astype(np.float64)
            scale = record.std() or 1.0
            expected = (record - record.mean())[start : start + 1000] / scale
            np.testing.assert_allclose(batch.inputs[place, 0], expected, atol=1e-6)
            assert CLASSES[batch.targets[place]] == held["label"][cut[name][sample]]


def test_no_record_is_in_two_splits(data_root: Path) -> None:
    write(data_root, content())
    data = load(data_root)
    keys = {
        name: {record_of(split, one).tobytes() for one in range(len(split.inputs))}
        for name, split in data.splits.items()
    }
    assert len(keys["train"] | keys["val"] | keys["test"]) == 40
    for split in data.splits.values():
        assert split.windows is not None
        np.testing.assert_array_equal(split.group_of_row, split.windows.table[:, 0])
    again = load(data_root)
    assert again.fingerprint == data.fingerprint


def raw(data_root: Path, held: dict[str, Any], form: str = "5") -> Path:
    folder = data_root / "training2017"
    folder.mkdir()
    lines = []
    for number, (values, label) in enumerate(zip(held["data"], held["label"], strict=True)):
        savemat(folder / f"A{number + 1:05d}.mat", {"val": values[None]}, format=form)
        lines.append(f"A{number + 1:05d},{label}\n")
    (data_root / "REFERENCE-v3.csv").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("form", ["4", "5"])
def test_records_of_physionet_give_the_same(data_root: Path, tmp_path: Path, form: str) -> None:
    held, other = content(), tmp_path / "other"
    raw(data_root, held, form)
    other.mkdir()
    write(other, held)
    one, two = load(data_root), load(other)
    for name, split in one.splits.items():
        twin = two.splits[name]
        assert isinstance(split.inputs, Ragged) and isinstance(twin.inputs, Ragged)
        np.testing.assert_array_equal(split.inputs.values, twin.inputs.values)
        np.testing.assert_array_equal(split.targets, twin.targets)
        assert split.windows is not None and twin.windows is not None
        np.testing.assert_array_equal(split.windows.table, twin.windows.table)


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


def test_verify(data_root: Path) -> None:
    held = content()
    held["data"][5] = np.full(2000, 3, np.int16)
    write(data_root, held)
    lines = task_data.verify(NAME, data_root=data_root)
    assert "official, 40 records of 2000 to 2" in lines[0]
    assert lines[1:3] == ["  10 N, 10 A, 10 O, 10 ~", "  1 records are constant"]


def test_the_miniature(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        catalog.get(NAME).miniature(tmp_path / name)
    one, two = (tmp_path / name / "challenge2017.pkl" for name in "ab")
    assert one.read_bytes() == two.read_bytes() and one.stat().st_size < 1_000_000
    data = load(tmp_path / "a")
    assert data.origin == "miniature"
    total = sum(len(split.inputs) for split in data.splits.values())
    assert total == miniature.RECORDS
    released = task_data.load(NAME, data_root=tmp_path / "a", protocol="released")
    for split in (*data.splits.values(), *released.splits.values()):
        assert set(np.unique(np.asarray(split.targets)).tolist()) == {0, 1, 2, 3}
    constant = [one for split in data.splits.values() for one in range(len(split.inputs))
                if np.ptp(record_of(split, one)) == 0]  # fmt: skip
    assert len(constant) == 1
