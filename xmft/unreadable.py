"""Why a file cannot be read: because of this machine, or because of what lies under its name.

A good file that this machine cannot open must not be thrown away, so each reason has its own
sentence and its own mend. Whoever opens files of others asks here first.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmft.errors import FileError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_DISK_NAMES = (
    *("EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO"),
    *("ECOMM", "ENXIO", "ENODEV", "ENOLINK", "ESHUTDOWN", "EUCLEAN", "EBADMSG"),
)
_DISK = {getattr(errno, name) for name in _DISK_NAMES if hasattr(errno, name)}
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota is used up",
    errno.EFBIG: "a file may not become so large there (`ulimit -f`, or the file system)",
}

# Formats whose first bytes are never text, nothing, or those of an archive.
_BINARY = frozenset({".h5", ".hdf5", ".npy", ".mat", ".pkl"})
_PLAIN = _BINARY | {".csv", ".tsv", ".txt", ".json", ".jsonl", ".train"}
_PACKED = {
    b"\x1f\x8b": ("gzip", "gz"),
    b"PK\x03\x04": ("zip", "zip"),
    b"BZh": ("bzip2", "bz2"),
    b"\xfd7zXZ\x00": ("xz", "xz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zst"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z"),
    b"Rar!\x1a\x07": ("RAR", "rar"),
}
_ENCRYPTED = {
    b"Salted__": "OpenSSL",
    b"-----BEGIN PGP": "PGP",
    b"age-encryption.org/": "age",
    b"-----BEGIN AGE": "age",
}
_WEB = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")
_HEAD_BYTES = 2**16
_TAR_MAGIC = slice(257, 262)


def refusal(path: Path, error: BaseException) -> FileError | None:
    """Return what to say where the machine does not let a file be read.

    Args:
        path: The file.
        error: What was raised.

    Returns:
        None where the machine is not the reason.
    """
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return FileError(
            path,
            "cannot be read: there is not enough memory for it",
            between=" ",
            mend="The file may be good: free some memory, run fewer cells at a time, or raise the "
            "limit of the job.",
        )
    if number in (errno.EACCES, errno.EPERM):
        closed = _closed_part(path)
        allow = f"chmod a+{'x' if closed != path else 'r'} {shlex.quote(str(closed))}"
        return FileError(
            path,
            f"may not be read by this user (number {os.geteuid()})"
            + (f", who may not look into {closed}" if closed != path else ""),
            between=" ",
            mend=f"Leave it where it is and have its owner allow it, for instance with `{allow}`.",
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return FileError(
            path,
            f"cannot be opened: too many files are open{_open_limit()}",
            between=" ",
            mend="Leave it where it is and raise the limit with `ulimit -n 65536` in the shell "
            "that starts the run, or run fewer cells at a time.",
        )
    if number is not None and number in _DISK:
        return FileError(
            path,
            "cannot be read: the disk, or the network that it is mounted over, answers "
            f"'{os.strerror(number)}'",
            between=" ",
            mend="Run again when it answers; if it does not, mount it anew, or copy the file to a "
            "disk of this machine.",
        )
    return None


def no_room(error: BaseException) -> str | None:
    """Return why nothing more can be written; None where room is not the reason."""
    return _FULL.get(error.errno or 0) if isinstance(error, OSError) else None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of the machine into a `FileError`; others pass.

    Raises:
        FileError: the file is gone, or the machine does not let it be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileError(path, "is gone", between=" ") from error
    except OSError as error:
        refused = refusal(path, error)
        if refused is None:
            raise
        raise refused from error


def check(path: Path) -> None:
    """Look at the first bytes of a file for something else that lies under its name.

    Raises:
        FileError: it is a placeholder, an answer of a web server, packed, encrypted or empty, or
            cannot be read at all.
    """
    with readable(path):
        found = disguise(path)
    if found is not None:
        raise found


def disguise(path: Path) -> FileError | None:
    """Return what to say of a file that holds something else than the data; None: it may be good.

    Formats are told by the suffix of the name; what is legal in a text file is no fault there.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return disguise_of(path, stream.read(_HEAD_BYTES))


def disguise_of(path: Path, head: bytes) -> FileError | None:
    """Return what `disguise` returns, of the first bytes of what is to lie at a path."""
    suffix = path.suffix.lower()
    if not head and suffix in _BINARY:
        return FileError(
            path,
            "is empty, as an interrupted copy or a full disk leaves it; found 0 bytes, truncated "
            "or damaged",
            "a whole file",
            between=" ",
        )
    return _placeholder(path, head) or (
        _foreign(path, head, suffix) if suffix in _PLAIN and not _is_hdf5(head) else None
    )


def web_page(head: bytes) -> bool:
    """Tell whether these first bytes are those of a page or an error of a web server."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].lower().startswith(_WEB)


def _placeholder(path: Path, head: bytes) -> FileError | None:
    place = shlex.quote(str(path.parent))
    name = shlex.quote(path.name)
    for start, system, command in (
        (b"version https://git-lfs.github.com/spec/", "Git LFS", "git lfs pull"),
        (b"/annex/objects/", "git-annex", f"git annex get {name}"),
    ):
        if head.startswith(start):
            return FileError(
                path,
                f"is a pointer of {system}, which stands for the file and is not it",
                between=" ",
                mend=f"Get the content with `cd {place} && {command}`.",
            )
    return None


def _foreign(path: Path, head: bytes, suffix: str) -> FileError | None:
    if web_page(head):
        return FileError(
            path,
            "is an answer of a web server (HTML or XML), as a download without permission or with "
            "an old address leaves it",
            "the data",
            between=" ",
        )
    if suffix in _BINARY and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return FileError(
            path,
            "is JSON text, as a server sends to say that it has no such file",
            "the data",
            between=" ",
        )
    for start, system in _ENCRYPTED.items():
        if head.startswith(start):
            return FileError(
                path,
                f"is encrypted ({system})",
                between=" ",
                mend="Decrypt it, and put the result under this name.",
            )
    for start, (kind, ending) in _PACKED.items():
        if head.startswith(start):
            return _archive(path, kind, ending)
    if head[_TAR_MAGIC] == b"ustar":
        return _archive(path, "tar", "tar")
    if suffix in _BINARY and not any(head):
        return FileError(
            path,
            f"begins with {len(head)} zero bytes: room was made for it, and nothing written",
            "a whole file",
            between=" ",
        )
    return None


def _archive(path: Path, kind: str, ending: str) -> FileError:
    old, new = (shlex.quote(str(place)) for place in (path, f"{path}.{ending}"))
    return FileError(
        path,
        f"is still packed ({kind})",
        between=" ",
        mend=f"Call it what it is with `mv {old} {new}`, and unpack it there.",
    )


def _is_hdf5(head: bytes) -> bool:
    """Tell whether it begins as HDF5 does: at once, or behind a block of the user's own."""
    starts = (0, *(512 << n for n in range(8)))
    return any(head.startswith(HDF5_SIGNATURE, start) for start in starts)


def _closed_part(path: Path) -> Path:
    """Return the outermost folder of a path that may not be looked into, or the path itself."""
    effective = os.access in os.supports_effective_ids
    for folder in reversed(path.absolute().parents):
        if not os.access(folder, os.X_OK, effective_ids=effective):
            return folder
    return path


def _open_limit() -> str:
    try:
        import resource
    except ImportError:  # not on this system
        return ""
    return f" (the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
