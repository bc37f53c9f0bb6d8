"""Prepared arrays: what a task needs of its files, stored so that opening them costs nothing.

Each folder under `<cache>/prepared` is named by the fingerprint of what it holds: `inputs`,
`targets` and, where there are any, `weights`, with the samples in the order in which the splits are
counted, `meta.json`, and the windows and groups of each split. Their values were looked at once,
when they were stored. `perfect` is computed once, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.arrays import ArrayWriter, opened, part_of, writer
from benchmarks.splits import Indices
from xmft.cache import cache_root, once
from xmft.errors import DataError, RequestError
from xmft.task import Ragged, Split, Windows
from xmft.unreadable import no_room, refusal

_ARRAYS = ("inputs", "targets", "weights")
_PERFECT = "perfect.npy"

# Raised when the checks that stored values have passed become stricter: they are read again.
_CHECKS = 1


class Block(NamedTuple):
    """Some samples on their way into the prepared arrays, of the type in which they are stored.

    Attributes:
        positions: Place of each sample in the prepared arrays, `[n]`; ragged samples come in order.
        inputs: `[n, channels, *grid]`, or whatever the task's `decode` takes.
        targets: `[n, channels, *grid]`, `[n]` or `[n, labels]`, or likewise.
        weights: See `Split.weights`.
    """

    positions: Indices
    inputs: npt.NDArray[Any] | Ragged
    targets: npt.NDArray[Any] | Ragged
    weights: npt.NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read from the files of a task: blocks, which are stored, or splits as they are.

    Attributes:
        counts: Samples in each split, in the order in which they are stored.
        blocks: The samples, each exactly once, never all of them in memory.
        windows: Which rows are cut from the samples, by split; none: each sample is a row. Looked
            at behind the blocks, which may add to it as they are read.
        groups: See `Split.groups`, by split.
        splits: All of it, memory-mapped or small: nothing is stored, and the files are read again
            the next time.
        floor: See `TaskData.floor`.
        floor_note: See `TaskData.floor_note`.
        perfect: See `TaskData.perfect`.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    blocks: Iterable[Block] = ()
    windows: Mapping[str, Windows] = field(default_factory=dict)
    groups: Mapping[str, Indices] = field(default_factory=dict)
    splits: Mapping[str, Split] | None = None
    floor: float | None = None
    floor_note: str = ""
    perfect: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a task has of its files.

    Attributes:
        splits: By name, memory-mapped and read-only.
        floor: See `TaskData.floor`.
        floor_note: See `TaskData.floor_note`.
        perfect: See `TaskData.perfect`.
    """

    splits: Mapping[str, Split]
    floor: float | None
    floor_note: str
    perfect: npt.NDArray[np.float32] | None = None


def prepared(
    fingerprint: str | None,
    read: Callable[[], Reading],
    check: Callable[[Mapping[str, Split]], None],
    *,
    record: Mapping[str, Any],
) -> Prepared:
    """Return the splits of a task; the first time they are read, stored and checked.

    Cells of one task start together: one reads the files, the others wait for it. A damaged folder
    is made again.

    Args:
        fingerprint: Names the folder; None: nothing is kept of it.
        read: Starts to read the files.
        check: Looks at all values; raises a DataError.
        record: What `meta.json` says besides, for people.

    Raises:
        RequestError: the cache cannot be written.
        DataError: from `read` and `check`.
    """
    read = cache(_explained(read, record))
    if fingerprint is None:
        splits = _ready(read())
        check(splits)
        return _prepared(splits, read())

    def make(folder: Path) -> None:
        folder.mkdir()
        reading = read()
        _store(folder, reading, record)
        check(_stored(folder, _meta(folder)) if reading.splits is None else reading.splits)

    folder = cache_root() / "prepared" / fingerprint
    lock = cache_root() / "locks" / f"{fingerprint}.lock"
    try:
        return once(folder, make, lambda folder: _opened(folder, read), lock=lock)
    except OSError as error:
        raise RequestError(
            f"The prepared arrays could not be written to {folder.parent} "
            f"({no_room(error) or error}). Make room there, or set XMFT_CACHE to a folder that can "
            "be written."
        ) from error


def _explained(read: Callable[[], Reading], record: Mapping[str, Any]) -> Callable[[], Reading]:
    """Tell errors of the files from those of the cache."""

    def wrong(error: OSError | MemoryError) -> DataError:
        place = getattr(error, "filename", None) or f"{record['task']} ({record['source']})"
        refused = refusal(Path(str(place)), error)
        if refused is not None:
            return refused
        return DataError(f"{record['task']} ({record['source']}) cannot be read: {error}.")

    def blocks(reading: Reading) -> Iterator[Block]:
        try:
            yield from reading.blocks
        except (OSError, MemoryError) as error:
            raise wrong(error) from error

    def explained() -> Reading:
        try:
            reading = read()
        except (OSError, MemoryError) as error:
            raise wrong(error) from error
        return Reading(**{**vars(reading), "blocks": blocks(reading)})

    return explained


def _prepared(splits: Mapping[str, Split], reading: Reading) -> Prepared:
    return Prepared(
        splits=splits,
        floor=reading.floor,
        floor_note=reading.floor_note,
        perfect=reading.perfect,
    )


def _ready(reading: Reading) -> Mapping[str, Split]:
    if reading.splits is None:
        raise DataError("A task without files has to give its splits as they are.")
    return reading.splits


def _store(folder: Path, reading: Reading, record: Mapping[str, Any]) -> None:
    arrays = _write_arrays(folder, reading) if reading.splits is None else []
    for split, groups in reading.groups.items():
        np.save(folder / f"{split}.groups.npy", groups)
    shapes: dict[str, Any] = {}
    for split, windows in reading.windows.items():
        np.save(folder / f"{split}.windows.npy", windows.table)
        if windows.extents is not None:
            np.save(folder / f"{split}.extents.npy", windows.extents)
        shapes[split] = {
            name: value
            for name, value in asdict(windows).items()
            if name not in ("table", "extents")
        }
    if reading.perfect is not None:
        np.save(folder / _PERFECT, reading.perfect)
    meta = {
        **record,
        "counts": dict(reading.counts),
        "floor": reading.floor,
        "floor_note": reading.floor_note,
        "perfect": reading.perfect is not None,
        "arrays": arrays,
        "windows": shapes,
        "groups": list(reading.groups),
        "stored": reading.splits is None,
        "checks": _CHECKS,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _write_arrays(folder: Path, reading: Reading) -> list[str]:
    """Write the blocks; return the names of the arrays."""
    total = sum(reading.counts.values())
    writers: dict[str, ArrayWriter] = {}
    for block in reading.blocks:
        parts = {name: part for name in _ARRAYS if (part := getattr(block, name)) is not None}
        if not writers:
            writers = {name: writer(folder, name, total, part) for name, part in parts.items()}
        if parts.keys() != writers.keys():
            raise DataError("Some blocks of a task have weights and others do not.")
        for name, part in parts.items():
            writers[name].write(block.positions, part)
    if not writers:
        raise DataError("The files of the task hold no samples.")
    for one in writers.values():
        one.close()
    return list(writers)


def _opened(folder: Path, read: Callable[[], Reading]) -> Prepared | None:
    """Return what is in a folder; one that is missing or damaged has nothing."""
    try:
        meta = _meta(folder)
        if meta.get("checks") != _CHECKS:
            return None
        splits = _stored(folder, meta) if meta.get("stored", True) else None
        floor, floor_note = meta["floor"], meta["floor_note"]
        # Floors stored before there was this entry were of other problems than the equations.
        perfect = np.load(folder / _PERFECT, mmap_mode="r") if meta["perfect"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return None
    return Prepared(
        splits=_ready(read()) if splits is None else splits,
        floor=floor,
        floor_note=floor_note,
        perfect=perfect,
    )


def _meta(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return meta


def _stored(folder: Path, meta: Mapping[str, Any]) -> dict[str, Split]:
    """Return the splits in a folder.

    Raises:
        OSError, ValueError: something of what its record says is missing.
    """
    total = sum(meta["counts"].values())
    arrays = {}
    for name in meta.get("arrays", _ARRAYS[:2]):  # all there was before it was written down
        array = opened(folder, name)
        if array is None or len(array) != total:
            raise ValueError(f"{folder} does not hold the {name} of {total} samples")
        arrays[name] = array
    splits, start = {}, 0
    for name, count in meta["counts"].items():
        windows = meta.get("windows", {}).get(name)
        parts: dict[str, Any] = {
            what: part_of(array, start, start + count) for what, array in arrays.items()
        }
        grouped = name in meta.get("groups", ())
        splits[name] = Split(
            **parts,
            windows=None if windows is None else _windows(folder, name, windows),
            groups=np.load(folder / f"{name}.groups.npy") if grouped else None,
        )
        start += count
    return splits


def _windows(folder: Path, split: str, shape: Mapping[str, Any]) -> Windows:
    table = np.load(folder / f"{split}.windows.npy", mmap_mode="r")
    extents = folder / f"{split}.extents.npy"
    return Windows(
        table=table,
        extents=np.load(extents) if extents.exists() else None,
        **{**shape, "size": tuple(shape["size"])},
    )
