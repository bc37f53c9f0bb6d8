"""Zip archives in several files, `all.z01`, `all.z02` and so on with the end in `all.zip`.

Python reads no such archive: it takes places in it as counted from its start, while they are
counted from the start of the file in which they lie.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from xmft.errors import FileError

_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_COMMENT = 2**16


@contextmanager
def opened(archive: Path, stream: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Yield a zip archive, in one file or in several.

    Args:
        archive: The file with the end of it; the others lie beside it.
        stream: The file, open.

    Raises:
        FileError: one of the others is not there.
        zipfile.BadZipFile: it is no zip archive, or damaged.
    """
    count = _others(stream)
    parts = [archive.with_suffix(f".z{number:02d}") for number in range(1, count + 1)]
    missing = [path for path in parts if not path.is_file()]
    if missing:
        raise FileError(
            archive,
            f"is the last of {count + 1} files of one archive, and {missing[0].name} is not beside "
            "it",
            between=" ",
            mend=f"Put {missing[0].name} into {archive.parent}.",
        )
    with ExitStack() as stack:
        if not parts:
            yield stack.enter_context(zipfile.ZipFile(stream))
            return
        streams = [*(stack.enter_context(path.open("rb")) for path in parts), stream]
        joined = _Joined(streams)
        packed = stack.enter_context(zipfile.ZipFile(io.BufferedReader(joined)))
        _mend_places(packed, joined.starts)
        yield packed


def _others(stream: IO[bytes]) -> int:
    """Return how many files of an archive there are beside the last one."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _COMMENT - _END.size))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        return 0  # cut off, which is told by who reads it
    return int(_END.unpack_from(tail, at)[1])


def _mend_places(packed: zipfile.ZipFile, starts: list[int]) -> None:
    """Count places from the start of the whole."""
    members = packed.infolist()
    if not members:
        return
    # All places were taken to lie in the file in which the table of contents begins.
    table = max(start for start in starts if start <= packed.start_dir)
    for member in members:
        if member.volume >= len(starts):
            raise zipfile.BadZipFile(f"{member.filename} lies in a file that is not there")
        member.header_offset += starts[member.volume] - table
        if hasattr(member, "_end_offset"):  # by newer versions of Python, of the wrong places
            member._end_offset = None


class _Joined(io.RawIOBase):
    """Several files, read as one."""

    def __init__(self, streams: list[IO[bytes]]) -> None:
        self._streams = streams
        sizes = [stream.seek(0, io.SEEK_END) for stream in streams]
        self.starts = [0, *accumulate(sizes)]
        self._size = self.starts.pop()
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("a place before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = max(n for n, start in enumerate(self.starts) if start <= self._at)
        stream = self._streams[number]
        stream.seek(self._at - self.starts[number])
        content = stream.read(len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
