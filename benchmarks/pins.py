"""Checksums of files: published ones, and those pinned when a file was first fetched.

Where none is published, the SHA-256 of what came first is kept in `<name>.sha256` beside the file,
as `sha256sum` writes it, and is what the file has to have from then on.
"""

from __future__ import annotations

import re
from pathlib import Path

from xmft.cache import digest, whole
from xmft.errors import FileError
from xmft.text_files import read_text
from xmft.unreadable import readable

ENDING = ".sha256"


def place_of(path: Path) -> Path:
    """Return where a file's pin is kept."""
    return path.with_name(path.name + ENDING)


def pinned(path: Path) -> str | None:
    """Return the checksum that a file was pinned to, as `sha256:` and the digits; None: to none.

    Raises:
        FileError: the pin says something else.
    """
    place = place_of(path)
    if not place.is_file():
        return None
    text = read_text(place)
    match = re.match(r"\\?([0-9a-fA-F]{64})\b", text)
    if match is None:
        raise FileError(
            place,
            f"found {text[:80]!r}",
            "a SHA-256 of 64 digits, pinned when the file was first fetched",
            mend=f"Delete it to pin {path.name} anew.",
        )
    return f"sha256:{match[1].lower()}"


def pin(path: Path) -> str:
    """Keep the SHA-256 of a file and return it, as `sha256:` and the digits."""
    with readable(path):
        found = digest(path)
    with whole(place_of(path)) as temporary:
        temporary.write_text(f"{found}  {path.name}\n", encoding="utf-8")
    return f"sha256:{found}"


def matches(path: Path, checksum: str) -> bool:
    """Return whether a file has a checksum, `md5:` or `sha256:` and the digits."""
    algorithm, _, wanted = checksum.partition(":")
    with readable(path):
        return digest(path, algorithm) == wanted.lower()


def spelled(checksum: str) -> str:
    """Return a checksum for people, such as `md5 d595bbfd...`."""
    return checksum.replace(":", " ", 1)


def check_pin(path: Path) -> str | None:
    """Check a file against its pin.

    Returns:
        A line for people; None: it was never pinned.

    Raises:
        FileError: it has changed since.
    """
    checksum = pinned(path)
    if checksum is None:
        return None
    if not matches(path, checksum):
        raise FileError(
            path,
            "is not what it was when it was first fetched: its SHA-256 is not the one in "
            f"{place_of(path)}",
            between=" ",
            mend="Move the file away and fetch it again, or, where the change is meant, delete "
            "the pin.",
        )
    return f"SHA-256 {checksum.partition(':')[2]} as pinned when it was first fetched"


def check_published(path: Path, checksum: str) -> str:
    """Check a file against its published sum and return a line for people.

    Raises:
        FileError: it has another.
    """
    algorithm, _, digits = checksum.partition(":")
    if not matches(path, checksum):
        raise FileError(
            path,
            f"has not the published {algorithm} {digits}: it was damaged or changed, or is an "
            "excerpt",
            between=" ",
        )
    return f"{algorithm} {digits} as published"
