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

import numpy as np
import numpy.typing as npt

from benchmarks.splits import Indices
from xmft.errors import FileError

Values = npt.NDArray[np.floating[Any]]

Limits = tuple[float, float]
"""Values lie between these, without them."""

# Written by hand, by netCDF and by others where there is no value. No field comes near most of
# them, and hits none of the others to the last digit.
_HUGE = (9.969209968386869e36, 1e20, 1e30, 1e36, float(np.finfo(np.float32).max))
_FILLS = np.array(
    [-999.0, -9999.0, -99999.0, -32768.0, *_HUGE, *(-value for value in _HUGE)], dtype=np.float32
)


@dataclass(frozen=True, kw_only=True)
class Possible:
    """What is possible under an equation.

    Attributes:
        limits: Of the values of a dataset, by name.
        constant: The first frame may be the same everywhere.
        repeats: Samples may come again.
        constants_repeat: Those may that are the same everywhere at the start.
    """

    limits: Mapping[str, Limits] = field(default_factory=dict)
    constant: bool = False
    repeats: bool = False
    constants_repeat: bool = False


def check_written(path: Path, dataset: Any) -> None:
    """Look whether all of a dataset was written, in HDF5's own count of what it stores.

    Args:
        path: The file.
        dataset: `[sample, ...]`.

    Raises:
        FileError: some of it was not.
    """
    if dataset.is_virtual or dataset.external or not dataset.size:
        return
    name, chunks = str(dataset.name).lstrip("/"), dataset.chunks
    if chunks is None:
        if dataset.id.get_storage_size() == 0:
            raise _unwritten(path, name, "nothing", "", dataset)
        return
    blocks = [-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True)]
    total, stored = int(np.prod(blocks)), dataset.id.get_num_chunks()
    if stored < total:
        rows = [dataset.id.get_chunk_info(i).chunk_offset[0] // chunks[0] for i in range(stored)]
        counts = np.bincount(np.array(rows, dtype=np.int64), minlength=blocks[0])
        first = int(np.argmax(counts < total // blocks[0])) * chunks[0]
        raise _unwritten(
            path, name, f"{stored} of {total} blocks", f", first of sample {first},", dataset
        )


def _unwritten(path: Path, name: str, held: str, where: str, dataset: Any) -> FileError:
    return FileError(
        path,
        f"holds {held} of '{name}'; what is missing{where} was never written, and would be read "
        f"as {float(np.ravel(dataset.fillvalue)[0]):g}",
        "every sample",
        between=" ",
    )


@dataclass
class Suspects:
    """Counts what cannot be data, to report all of a file's at once, the first sample by number."""

    path: Path
    possible: Possible
    _found: dict[str, dict[int, str]] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)
    _digests: dict[bytes, int] = field(default_factory=dict)
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
        if max(high.max(), -low.min()) >= -_FILLS[0]:
            fills = np.isin(rows.astype(np.float32), _FILLS)
            if fills.any():
                self._note("fill", name, numbers, fills)
                return
        least, most = self.possible.limits.get(name, (-np.inf, np.inf))
        self._note("limit", name, numbers, ((low <= least) | (high >= most))[..., None])
        self._note("zero", name, numbers, ((high == 0) & (low == 0))[..., None])
        if start and not self.possible.constant:
            self._note("constant", name, numbers, (high == low)[:, :1, None])
        if start and self.possible.constants_repeat:
            self._constants.update(numbers[(high == low)[:, 0]].tolist())

    def compare(self, numbers: Indices, parts: Sequence[Values]) -> None:
        """Look whether samples come again; each part is `[n, ...]`."""
        if self.possible.repeats:
            return
        for row, number in enumerate(numbers.tolist()):
            digest = hashlib.blake2b(digest_size=16)
            for part in parts:
                digest.update(np.ascontiguousarray(part[row]).tobytes())
            self.repeated(number, digest.digest())

    def repeated(self, number: int, digest: bytes) -> None:
        """Take in the digest of a whole sample that was looked at."""
        if number in self._constants:
            return
        first = self._digests.setdefault(digest, number)
        if first != number:
            self._found.setdefault("repeat", {})[number] = str(first)

    def check(self) -> None:
        """Raise the error of the first kind that there is.

        Raises:
            FileError: there is one.
        """
        for kind, (found, expected) in _SENTENCES.items():
            samples = self._found.get(kind)
            if not samples:
                continue
            number = min(samples)
            name = samples[number]
            least, most = self.possible.limits.get(name, (-np.inf, np.inf))
            many = f" and in {len(samples) - 1} more" if len(samples) > 1 else ""
            facts = {"name": name, "number": number, "many": many, "least": least, "most": most}
            facts["count"] = self._values.get(kind, 0)
            raise FileError(self.path, found.format(**facts), expected.format(**facts))

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
        "found {count} values that mark what is missing (such as -9999 or 1e20), the first in "
        "sample {number} of '{name}'",
        "values of the field",
    ),
    "limit": (
        "found values in sample {number} of '{name}'{many} that the equation does not allow",
        "values between {least:g} and {most:g}",
    ),
    "zero": (
        "'{name}' is zero everywhere in a frame of sample {number}{many}, as what was never "
        "written is",
        "a field in every frame",
    ),
    "constant": (
        "'{name}' is the same everywhere at the start of sample {number}{many}",
        "an initial field in every sample",
    ),
    "repeat": (
        "sample {number} is the same as sample {name}{many}, in every value",
        "different samples: the same one in training and test would be a leak",
    ),
}
