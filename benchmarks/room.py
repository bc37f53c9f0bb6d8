"""Whether there is room for a file, and whether it may be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.files import is_writable, size_text
from xmft.errors import DataError


class NoRoomError(DataError):
    """There is no room for a file; the same file from elsewhere would not help."""


def free(folder: Path) -> int:
    """Return how many bytes there is room for in a folder, which need not exist yet."""
    place = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    return shutil.disk_usage(place).free


def check_room(folder: Path, needed: int, what: str) -> None:
    """Make sure that there is room for something in a folder.

    Args:
        folder: Where it goes.
        needed: Bytes.
        what: What needs them, as the beginning of a sentence.

    Raises:
        NoRoomError: there is not.
    """
    if needed > (left := free(folder)):
        raise NoRoomError(
            f"{what} needs {size_text(needed)}, and the disk of {folder} has {size_text(left)} "
            "left. Make room there, or give --data another folder."
        )


def check_writable(folder: Path, what: str) -> None:
    """Make sure that something may be written into a folder, which need not exist yet.

    Args:
        folder: Where it goes.
        what: What goes there, as the beginning of a sentence.

    Raises:
        NoRoomError: it may not.
    """
    if not is_writable(folder):
        raise NoRoomError(
            f"{what} goes to {folder}, which cannot be written. Give --data a folder that can."
        )
