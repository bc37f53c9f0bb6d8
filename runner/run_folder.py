"""The folder of a run for what nobody keeps: Ray's sockets, logs and scratch files."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmft.errors import RequestError

# The longest address of a Unix socket, and what Ray puts behind its folder for one.
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
_SOCKET = "/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
LONGEST_FOLDER = _LONGEST_SOCKET - len(_SOCKET)
PREFIX = "xmft-"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Yield a new private folder, short enough for sockets, and remove it.

    Batch systems and macOS give long ones to temporary files, in which no socket has an address.

    Raises:
        RequestError: there is none.
    """
    usual = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    others = ("/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""))
    places = [usual, *(Path(place) for place in others if place)]
    for place in places:
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError:
            continue
        try:
            if is_short(folder / "0"):
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    what = f"is longer than {LONGEST_FOLDER} bytes" if usual.is_dir() else "cannot be written"
    if usual.is_dir() and not os.access(usual, os.W_OK | os.X_OK):
        what = "cannot be written"
    raise RequestError(
        f"Ray needs a folder for its sockets: {usual} {what}, and nothing can be made in "
        f"{' or '.join(str(place) for place in places[1:])}. "
        "Set RAY_TMPDIR to a short folder of yours."
    )


def is_short(folder: Path) -> bool:
    """Tell whether sockets of Ray have an address in a folder."""
    return len(os.fsencode(folder)) <= LONGEST_FOLDER
