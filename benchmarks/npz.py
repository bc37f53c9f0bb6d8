"""Arrays in a `.npz` file, some rows at a time, whether packed or not."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, get_args

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError
from xmft.task import Origin
from xmft.unreadable import check, readable, refusal

_EXPECTED = "a whole .npz file of arrays of numbers"
_LARGEST_TEXT = 64


@dataclass(frozen=True)
class Member:
    """What an array says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


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

        Raises:
            FileError: the file ends early or is damaged.
        """
        with _explained(self.path), self._zip.open(f"{name}.npy") as stream:
            member = _header(stream, name)
            shape, width = member.shape[1:], member.dtype.itemsize * int(np.prod(member.shape[1:]))
            for start in range(0, member.shape[0], count):
                wanted = min(count, member.shape[0] - start)
                block = stream.read(wanted * width)
                if len(block) < wanted * width:
                    raise ValueError(f"'{name}' ends in row {start + len(block) // max(1, width)}")
                yield np.frombuffer(block, member.dtype).reshape(wanted, *shape)
            if stream.read(1):  # which also checks the sum of what was read
                raise ValueError(f"'{name}' goes on behind its last row")

    def origin(self, name: str) -> Origin:
        """Return what a text in the file says of where its content comes from."""
        member = self.members[name]
        if member.shape or member.dtype.kind != "U" or member.dtype.itemsize > 4 * _LARGEST_TEXT:
            raise FileError(self.path, f"'{name}' is no short text", "where the data come from")
        with _explained(self.path), self._zip.open(f"{name}.npy") as stream:
            _header(stream, name)
            said = str(np.frombuffer(stream.read(member.dtype.itemsize), member.dtype)[0])
        for origin in get_args(Origin):
            if said == origin:
                return origin
        raise FileError(self.path, f"'{name}' is {said!r}", f"one of {', '.join(get_args(Origin))}")


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
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            members = {}
            for name in names:
                with archive.open(name) as stream:
                    members[name.removesuffix(".npy")] = _header(stream, name)
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
    if turned and len(shape) > 1:
        raise ValueError(f"'{name}' is stored column by column")
    return Member(shape, dtype)


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
