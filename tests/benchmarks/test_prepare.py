"""What prepared arrays hold: small types, weights, unequal lengths, windows, and checked values."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import data
from benchmarks.arrays import writer
from benchmarks.entry import Entry
from benchmarks.prepare import Block, Reading
from xmft.errors import DataError, RequestError
from xmft.task import Protocol, Ragged, Recipe, Task, TaskData, Windows

TASK = Task(
    name="toy/field",
    version=1,
    title="Fields",
    kind="dense",
    loss="nrmse",
    metrics=("nrmse",),
)
COUNTS = {"test": 2, "val": 2, "train": 6}


@dataclass(frozen=True, kw_only=True)
class _Toy(Entry):
    reading: Callable[[], Reading]
    decoded: bool = False

    @property
    def decode(self) -> Callable[..., Any] | None:
        return (lambda pieces: pieces) if self.decoded else None

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        return self.reading()


def _load(data_root: Path, reading: Callable[[], Reading], **options: Any) -> TaskData:
    (data_root / "toy.bin").write_bytes(b"content")
    return data.load(
        _Toy(task=TASK, files=("toy.bin",), reading=reading, **options), data_root=data_root
    )


def _blocks(inputs: Any, targets: Any, weights: Any = None) -> Iterator[Block]:
    for rows in (np.arange(7), np.arange(7, 10)):
        chosen = None if weights is None else weights[rows]
        if isinstance(inputs, Ragged):
            yield Block(rows, Ragged.of([inputs[row] for row in rows]), targets[rows], chosen)
        else:
            yield Block(rows, inputs[rows], targets[rows], chosen)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16, np.float32])
def test_the_smallest_type_is_stored_as_given(data_root: Path, cache: Path, kind: type) -> None:
    inputs = np.arange(10 * 12).reshape(10, 1, 12).astype(kind)
    targets, weights = np.ones((10, 1, 12), kind), np.linspace(0, 1, 10, dtype=np.float32)
    weights = weights[:, None, None]
    reading = Reading(counts=COUNTS, blocks=_blocks(inputs, targets, weights), floor=0.5)
    found = _load(data_root, lambda: reading, decoded=True)
    start = 0
    for name, count in COUNTS.items():
        split, part = found.splits[name], slice(start, start + count)
        np.testing.assert_array_equal(split.inputs, inputs[part])
        np.testing.assert_array_equal(split.weights, weights[part])
        assert split.inputs.dtype == split.targets.dtype == kind
        assert isinstance(split.inputs, np.memmap) and not split.inputs.flags.writeable
        start += count
    assert found.checked and found.floor == 0.5


def test_perfect_predictions_are_kept_and_floors_of_older_arrays_made_again(
    data_root: Path, cache: Path
) -> None:
    fields = np.random.default_rng(0).normal(size=(10, 1, 12)).astype(np.float32)
    made: list[Reading] = []

    def read(**known: Any) -> TaskData:
        def reading() -> Reading:
            made.append(Reading(counts=COUNTS, blocks=_blocks(fields, fields), **known))
            return made[-1]

        return _load(data_root, reading)

    for _ in range(2):
        found = read(perfect=fields[:2] + 1)
        assert found.perfect is not None
        np.testing.assert_array_equal(found.perfect, fields[:2] + 1)
    assert len(made) == 1
    # What was stored before had a floor of another problem, and no such entry.
    (folder,) = (cache / "prepared").iterdir()
    meta = json.loads((folder / "meta.json").read_text())
    del meta["perfect"]
    (folder / "meta.json").write_text(json.dumps(meta | {"floor": 1e-7}))
    assert read(floor=0.25).floor == 0.25
    assert read(floor=0.5).floor == 0.25 and len(made) == 2


def test_what_passed_weaker_checks_is_read_again(data_root: Path, cache: Path) -> None:
    inputs = np.ones((10, 1, 12), np.float32)
    read: list[Reading] = []

    def reading() -> Reading:
        read.append(Reading(counts=COUNTS, blocks=_blocks(inputs, inputs)))
        return read[-1]

    for checks in (None, 0):
        _load(data_root, reading)
        (folder,) = (cache / "prepared").iterdir()
        meta = json.loads((folder / "meta.json").read_text())
        assert meta.pop("checks") > 0
        known = {} if checks is None else {"checks": checks}
        (folder / "meta.json").write_text(json.dumps(meta | known))
    _load(data_root, reading)
    _load(data_root, reading)
    assert len(read) == 3


def test_unequal_lengths_windows_and_groups(data_root: Path) -> None:
    lengths = [4, 9, 5, 6, 7, 4, 8, 12, 5, 6]
    samples = [np.arange(2 * n, dtype=np.int16).reshape(n, 2) + 100 * n for n in lengths]
    inputs, targets = Ragged.of(samples), np.zeros((10, 1), np.float32)
    windows, groups, start = {}, {}, 0
    for name, count in COUNTS.items():
        windows[name] = Windows.every(lengths[start : start + count], (4,), 2, random=True)
        groups[name] = np.sort(np.arange(len(windows[name])) // 2)
        start += count

    def reading() -> Reading:
        blocks = _blocks(inputs, targets)
        return Reading(counts=COUNTS, blocks=blocks, windows=windows, groups=groups)

    for _ in range(2):
        found = _load(data_root, reading, decoded=True)
        start = 0
        for name, count in COUNTS.items():
            split = found.splits[name]
            assert isinstance(split.inputs, Ragged) and len(split.inputs) == count
            for number in range(count):
                np.testing.assert_array_equal(split.inputs[number], samples[start + number])
            assert split.windows is not None and split.windows.random
            np.testing.assert_array_equal(split.windows.table, windows[name].table)
            np.testing.assert_array_equal(split.group_of_row, groups[name])
            start += count


@pytest.mark.parametrize("damaged", ["inputs.offsets.npy", "inputs.npy", "meta.json"])
def test_damaged_ragged_arrays_are_made_again(data_root: Path, cache: Path, damaged: str) -> None:
    inputs = Ragged.of([np.full(3 + n, n, np.uint8) for n in range(10)])

    def reading() -> Reading:
        return Reading(counts=COUNTS, blocks=_blocks(inputs, np.zeros((10, 1), np.float32)))

    expected = np.array(_load(data_root, reading, decoded=True).train.inputs[5])
    (folder,) = (cache / "prepared").iterdir()
    content = (folder / damaged).read_bytes()
    (folder / damaged).unlink()
    (folder / damaged).write_bytes(content[:-1])
    found = _load(data_root, reading, decoded=True).train.inputs[5]
    np.testing.assert_array_equal(found, expected)


def test_values_are_looked_at_once(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.ones((10, 1, 12), np.float32)
    calls: list[TaskData] = []
    monkeypatch.setattr(TaskData, "check_values", lambda self: calls.append(self))
    for _ in range(3):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=_blocks(inputs, inputs)))
    assert len(calls) == 1


def test_values_that_are_not_finite_leave_nothing_behind(data_root: Path, cache: Path) -> None:
    inputs = np.ones((10, 1, 12), np.float32)
    inputs[5, 0, 3] = np.nan
    with pytest.raises(DataError, match=r"toy/field: the training inputs hold values that are NaN"):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=_blocks(inputs, inputs)))
    assert not list((cache / "prepared").iterdir())


ROWS, REST = np.arange(7), np.arange(7, 10)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda x: [Block(ROWS, x[:7], x[:7])], "gave 7 inputs, expected 10"),
        (
            lambda x: [Block(ROWS, x[:7], x[:7]), Block(REST, x[7:].astype(int), x[7:])],
            "read as float32 and then as int64",
        ),
        (
            lambda x: [Block(ROWS, x[:7], x[:7]), Block(REST, x[7:], x[7:], x[7:])],
            "Some blocks of a task have weights",
        ),
        (
            lambda x: [Block(np.arange(1, 11), Ragged.of(list(x[:, 0])), x)],
            "ragged inputs must come in order",
        ),
    ],
)
def test_blocks_that_do_not_fit(data_root: Path, wrong: Any, found: str) -> None:
    inputs = np.ones((10, 1, 12), np.float32)
    with pytest.raises(DataError, match=found):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=wrong(inputs)))


def test_a_file_that_cannot_be_read_is_not_taken_for_a_full_disk(data_root: Path) -> None:
    def blocks() -> Iterator[Block]:
        raise OSError("bad sector")
        yield

    with pytest.raises(DataError, match=r"toy/field .* cannot be read: bad sector"):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=blocks()))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x", "/far/f.mat"), MemoryError()])
def test_a_machine_that_fails_a_reader_is_told_as_such(data_root: Path, error: Exception) -> None:
    def blocks() -> Iterator[Block]:
        raise error
        yield

    with pytest.raises(DataError) as caught:
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=blocks()))
    assert "the disk, or the network" in str(caught.value) or "not enough memory" in str(
        caught.value
    )
    assert ("/far/f.mat" in str(caught.value)) == isinstance(error, OSError)


def test_room_is_taken_before_mapped_memory_is_written(tmp_path: Path) -> None:
    """Where it lacks, the write would be a bus error, which nothing can catch."""
    first = np.ones((1, 64, 64), np.float32)
    writer(tmp_path, "inputs", 100, first)
    status = (tmp_path / "inputs.npy").stat()
    assert status.st_size > 100 * first.nbytes and status.st_blocks * 512 >= status.st_size


def test_a_full_disk_is_said(data_root: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    inputs = np.ones((10, 1, 12), np.float32)
    blocks = [Block(np.arange(10), inputs, inputs)]
    with pytest.raises(RequestError, match=r"prepared \(the disk is full\)\. Make room there"):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=blocks))
    assert list((cache / "prepared").iterdir()) == []


@pytest.mark.parametrize("lost", ["weights.npy", "train.groups.npy", "val.windows.npy"])
def test_a_folder_that_lost_a_part_is_made_again(data_root: Path, cache: Path, lost: str) -> None:
    """Training would go on unmasked, and scoring ungrouped."""
    inputs, targets = np.zeros((10, 1, 12), np.float32), np.ones((10, 1, 12), np.float32)
    weights = np.full((10, 1, 1), 0.5, np.float32)
    windows = {name: Windows.every([12] * n, (6,), targets=True) for name, n in COUNTS.items()}
    groups = {name: np.arange(2 * n) // 2 for name, n in COUNTS.items()}

    def reading() -> Reading:
        blocks = _blocks(inputs, targets, weights)
        return Reading(counts=COUNTS, blocks=blocks, windows=windows, groups=groups)

    _load(data_root, reading)
    (folder,) = (cache / "prepared").iterdir()
    (folder / lost).unlink()
    found = _load(data_root, reading).train
    assert found.weights is not None and found.groups is not None and found.windows is not None


def test_files_without_samples_are_an_error(data_root: Path) -> None:
    with pytest.raises(DataError, match="hold no samples"):
        _load(data_root, lambda: Reading(counts=COUNTS, blocks=()))
