"""Opening HDF5 files of others: what can be mended on the way is, the rest is told by its cause."""

from __future__ import annotations

import contextlib
import errno
import importlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from xmft.errors import FileError
from xmft.unreadable import HDF5_SIGNATURE, disguise, refusal

_CACHE_BYTES = 2**26
_NEWEST_SUPERBLOCK = 3
# What a file system without locks answers; 524 is what the kernel's NFS client says.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, 524}
_JUST_NOW_S = 120
_LOOKED_AT = 20_000

# By the registered numbers; the package hdf5plugin brings those of `_IN_HDF5PLUGIN`.
_FILTERS = {
    4: "szip",
    305: "lzo",
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32018: "fcidecomp",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
_IN_HDF5PLUGIN = _FILTERS.keys() - {4, 305}


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file to read; HDF5's own errors, then or later, become a `FileError`.

    Raises:
        FileError: the file cannot be read, with the reason and, where the file may be good, its
            own mend.
    """
    try:
        with _open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise FileError(path, "is gone", between=" ") from error
    except (OSError, RuntimeError, KeyError, MemoryError) as error:
        raise _explained(path, error) from error
    except (TypeError, ValueError) as error:
        if not re.search("No NumPy equivalent|Insufficient precision", str(error)):
            raise
        raise FileError(
            path,
            f"holds numbers of a type that this machine does not have ({error})",
            between=" ",
            mend="Write its values again as float32 or float64 where they can be read.",
        ) from error


def check_stored(path: Path, dataset: Any) -> None:
    """Check that the values of a dataset are in the file itself and that they can be unpacked.

    Of a virtual dataset whose sources are missing HDF5 reads zeros without a word; and what lies
    in other files is not covered by the identity of this one.

    Args:
        path: The file.
        dataset: Of that file; no value is read.

    Raises:
        FileError: it lies elsewhere, or is compressed in a way that is not known here.
    """
    plan = dataset.id.get_create_plist()
    name = str(dataset.name).lstrip("/")
    elsewhere: set[str] = set()
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        elsewhere = {source.file_name for source in dataset.virtual_sources()} - {"."}
    for number in range(plan.get_external_count()):
        elsewhere.add(plan.get_external(number)[0].decode(errors="replace"))
    holder = Path(h5py.h5f.get_name(dataset.id).decode(errors="replace"))
    if holder != path:
        elsewhere.add(str(holder))
    if elsewhere:
        raise _elsewhere(path, f"the values of '{name}' lie", elsewhere)
    if plan.get_nfilters():
        missing = _missing_filter(dataset)
        if missing is not None:
            raise _not_unpacked(path, missing, name)


def check_link(path: Path, group: Any, name: str) -> None:
    """Check that a name in a group does not stand for something in another file.

    Raises:
        FileError: it does.
    """
    # Whether the name is there, not whether what it stands for is.
    there = group.id.links.exists(name.encode())
    link = group.get(name, getlink=True) if there else None
    if isinstance(link, h5py.ExternalLink):
        place = f"{group.name.rstrip('/')}/{name}".lstrip("/")
        raise _elsewhere(path, f"'{place}' lies", {link.filename})


def _open(path: Path) -> h5py.File:
    # The cache has to hold what one read decompresses: two frames share their chunks.
    options: dict[str, Any] = {"mode": "r", "rdcc_nbytes": _CACHE_BYTES}
    try:
        return h5py.File(path, **options)
    except OSError as error:
        if error.errno not in _NO_LOCKS or "lock" not in str(error):
            raise
    # The file system knows no locks: nobody else can hold one, and reading needs none.
    return h5py.File(path, **options, locking=False)


def _explained(path: Path, error: Exception) -> FileError:
    """Return the error that says why a file cannot be read."""
    if isinstance(error, BlockingIOError) and "unable to lock" in str(error):
        return FileError(
            path,
            "is held by another program, which has it open for writing",
            between=" ",
            mend="Run again when that program has closed it. If there is none, the lock was left "
            "on the file system: set HDF5_USE_FILE_LOCKING=FALSE.",
        )
    try:
        found = refusal(path, error) or disguise(path) or _from_header(path)
        found = found or _from_content(path)
        status = path.stat()
    except FileNotFoundError:
        return FileError(path, "is gone", between=" ")
    except OSError as later:
        return refusal(path, later) or FileError(path, f"cannot be read ({later})", between=" ")
    if found is not None:
        return found
    age = time.time() - status.st_mtime
    note = ""
    if 0 <= age < _JUST_NOW_S:
        note = f"It changed {age:.0f} s ago: if it is still being copied, wait for the end of it."
    elif re.search("version|unsupported", str(error)):
        note = "If another machine can read it, a newer `pip install -U h5py` may do so here."
    return FileError(
        path,
        f"cannot be read as HDF5 ({error}); found {status.st_size} bytes, truncated or damaged",
        "a whole file",
        note,
        between=" ",
    )


def _from_header(path: Path) -> FileError | None:
    """Return what the superblock says: a file too new for this library, or one never closed."""
    with path.open("rb") as stream:
        head = stream.read(2**16)
    start = head.find(HDF5_SIGNATURE)
    block = head[start : start + 12] if start >= 0 else b""
    if len(block) < 12:
        return None
    version, flags = block[8], block[11]
    if version > _NEWEST_SUPERBLOCK:
        return FileError(
            path,
            f"was written by a newer HDF5 (superblock {version}) than the "
            f"{h5py.version.hdf5_version} of this h5py",
            between=" ",
            mend="Install a newer one with `pip install -U h5py`. If there is none, the file is "
            "damaged: get it again.",
        )
    if version >= 2 and flags:
        return FileError(
            path,
            "was not closed by the program that wrote it, which still writes or was stopped",
            between=" ",
            mend="Wait for that program. If it was stopped, its last values may be missing: clear "
            "the mark with HDF5's `h5clear -s FILE` and check with `xmft data verify`, or get the "
            "file again.",
        )
    return None


def _from_content(path: Path) -> FileError | None:
    """Look for a reason in what the file says of its datasets; None where it says nothing."""
    with contextlib.suppress(OSError, RuntimeError, KeyError), _open(path) as file:
        return _reason_in(path, file)
    return None


def _reason_in(path: Path, group: Any, left: int = _LOOKED_AT) -> FileError | None:
    waiting = [group]
    while waiting and left > 0:
        parent = waiting.pop()
        for name in parent:
            left -= 1
            try:
                check_link(path, parent, name)
                child = parent.get(name)
                if isinstance(child, h5py.Dataset):
                    check_stored(path, child)
            except FileError as error:
                return error
            if isinstance(child, h5py.Group):
                waiting.append(child)
    return None


def _elsewhere(path: Path, what: str, files: set[str]) -> FileError:
    lost = sorted(name for name in files if not (path.parent / name).exists())
    named = ", ".join(sorted(files)[:5]) + (", ..." if len(files) > 5 else "")
    gone = f", of which {', '.join(lost[:5])} cannot be found" if lost else ""
    first = "Put back what is missing, then write" if lost else "Write"
    return FileError(
        path,
        f"{what} in other files ({named}){gone}",
        "all of it in this one file",
        mend=f"{first} one file with the values themselves (in Python with h5py: "
        "`new[name] = old[name][()]`), and put that under this name.",
    )


def _missing_filter(dataset: Any) -> tuple[int, str] | None:
    """Return number and name of a filter that the values went through and that is not there.

    A filter may be optional: then each chunk says by a bit whether it went through it.
    """
    plan = dataset.id.get_create_plist()
    for place in range(plan.get_nfilters()):
        code, flags, _, name = plan.get_filter(place)
        if h5py.h5z.filter_avail(code):
            continue
        if flags & h5py.h5z.FLAG_OPTIONAL and not _went_through(dataset, place):
            continue
        if code in _IN_HDF5PLUGIN:
            # Importing it is what makes its filters known to HDF5.
            with contextlib.suppress(ImportError):
                importlib.import_module("hdf5plugin")
            if h5py.h5z.filter_avail(code):
                continue
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return code, _FILTERS.get(code) or text.rstrip("\0") or "without a name"
    return None


def _went_through(dataset: Any, place: int) -> bool:
    count = dataset.id.get_num_chunks()
    chosen = {0, count // 2, count - 1} if count else set()
    masks = (dataset.id.get_chunk_info(number).filter_mask for number in chosen)
    return any(not mask & (1 << place) for mask in masks)


def _not_unpacked(path: Path, missing: tuple[int, str], name: str) -> FileError:
    code, kind = missing
    if code in _IN_HDF5PLUGIN:
        get = "Install it with `pip install hdf5plugin`; nothing else has to be done."
    else:
        get = (
            "Put its plug-in where HDF5_PLUGIN_PATH points, or write the file again without it "
            "where it can be read (`h5repack -f NONE OLD NEW`)."
        )
    return FileError(
        path,
        f"'{name}' is compressed by the HDF5 filter {code} ({kind}), which is not installed here",
        mend=f"The file may be good. {get}",
    )
