"""Prepared arrays: what a task needs of its files, stored so that opening them costs nothing.

Each folder under `<cache>/prepared` is named by the fingerprint of what it holds: `inputs.npy`
and `targets.npy` with the samples in the order test, val, train, and `meta.json`. Folders are
written under another name and then renamed, so a folder that is there is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from benchmarks.files import cache_root, temporary_beside
from benchmarks.splits import Indices
from xmft.errors import RequestError
from xmft.task import Split

_ARRAYS = ("inputs", "targets")


class Block(NamedTuple):
    """Some samples on their way into the prepared arrays.

    Attributes:
        positions: Place of each sample in the prepared arrays, `[n]`.
        inputs: `[n, channels, *grid]`.
        targets: `[n, channels, *grid]` or `[n]`.
    """

    positions: Indices
    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32] | npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read from the files of a task.

    Attributes:
        counts: Samples in each split, in the order test, val, train.
        blocks: The samples, each exactly once, never all of them in memory.
        floor: See `TaskData.floor`.
        floor_note: See `TaskData.floor_note`.
    """

    counts: Mapping[str, int]
    blocks: Iterator[Block]
    floor: float | None = None
    floor_note: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is in a folder of prepared arrays.

    Attributes:
        splits: By name, memory-mapped and read-only.
        floor: See `TaskData.floor`.
        floor_note: See `TaskData.floor_note`.
    """

    splits: Mapping[str, Split]
    floor: float | None
    floor_note: str


def open_prepared(fingerprint: str) -> Prepared | None:
    """Return the prepared splits and their record, or None where there are none.

    A damaged folder counts as none: it is made again.
    """
    folder = _folder(fingerprint)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        counts, floor, floor_note = meta["counts"], meta["floor"], meta["floor_note"]
        inputs, targets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        total = sum(counts.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not len(inputs) == len(targets) == total:
        return None
    splits, start = {}, 0
    for name, count in counts.items():
        part = slice(start, start + count)
        splits[name] = Split(inputs=inputs[part], targets=targets[part])
        start += count
    return Prepared(splits=splits, floor=floor, floor_note=floor_note)


@contextmanager
def locked(fingerprint: str) -> Iterator[None]:
    """Hold the place of a fingerprint while its arrays are made.

    Raises:
        RequestError: the cache cannot be written.
    """
    lock = FileLock(cache_root() / "locks" / f"{fingerprint}.lock")
    try:
        (cache_root() / "locks").mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise _unwritable(cache_root(), error) from error
    try:
        yield
    finally:
        lock.release()


def _unwritable(folder: Path, error: OSError) -> RequestError:
    return RequestError(
        f"The prepared arrays could not be written to {folder} ({error}). Make room "
        "there, or set XMFT_CACHE to a folder that can be written."
    )


def store(fingerprint: str, reading: Reading, *, record: Mapping[str, Any]) -> None:
    """Write prepared arrays; of two processes that do so at once, either result stays.

    Args:
        fingerprint: Names the folder.
        reading: What to store.
        record: What `meta.json` says besides, for people.

    Raises:
        RequestError: the cache cannot be written.
        DataError: from the reading.
    """
    folder = _folder(fingerprint)
    temporary = temporary_beside(folder)
    try:
        temporary.mkdir(parents=True)
        _write_arrays(temporary, reading)
        meta = {
            **record,
            "counts": dict(reading.counts),
            "floor": reading.floor,
            "floor_note": reading.floor_note,
        }
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        if open_prepared(fingerprint) is None:
            shutil.rmtree(folder, ignore_errors=True)
            _rename(temporary, folder)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _folder(fingerprint: str) -> Path:
    return cache_root() / "prepared" / fingerprint


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was first, with the same content
            raise


def _write_arrays(folder: Path, reading: Reading) -> None:
    total = sum(reading.counts.values())
    arrays: list[np.memmap[Any, Any]] = []
    for block in reading.blocks:
        samples = (block.inputs, block.targets)
        if not arrays:
            arrays = [
                np.lib.format.open_memmap(
                    folder / f"{name}.npy", "w+", dtype=part.dtype, shape=(total, *part.shape[1:])
                )
                for name, part in zip(_ARRAYS, samples, strict=True)
            ]
        for array, part in zip(arrays, samples, strict=True):
            array[block.positions] = part
    for array in arrays:
        array.flush()
