"""Where data come from, for formats that have no room to say so: a text file beside them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from xmft.errors import FileError
from xmft.task import Origin
from xmft.text_files import read_text

MARK = "xmft_origin.txt"

# How far above a file its mark may lie: `protein/deepcov/features/<id>.pkl` needs three.
_LEVELS = 5


def mark(folder: Path, origin: Origin) -> None:
    """Say of all that lies in a folder and below where it comes from."""
    (folder / MARK).write_text(f"{origin}\n", encoding="utf-8")


def origin_of(path: Path) -> Origin:
    """Return the origin of a file: what the nearest mark above it says, otherwise official.

    Raises:
        FileError: a mark says something else.
    """
    for folder in list(path.absolute().parents)[:_LEVELS]:
        place = folder / MARK
        if place.is_file():
            said = read_text(place).strip()
            for origin in get_args(Origin):
                if said == origin:
                    return origin
            raise FileError(place, f"found {said!r}", f"one of {', '.join(get_args(Origin))}")
    return "official"


def stated_origin(path: Path, said: object) -> Origin:
    """Return the origin that a file states itself, or else what `origin_of` finds.

    Args:
        path: The file.
        said: What it states under `xmft_origin`; None: nothing.

    Raises:
        FileError: it states something else than an origin.
    """
    if said is None:
        return origin_of(path)
    for origin in get_args(Origin):
        if str(said) == origin:
            return origin
    raise FileError(path, f"'xmft_origin' is {said!r}", f"one of {', '.join(get_args(Origin))}")
