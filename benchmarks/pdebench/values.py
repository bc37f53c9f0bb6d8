"""What values must be to be data: written, finite, possible under the equation, each sample once.

HDF5 gives its fill value for what was never written, 0 unless the file says otherwise, and a merge
that skipped a sample leaves no other trace. What it stores it keeps count of, which tells most of
this without reading a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.splits import Indices
from xmft.errors import FileError
from xmft.missing import MARKS, marked

Values = npt.NDArray[np.floating[Any]]

Limits = tuple[float, float]
"""Values lie between these, without them."""

# Beside those that are sure of any data.
_MARKS = (*MARKS, *(s * m for m in (999.0, 32767.0, 32768.0) for s in (1, -1)), 9999.0, 99999.0)
# No field of these equations comes near it.
_HUGE = 1e8


@dataclass(frozen=True, kw_only=True)
class Possible:
    """What is possible under an equation.

    Attributes:
        limits: Of the values of a dataset, by name.
        constant: The first frame, or the coefficient, may be the same everywhere.
        settles: Later frames may be.
        repeats: Share of the samples that may be the same as another one, by chance: where one
            number tells a sample, two may be alike to the last digit.
        constants_repeat: Those may that are the same everywhere at the start.
    """

    limits: Mapping[str, Limits] = field(default_factory=dict)
    constant: bool = False
    settles: bool = False
    repeats: float = 0.0
    constants_repeat: bool = False


def check_written(path: Path, dataset: Any, *, sample: int | None = None) -> None:
    """Look whether all of a dataset was written, in HDF5's own count of what it stores.

    Args:
        path: The file.
        dataset: `[sample, ...]`, or of one sample alone.
        sample: Number of that one.

    Raises:
        FileError: some of it was not.
    """
    if dataset.is_virtual or dataset.external or not dataset.size:
        return
    chunks = dataset.chunks
    if chunks is None:
        if dataset.id.get_storage_size() == 0:
            raise _unwritten(path, dataset, "nothing", _place(sample))
        return
    blocks = [-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True)]
    total, stored = int(np.prod(blocks)), dataset.id.get_num_chunks()
    if stored < total:
        held = f"{stored} of {total} blocks"
        if sample is not None:
            raise _unwritten(path, dataset, held, _place(sample))
        rows: list[int] = []
        # One by one, each block would be searched for from the first.
        dataset.id.chunk_iter(lambda block: rows.append(block.chunk_offset[0] // chunks[0]))
        counts = np.bincount(np.array(rows, dtype=np.int64), minlength=blocks[0])
        lacking = np.repeat(counts < total // blocks[0], chunks[0])[: len(dataset)]
        more = int(lacking.sum()) - 1
        raise _unwritten(path, dataset, held, _place(int(np.argmax(lacking)), more))


def declared_fills(dataset: Any) -> tuple[float, ...]:
    """Return what a dataset says stands for what is missing, by HDF5 or in attributes; 0 says none.

    1 says none either: fractions end there.
    """
    said = [_fill(dataset), *(dataset.attrs.get(n) for n in ("_FillValue", "missing_value"))]
    values = [np.ravel(value)[0] for value in said if np.size(value) and value is not None]
    numbers = [float(value) for value in values if isinstance(value, (np.number, int, float))]
    return tuple(number for number in numbers if abs(number) <= _HUGE and number not in (0.0, 1.0))


def _fill(dataset: Any) -> float | None:
    """Return what HDF5 gives for what was never written; None: it may give anything."""
    defined = dataset.id.get_create_plist().fill_value_defined()
    if defined == h5py.h5d.FILL_VALUE_UNDEFINED:
        return None
    return float(np.ravel(dataset.fillvalue)[0])


def _place(first: int | None, more: int = 0) -> str:
    if first is None:
        return ""
    return f", first of sample {first}" + (f" and in {more} more," if more else ",")


def _unwritten(path: Path, dataset: Any, held: str, where: str) -> FileError:
    name, fill = str(dataset.name).lstrip("/"), _fill(dataset)
    read = "anything" if fill is None else f"{fill:g}"
    return FileError(
        path,
        f"holds {held} of '{name}'; what is missing{where} was never written, and would be read "
        f"as {read}",
        "every sample",
        between=" ",
    )


@dataclass
class Suspects:
    """Counts what cannot be data, to report all of a file's at once, the first sample by number."""

    path: Path
    possible: Possible
    fills: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    digests: dict[bytes, int] = field(default_factory=dict)
    _found: dict[str, dict[int, str]] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)
    _constants: set[int] = field(default_factory=set)

    def look(self, name: str, numbers: Indices, frames: Values, *, start: bool) -> None:
        """Look at one field of some samples.

        Args:
            name: Of the dataset.
            numbers: Of the samples `[n]`.
            frames: `[n, frames, ...]`.
            start: The first frame is the initial one, or the coefficient.
        """
        rows = frames.reshape(len(frames), frames.shape[1], -1)
        finite = np.isfinite(rows)
        if not finite.all():
            self._note("nan", name, numbers, ~finite)
            rows = np.where(finite, rows, 1.0)
        high, low = rows.max(axis=2), rows.min(axis=2)
        missing = self._missing(name, rows, np.maximum(high, -low))
        self._note("fill", name, numbers, missing[..., None])
        least, most = self.possible.limits.get(name, (-np.inf, np.inf))
        zero, level = (high == 0) & (low == 0), (high == low) & ~missing
        self._note("zero", name, numbers, zero[..., None])
        outside = ((low <= least) | (high >= most)) & ~missing & ~zero
        self._note("limit", name, numbers, outside[..., None])
        first = level[:, : int(start)]
        if not self.possible.constant:
            self._note("start", name, numbers, first[..., None])
        if not self.possible.settles:
            self._note("level", name, numbers, level[:, int(start) :, None])
        if start and self.possible.constants_repeat:
            self._constants.update(numbers[first[:, 0]].tolist())

    def _missing(self, name: str, rows: Values, size: Values) -> npt.NDArray[np.bool_]:
        """Return which rows `[n, frames, points]` hold what stands for nothing, `[n, frames]`."""
        found: npt.NDArray[np.bool_] = size > _HUGE
        large = ~found & (size >= min(map(abs, _MARKS)))
        if large.any():
            found[large] = marked(rows[large], _MARKS)
        for fill in self.fills.get(name, ()):
            # Once may be chance.
            found |= np.count_nonzero(rows == rows.dtype.type(fill), axis=2) > 1
        return found

    def compare(self, numbers: Indices, parts: Sequence[Values]) -> None:
        """Look whether samples come again; each part is `[n, ...]`."""
        for row, number in enumerate(numbers.tolist()):
            digest = hashlib.blake2b(digest_size=16)
            for part in parts:
                digest.update(np.ascontiguousarray(part[row]).tobytes())
            self.repeated(number, digest.digest())

    def repeated(self, number: int, digest: bytes) -> None:
        """Take in the digest of a whole sample that was looked at."""
        if number in self._constants:
            return
        first = self.digests.setdefault(digest, number)
        if first != number:
            self._found.setdefault("repeat", {})[number] = str(first)

    def check(self) -> None:
        """Raise the error of the first kind that there is.

        Raises:
            FileError: there is one.
        """
        for kind, (found, expected) in _SENTENCES.items():
            samples = self._found.get(kind)
            if not samples or (kind == "repeat" and self._by_chance(len(samples))):
                continue
            number = min(samples)
            name = samples[number]
            least, most = self.possible.limits.get(name, (-np.inf, np.inf))
            many = f" and in {len(samples) - 1} more" if len(samples) > 1 else ""
            between = f"between {least:g} and {most:g}" if most < np.inf else f"above {least:g}"
            facts = {"name": name, "number": number, "many": many, "between": between}
            facts["count"] = str(self._values.get(kind, 0))
            raise FileError(self.path, found.format(**facts), expected.format(**facts))

    def _by_chance(self, repeats: int) -> bool:
        return repeats <= self.possible.repeats * (len(self.digests) + repeats)

    def _note(self, kind: str, name: str, numbers: Indices, wrong: npt.NDArray[np.bool_]) -> None:
        if not wrong.any():
            return
        self._values[kind] = self._values.get(kind, 0) + int(wrong.sum())
        for row in np.flatnonzero(wrong.any(axis=(1, 2))):
            self._found.setdefault(kind, {}).setdefault(int(numbers[row]), name)


_SENTENCES = {
    "nan": (
        "found {count} values that are NaN or infinite, the first in sample {number} of '{name}'",
        "finite values only",
    ),
    "fill": (
        "found numbers that mark what is missing (such as -9999 or 1e20) in sample {number} of "
        "'{name}'{many}",
        "values of the field",
    ),
    "zero": (
        "'{name}' is zero everywhere in a frame of sample {number}{many}, as what was never "
        "written is",
        "a field in every frame",
    ),
    "limit": (
        "found values in sample {number} of '{name}'{many} that the equation does not allow",
        "values {between}",
    ),
    "start": (
        "'{name}' is the same everywhere at the start of sample {number}{many}",
        "an initial field in every sample",
    ),
    "level": (
        "'{name}' is the same everywhere in a later frame of sample {number}{many}, which this "
        "equation does not come to",
        "a solution in every frame",
    ),
    "repeat": (
        "sample {number} is the same as sample {name}{many}",
        "different samples: the same one in training and test would be a leak",
    ),
}
