"""Arrays in a `.npz` file, some rows at a time, whether packed or not."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError
from xmft.unreadable import check, readable, refusal

_EXPECTED = "a whole .npz file of arrays of numbers"
_LARGEST_TEXT = 64
_PIECE = 2**24


@dataclass(frozen=True)
class Member:
    """What an array says of itself.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        turned: Whether it is stored column by column, as what was a transposed array is.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    turned: bool

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Archive:
    """An open file.

    Attributes:
        path: The file.
        members: The arrays in it by name.
    """

    path: Path
    members: Mapping[str, Member]
    _zip: zipfile.ZipFile

    def rows(self, name: str, count: int) -> Iterator[npt.NDArray[Any]]:
        """Yield an array `count` rows at a time; never more of it is in memory.

        Of one that is stored column by column all is, once.

        Raises:
            FileError: the file ends early or is damaged.
        """
        with _explained(self.path), self._zip.open(f"{name}.npy") as stream:
            member = _header(stream, name)
            if member.turned:
                values = _filled(stream, name, member.nbytes).view(member.dtype)
                whole = values.reshape(member.shape, order="F")
                for start in range(0, len(whole), count):
                    yield np.ascontiguousarray(whole[start : start + count])
            else:
                width = math.prod(member.shape[1:]) * member.dtype.itemsize
                for start in range(0, member.shape[0], count):
                    wanted = min(count, member.shape[0] - start)
                    block = _filled(stream, name, wanted * width).view(member.dtype)
                    yield block.reshape(wanted, *member.shape[1:])
            if stream.read(1):  # which also has the sum of what was read checked
                raise ValueError(f"'{name}' goes on behind its last row")

    def text(self, name: str) -> str | None:
        """Return a text in the file; None where there is no array of the name.

        Raises:
            FileError: it is something else, or long.
        """
        member = self.members.get(name)
        if member is None:
            return None
        if member.shape or member.dtype.kind != "U" or member.dtype.itemsize > 4 * _LARGEST_TEXT:
            raise FileError(self.path, f"'{name}' is no short text", "a text")
        with _explained(self.path), self._zip.open(f"{name}.npy") as stream:
            _header(stream, name)
            return str(_filled(stream, name, member.nbytes).view(member.dtype)[0])


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a file and look at what its arrays say of themselves.

    Raises:
        FileError: it is no such file, is damaged, or holds objects, which are pickles.
    """
    check(path)
    with readable(path), _explained(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with _explained(path):
            members = {}
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name != info.filename:
                    with archive.open(info) as stream:
                        members[name] = _header(stream, name)
                        held = info.file_size - stream.tell()
                    if held != members[name].nbytes:
                        raise ValueError(
                            f"'{name}' says that it has the shape {members[name].shape}, which is "
                            f"{members[name].nbytes} bytes, and has {held}"
                        )
        yield Archive(path, members, archive)


def _header(stream: IO[bytes], name: str) -> Member:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, turned, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, turned, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"the .npy version of '{name}' is {version[0]}.{version[1]}")
    if dtype.hasobject:
        raise ValueError(f"'{name}' holds objects, which are a pickle and could be a program")
    return Member(shape, dtype, turned)


def _filled(stream: IO[bytes], name: str, size: int) -> npt.NDArray[np.uint8]:
    """Read so many bytes, without a second copy of them."""
    values = np.empty(size, dtype=np.uint8)
    for start in range(0, size, _PIECE):
        piece = stream.read(min(_PIECE, size - start))
        if len(piece) < min(_PIECE, size - start):
            raise ValueError(f"'{name}' ends early")
        values[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
    return values


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OSError) as error:
        raise refusal(path, error) or _damaged(path, error) from error
    except (
        # What zipfile and numpy raise on damaged bytes.
        *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError),
        *(NotImplementedError, RuntimeError, OverflowError, SyntaxError, TypeError),
    ) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FileError:
    size = path.stat().st_size
    return FileError(path, f"cannot be read ({error}); found {size} bytes", _EXPECTED, between=" ")
