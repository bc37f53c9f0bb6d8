"""Files of a file system of this machine: listed, and written whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa


def files_in(base: str) -> list[str]:
    """Return the paths of all files in a folder, relative to it.

    What is deleted meanwhile was not there.
    """
    found = []

    def complain(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for folder, _, names in os.walk(base, onerror=complain):
        relative = folder[len(base) :].strip("/")
        found += [f"{relative}/{name}" if relative else name for name in names]
    return found


def times_in(folder: str, ending: str) -> dict[str, datetime]:
    """Return when the files directly in a folder whose names end so were last written."""
    found = {}
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except FileNotFoundError:
        return {}
    for name in names:
        if name.endswith(ending) and not name.startswith("."):
            try:
                # Opened: a network file system may remember an old time of one that is not.
                with Path(folder, name).open("rb") as stream:
                    seconds = os.fstat(stream.fileno()).st_mtime
            except FileNotFoundError:
                continue
            found[name] = datetime.fromtimestamp(seconds, UTC)
    return found


def write_file(temporary: Path, target: Path, payload: bytes | pa.Buffer, overwrite: bool) -> bool:
    """Write a whole file under another name, flush it and rename it.

    Returns:
        Whether it was written: False if the file exists and must not be overwritten.
    """
    try:
        with temporary.open("wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        if overwrite:
            temporary.replace(target)
            return True
        # A link fails if the name is taken, a rename would replace what is there.
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # no hard links on this file system
            return _replace_if_new(temporary, target)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _replace_if_new(temporary: Path, target: Path) -> bool:
    """Rename a file unless the name is taken, where only creating a file is exclusive.

    The name is taken with an empty file, which readers skip, until the content comes.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    temporary.replace(target)
    return True
