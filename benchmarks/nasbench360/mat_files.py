"""Fields in MATLAB files: the old format, and the new one, HDF5 with the axes reversed."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from benchmarks import hdf5
from benchmarks.origin import stated_origin
from xmft.errors import FileError
from xmft.task import Origin
from xmft.unreadable import check, readable

Fields = npt.NDArray[np.float32]
_MARK = "xmft_origin"
# What scipy raises on bytes that are no MATLAB file, or not all of one.
_BROKEN = (MatReadError, zlib.error, ValueError, TypeError, OSError, EOFError, LookupError)


def shapes(path: Path, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of arrays as MATLAB has them, without reading their values.

    Raises:
        FileError: it is no MATLAB file, or one of the arrays is missing.
    """
    check(path)
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            found = {
                name: tuple(file[name].shape[::-1])
                for name in names
                if isinstance(file.get(name), h5py.Dataset)
            }
            held = list(file)
    else:
        with readable(path):
            try:
                listed = whosmat(path)
            except _BROKEN as error:
                raise _damaged(path, error) from error
        found = {name: tuple(shape) for name, shape, _ in listed if name in names}
        held = [name for name, _, _ in listed]
    missing = [name for name in names if name not in found]
    if missing:
        raise FileError(
            path, f"holds {', '.join(held) or 'nothing'}", " and ".join(names), between=" "
        )
    return found


def origin(path: Path) -> Origin:
    """Return where the file comes from."""
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            said = file.attrs.get(_MARK)
    else:
        with readable(path):
            found = loadmat(path, variable_names=[_MARK]).get(_MARK)
        said = None if found is None or not len(found) else found[0]
    return stated_origin(path, said)


def strided(path: Path, name: str, stride: int) -> Fields:
    """Read every `stride`-th point of all fields `[n, points, points]`.

    Of the new format little more is read than is returned. The old one can be read as a whole
    alone, which takes 1.5 GB for a released array until it is strided.

    Raises:
        FileError: the file is damaged, or holds something else than numbers.
    """
    values: Any
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            data = file[name]
            rows = [data[row, ::stride] for row in range(0, data.shape[0], stride)]
            values = np.stack(rows).transpose(2, 1, 0)
    else:
        with readable(path):
            try:
                values = loadmat(path, variable_names=[name])[name][:, ::stride, ::stride]
            except _BROKEN as error:
                raise _damaged(path, error) from error
    if values.dtype.kind not in "fiub":
        raise FileError(path, f"'{name}' is of type {values.dtype}", "numbers")
    return np.ascontiguousarray(values, dtype=np.float32)


def _is_hdf5(path: Path) -> bool:
    with readable(path):
        return bool(h5py.is_hdf5(path))


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(
        path,
        f"cannot be read ({error}); found {path.stat().st_size} bytes",
        "a MATLAB file",
        between=" ",
    )
