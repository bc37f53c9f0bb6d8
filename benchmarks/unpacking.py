"""Archives of strangers, unpacked so that nothing is written but what belongs into their folder."""

from __future__ import annotations

import gzip
import posixpath
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

from benchmarks import split_zips
from benchmarks.download import Say
from benchmarks.files import Progress, size_text
from benchmarks.room import NoRoomError, check_writable, free
from xmft.cache import whole
from xmft.errors import FileError
from xmft.unreadable import check, no_room, readable

_ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip")
_BLOCK = 2**20
_TRUNCATED = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)


def folder_of(archive: Path) -> Path:
    """Return the folder into which an archive is unpacked: beside it, called as it is."""
    name = archive.name
    if is_part(archive):
        return archive.with_suffix("")
    ending = next((end for end in _ENDINGS if name.lower().endswith(end)), None)
    return archive.with_name(name[: -len(ending)] if ending else f"{name}.unpacked")


def is_part(path: PurePath) -> bool:
    """Tell whether a file is one of several of a zip archive and not the last."""
    return re.fullmatch(r"\.z\d\d+", path.suffix.lower()) is not None


def unpack(archive: Path, *, progress: Progress, say: Say) -> Path:
    """Unpack a tar (also packed by gzip, bzip2 or xz) or zip archive, unless that is done already.

    The other files of a zip archive in several files lie beside its last one.

    The folder appears under its name only when all is in it. Where the archive holds one folder of
    that name and nothing else, it is that folder.

    Args:
        archive: The file; it stays.
        progress: Called with bytes of the archive done and in all.
        say: Called with a sentence for people.

    Returns:
        The folder, see `folder_of`.

    Raises:
        NoRoomError: there is no room on the disk, or its folder cannot be written.
        FileError: the archive is damaged, cut off or encrypted, or holds what must not be written:
            members outside of its folder, links that lead out of it, devices.
    """
    folder = folder_of(archive)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise FileError(
            folder,
            "is in the way: a folder of that name is to be made",
            between=" ",
            mend="Move it away.",
        )
    check(archive)
    check_writable(folder.parent, f"What is in {archive}")
    say(f"{archive.name}: unpacked into {folder}")
    with _told(archive), whole(folder) as temporary, _opened(archive) as stream:
        temporary.mkdir()
        room = _Room(archive, folder, free(folder))
        # The last of several files of a zip archive begins anyhow.
        zipped = stream.read(2) == b"PK" or archive.suffix.lower() == ".zip"
        kind = _unzip if zipped else _untar
        stream.seek(0)
        kind(archive, stream, temporary, room, progress)
        _lift(temporary, folder.name)
    return folder


def _opened(archive: Path) -> IO[bytes]:
    with readable(archive):
        return archive.open("rb")


class _Room:
    """Counts what is written against what there is room for."""

    def __init__(self, archive: Path, folder: Path, free: int) -> None:
        self._archive, self._folder, self._free, self._used = archive, folder, free, 0

    def take(self, size: int) -> None:
        """Count a member.

        Raises:
            NoRoomError: there is no room for it.
        """
        self._used += size
        if self._used > self._free:
            raise NoRoomError(
                f"{self._archive} holds {size_text(self._used)} or more, and the disk of "
                f"{self._folder.parent} has {size_text(self._free)} left. Make room there, or give "
                "--data another folder; an archive that is far larger inside than it should be is "
                "none to unpack."
            )


@contextmanager
def _told(archive: Path) -> Iterator[None]:
    try:
        yield
    except _TRUNCATED as error:
        raise FileError(
            archive,
            f"cannot be unpacked: {_first_line(error)}",
            "a whole archive (it is cut off, damaged or encrypted)",
            between=" ",
            mend="Delete it, with its pin if it has one, and fetch it again.",
        ) from error
    except OSError as error:
        full = no_room(error)
        if full is None:
            raise
        raise NoRoomError(
            f"{archive} could not be unpacked: {full}. Make room there, or give --data another "
            "folder."
        ) from error


def _unzip(archive: Path, stream: IO[bytes], folder: Path, room: _Room, progress: Progress) -> None:
    done = 0
    with split_zips.opened(archive, stream) as packed:
        members = packed.infolist()
        for member in members:
            _check_name(archive, member.filename)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe(archive, member.filename, "is a link or a device")
            room.take(member.file_size)
        size = sum(member.compress_size for member in members)
        for member in members:
            place = folder / member.filename
            if member.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                # Reading to the end checks length and CRC.
                with packed.open(member) as source, place.open("wb") as target:
                    shutil.copyfileobj(source, target)
            done += member.compress_size
            progress(done, size)


def _untar(archive: Path, stream: IO[bytes], folder: Path, room: _Room, progress: Progress) -> None:
    size = archive.stat().st_size
    links = _Links(archive)
    with tarfile.open(fileobj=stream, mode="r:*") as packed:
        for member in packed:
            _check_name(archive, member.name)
            links.check(member)
            room.take(member.size)
            if member.islnk() and not (folder / member.linkname).is_file():
                raise tarfile.ReadError(f"{member.name} is to be {member.linkname}, which is none")
            try:
                packed.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise _unsafe(archive, member.name, f"is refused ({error})") from error
            progress(min(stream.tell(), size), size)
        _check_end(packed)


class _Links:
    """Knows the links of a tar archive, so that none is written or pointed through.

    The filter of Python follows links that are there; several of them, each harmless, can lead out
    of the folder together.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._made: set[str] = set()
        self._passed: set[str] = set()

    def check(self, member: tarfile.TarInfo) -> None:
        """Look at a member before it is written.

        Raises:
            FileError: it lies behind a link, or is one that leads out or through another.
        """
        name = posixpath.normpath(member.name)
        if self._made & _places(posixpath.dirname(name)) or (
            name in self._made and not member.issym()
        ):
            raise _unsafe(self._archive, member.name, "lies behind a link")
        if not (member.issym() or member.islnk()):
            return
        # Those of hard links are relative to the archive, those of others to where they lie.
        start = posixpath.dirname(name) if member.issym() else ""
        joined = posixpath.join(start, member.linkname)
        target = posixpath.normpath(joined)
        if target.startswith(("/", "..")) or "\\" in member.linkname:
            raise _unsafe(self._archive, member.name, f"is a link to {member.linkname}")
        passed = _places(joined) | _places(target)
        if passed & self._made or (member.issym() and name in self._passed):
            raise _unsafe(self._archive, member.name, "is a link through another")
        self._passed |= passed
        if member.issym():
            self._made.add(name)


def _places(path: str) -> set[str]:
    """Return a path and all folders on the way to it, `..` followed as written."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return {posixpath.normpath("/".join(parts[:n])) for n in range(1, len(parts) + 1)}


def _check_end(packed: tarfile.TarFile) -> None:
    """Make sure that the archive ends as it should: readers take any end for the right one.

    Raises:
        tarfile.ReadError: it is cut off between two members, or damaged there.
    """
    stream: Any = packed.fileobj
    stream.seek(packed.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("there is no end of archive behind the last member")
    while stream.read(_BLOCK):  # what packed it has a checksum of its own at the end
        pass


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.split("/")[0][:2]:
        raise _unsafe(archive, name, "lies outside of the folder of the archive")


def _unsafe(archive: Path, member: str, why: str) -> FileError:
    return FileError(
        archive,
        f"is not unpacked, for its member {member!r} {why}",
        between=" ",
        mend="This is no archive as it was released; get it from another place.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


def _lift(temporary: Path, name: str) -> None:
    """Put what is in the only folder of an archive, where it has its name, one level up."""
    if [path.name for path in temporary.iterdir()] != [name] or not (temporary / name).is_dir():
        return
    only = (temporary / name).rename(temporary / ".lifted")
    for path in only.iterdir():
        path.rename(temporary / path.name)
    only.rmdir()
