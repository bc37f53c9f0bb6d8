"""Opening pickled numpy arrays without running what a pickle may contain.

A pickle is a program. The released files that are pickles hold dictionaries of arrays, for which
numpy's constructors are enough; a pickle that names anything else is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xmft.errors import FileError
from xmft.unreadable import check, readable, refusal

_LARGE_BYTES = 2**24

# numpy says itself what it writes into pickles, so none of its private modules are imported.
_RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for `_codecs.encode`, by which protocol 2 writes bytes: latin1 and nothing else."""
    if encoding not in {"latin1", "latin-1"}:
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("_codecs", "encode"): _encode,
}


class NumpyUnpickler(pickle.Unpickler):
    """Builds arrays, numpy scalars and Python's plain containers; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of numpy's constructors.

        Raises:
            pickle.UnpicklingError: the pickle asks for something else.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for '{module}.{name}', which is none of numpy's constructors"
            ) from None


def load_object(path: Path) -> Any:
    """Return the object in a 0-d object array, as `numpy.save` writes a dictionary.

    Args:
        path: An `.npy` file.

    Raises:
        FileError: the file is no such array, is damaged, or wants anything but numpy's
            constructors.
    """
    return _object_array(path, (), "the .npy file of one pickled dictionary of arrays").item()


def load_objects(path: Path, count: int) -> list[Any]:
    """Return the objects in an object array of one axis, as `numpy.save` writes a tuple.

    Args:
        path: An `.npy` file.
        count: Number of objects.

    Raises:
        FileError: as from `load_object`.
    """
    expected = f"the .npy file of {count} pickled values or arrays"
    return list(_object_array(path, (count,), expected))


def _object_array(path: Path, shape: tuple[int, ...], expected: str) -> np.ndarray[Any, Any]:
    check(path)
    with readable(path):
        stream = path.open("rb")
    with stream, _explained(path, path.stat().st_size, expected):
        _check_header(stream, shape)
        # Arrays that Python 2 pickled are latin1.
        array = NumpyUnpickler(stream, encoding="latin1").load()
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise ValueError(f"its pickle holds a {type(array).__name__}")
        return array


def load_pickle(stream: BinaryIO, *, name: str, size: int) -> Any:
    """Return the object in a plain pickle; text that Python 2 wrote is read as latin1.

    Args:
        stream: Where to read.
        name: The file, for messages.
        size: Its bytes, for messages.

    Raises:
        FileError: it is damaged, or wants anything but numpy's constructors.
    """
    with _explained(name, size, "one pickled dictionary of arrays"):
        return NumpyUnpickler(stream, encoding="latin1").load()


@contextmanager
def _explained(name: str | Path, size: int, expected: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OSError) as error:
        # Damaged bytes may ask for any number of others; a small file has no right to many.
        large = isinstance(error, OSError) or size >= _LARGE_BYTES
        refused = refusal(Path(name), error) if large else None
        raise refused or _damaged(name, error, size, expected) from error
    except (
        # What an unpickler raises on bytes that are no pickle.
        *(AttributeError, EOFError, IndexError, KeyError, OverflowError),
        *(TypeError, ValueError, pickle.UnpicklingError),
    ) as error:
        raise _damaged(name, error, size, expected) from error


def _damaged(name: str | Path, error: Exception, size: int, expected: str) -> FileError:
    return FileError(name, f"cannot be read ({error}); found {size} bytes", expected, between=" ")


def _check_header(stream: BinaryIO, wanted: tuple[int, ...]) -> None:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"its .npy version is {version[0]}.{version[1]}")
    if shape != wanted or not dtype.hasobject:
        raise ValueError(f"it is an array of type {dtype} and shape {shape}")
