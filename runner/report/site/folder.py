"""The folder of a page: written so that whoever opens it meanwhile sees the old or the new one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from runner.report.site.building import INDEX, VERSION
from xmft.errors import RequestError

# What these files of ours end in, by folder; nothing else in it is ever touched.
_OURS = {"cells": (".js",), "plots": (".svg", ".png")}
# In the page, and beside it for a page whose first writing was interrupted.
_MARK, _MARKER = '<meta name="generator" content="xmft report">', ".xmft-report"
_TEMPORARY = ".part-"


def check_folder(folder: Path) -> None:
    """Make sure that a folder is new, empty or a page of ours.

    Raises:
        RequestError: it is something else, whose files would be lost among ours.
    """
    if folder.is_symlink() and not folder.exists():
        raise RequestError(f"{folder} is a link to nothing. Name a folder for the page with --out.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RequestError(f"{folder} is a file. Name a folder for the page with --out.")
    try:
        found = [path.name for path in folder.iterdir() if not path.name.startswith(_TEMPORARY)]
        text = (folder / INDEX).read_bytes()[:4096] if INDEX in found else b""
    except OSError as error:
        raise RequestError(f"{folder} cannot be read ({error}). Name another with --out.") from None
    if found and _MARKER not in found and _MARK.encode() not in text:
        raise RequestError(
            f"{folder} holds files and is no page of `xmft report`. Name a new or an empty folder "
            "with --out."
        )


def write_page(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a page, the page itself after all that it loads; remove what it was.

    Args:
        files: What `Builder.files` returned.
        folder: Where to write them; made if it is not there.

    Raises:
        RequestError: the folder holds something else, or cannot be written to.
    """
    check_folder(folder)
    last = (INDEX, VERSION)
    try:
        _write(folder / _MARKER, b"", keep=False)
        for place in [*(name for name in files if name not in last), *last]:
            _write(folder / place, files[place], keep=place.partition("/")[0] in _OURS)
        for name, endings in _OURS.items():
            for path in (folder / name).glob("*"):
                if path.suffix in endings and f"{name}/{path.name}" not in files:
                    path.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(
            f"The page cannot be written to {folder} ({error}). Name a writable folder with --out."
        ) from None


def _write(path: Path, content: bytes, *, keep: bool) -> None:
    # Names of details and plots hold a hash of what is in them: such a file stays as it is.
    if keep and path.is_file() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
