from __future__ import annotations

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
from tests.benchmarks.ecg_records import NAME, content, load, raw, write
from xmft.errors import DataError
from xmft.evaluation import evaluate
from xmft.metrics import METRICS
from xmft.samples import Samples
from xmft.session import Session
from xmft.split import Split
from xmft.task import Ragged, Recipe
from xmft.training import train


def record_of(split: Split, number: int) -> np.ndarray:
    assert isinstance(split.inputs, Ragged)
    return split.inputs[number]


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


class SpikesAreFibrillation(torch.nn.Module):
    """Says A of a window with a spike, and N of the others."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        spike = (inputs.amax(dim=(1, 2)) > 20).float()
        return torch.stack([1 - spike, spike, 0 * spike, 0 * spike], dim=1)


def test_a_record_is_what_its_windows_vote_for(data_root: Path) -> None:
    """A spike in the first of a normal record's five windows is outvoted, and counts by window."""
    held = content()
    for number in range(40):
        held["data"][number] = np.arange(3000, dtype=np.int16) % 2
        held["data"][number][10] = 500
    held["label"][:] = "N"
    write(data_root, held)
    data = load(data_root)
    samples = Samples(data.test, torch.device("cpu"), decode=data.decode)
    names = ("one_minus_f1", "one_minus_f1_windows", "one_minus_f1_chunks")
    metrics = [METRICS[name] for name in names]
    scores = evaluate(SpikesAreFibrillation(), samples, metrics, Session(), pool=data.task.pool)
    # Of four windows in five that are right: F1 of 8 in 9 for N; A is never right, two are absent.
    assert [scores[name] for name in names] == pytest.approx(
        [1 - 1 / 4, 1 - 8 / 9 / 4, 1 - 8 / 9 / 2]
    )


def test_what_is_scored_under_each_protocol(data_root: Path) -> None:
    catalog.get(NAME).miniature(data_root)
    recipe = Recipe(epochs=1, layers=1, max_tokens=8)
    for protocol, count in (("clean", 2), ("released", 3)):
        data = task_data.load(NAME, data_root=data_root, protocol=protocol)  # type: ignore[arg-type]
        scores = train(data, "scratch", recipe=recipe).scores
        assert scores.keys() == set(data.task.metrics) and len(scores) == count
        assert all(0 <= score <= 1 for score in scores.values())


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


def test_verify(data_root: Path) -> None:
    held = content()
    held["data"][5] = np.full(2000, 3, np.int16)
    write(data_root, held)
    lines = task_data.verify(NAME, data_root=data_root)
    assert "official, 40 records of 2000 to 2" in lines[0]
    assert lines[1:3] == ["  10 N, 10 A, 10 O, 10 ~", "  1 records are constant"]


def test_verify_looks_at_every_file_of_physionet(data_root: Path) -> None:
    folder = raw(data_root, content())
    lines = task_data.verify(NAME, data_root=data_root)
    table = data_root / "REFERENCE-v3.csv"
    assert lines[0] == f"{table}: official, labels of 40 records, 10 N, 10 A, 10 O, 10 ~"
    assert not any("A00007" in line for line in lines)
    savemat(folder / "A00007.mat", {"val": np.ones((1, 900), np.int16)})
    with pytest.raises(DataError, match=r"A00007\.mat: found 900 values"):
        task_data.verify(NAME, data_root=data_root)


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
