"""The released files of PDEBench: their names, checksums and download.

The table `files.csv` holds the files' paths in PDEBench's own folder tree, their numbers in the
repository DaRUS (doi 10.18419/darus-2986), their md5 and the samples in them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath

from benchmarks import files
from benchmarks.download import Download, Say, retrieve

ADDRESS = "https://darus.uni-stuttgart.de/api/access/datafile/"


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


def fetch(
    name: str,
    data_root: Path,
    *,
    progress: files.Progress | None = None,
    say: Say | None = None,
) -> Path:
    """Download a released file into PDEBench's own folder tree under the data root.

    Args:
        name: Official file name.
        data_root: Where files are kept.
        progress: See `retrieve`.
        say: See `retrieve`.

    Returns:
        The file; one that is there already is only checked.

    Raises:
        DataError: no connection, or a file of that name and of other content.
    """
    release = releases()[name]
    download = Download(
        path=release.path, urls=(ADDRESS + release.number,), checksum=f"md5:{release.md5}"
    )
    return retrieve(download, data_root / "pdebench", data_root, progress=progress, say=say)
