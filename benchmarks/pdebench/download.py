"""The released files of PDEBench: their names, checksums and download.

The table `files.csv` holds the files' paths in PDEBench's own folder tree, their numbers in the
repository DaRUS (doi 10.18419/darus-2986), their md5 and the samples in them.
"""

from __future__ import annotations

import csv
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks import files
from xmft.cache import digest
from xmft.errors import DataError
from xmft.unreadable import no_room, readable

ADDRESS = "https://darus.uni-stuttgart.de/api/access/datafile/"

_BLOCK = 2**20
_WAIT_SECONDS = 60
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, kw_only=True)
class Release:
    """One released file.

    Attributes:
        path: Where PDEBench's own downloader puts it, relative to its root.
        number: Number of the file in DaRUS.
        md5: Hexadecimal checksum.
        samples: Number of samples in it.
    """

    path: PurePosixPath
    number: str
    md5: str
    samples: int


@cache
def releases() -> dict[str, Release]:
    """Return the released files by name (without folders)."""
    table = resources.files("benchmarks.pdebench").joinpath("files.csv")
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    found = [
        Release(
            path=PurePosixPath(row["path"]),
            number=row["id"],
            md5=row["md5"],
            samples=int(row["samples"]),
        )
        for row in rows
    ]
    return {release.path.name: release for release in found}


def fetch(name: str, data_root: Path, *, progress: files.Progress | None = None) -> Path:
    """Download a released file into PDEBench's own folder tree under the data root.

    A download that was cut off goes on where it stopped. The file appears under its name only
    when it is whole and its md5 is the published one.

    Args:
        name: Official file name.
        data_root: Where files are kept.
        progress: Called with bytes done and bytes in all.

    Returns:
        The file; one that is there already is only checked.

    Raises:
        DataError: no connection, or a file of that name and of other content.
    """
    import pooch

    release = releases()[name]
    there = files.find_every(data_root, [name]).get(name, [])
    for path in there:
        with readable(path):
            if digest(path, "md5") == release.md5:
                return path
    if there:
        raise DataError(
            f"{there[0]} has the official name but not the published md5 {release.md5}. Move it "
            f"out of {data_root} first, then fetch again."
        )
    target = data_root.absolute() / "pdebench" / release.path
    url = ADDRESS + release.number
    # Its messages go to the terminal, which belongs to the command line.
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            url,
            known_hash=f"md5:{release.md5}",
            fname=target.name,
            path=target.parent,
            downloader=_resuming(target.with_name(f"{name}.part"), progress),
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        full = no_room(error)
        if full is not None:
            raise DataError(
                f"{name} could not be written to {target.parent}: {full}. Make "
                "room there and run the command again, which goes on where it stopped, or give "
                "--data another folder."
            ) from error
        raise DataError(
            f"{name} could not be fetched from {url} ({error}). Run the command again to go on "
            f"where it stopped, or download the file elsewhere (md5 {release.md5}) and put it "
            f"anywhere under {data_root}, for instance at {target}."
        ) from error
    return target


def _resuming(part: Path, progress: files.Progress | None) -> Callable[[str, str, Any], None]:
    """Return a downloader for pooch that keeps what it has in `part` until it has all of it."""

    def download(url: str, output_file: str, _: Any) -> None:
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=_WAIT_SECONDS) as answer:
                _save(answer, part, have, progress)
        except urllib.error.HTTPError as error:
            error.close()
            # There is nothing behind what we have: it is whole, and the checksum will tell.
            if error.code != _RANGE_NOT_SATISFIABLE:
                raise
        part.replace(output_file)

    return download


def _save(answer: Any, part: Path, have: int, progress: files.Progress | None) -> None:
    if answer.status != _PARTIAL_CONTENT:
        have = 0  # the server sends the file from its start
    length = answer.headers.get("Content-Length")
    total = have + int(length) if length is not None else None
    with part.open("r+b" if have else "wb") as stream:
        stream.seek(have)
        while block := answer.read(_BLOCK):
            stream.write(block)
            have += len(block)
            if progress is not None:
                progress(have, total or have)
    if total is not None and have != total:
        raise OSError(f"the connection ended after {have} of {total} bytes")
