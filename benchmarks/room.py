"""Room on disks."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.files import size_text
from xmft.errors import DataError


class NoRoomError(DataError):
    """A disk has no room for a file; the same file from elsewhere would not help."""


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
