"""Zip archives in several files, as FSD50K comes."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from benchmarks.download import Download, retrieve
from benchmarks.unpacking import unpack
from tests.mirror import Mirror, Served
from xmft.errors import DataError

MEMBERS = {f"clips/{n}.wav": np.random.default_rng(n).bytes(3000 + 700 * n) for n in range(9)}


def split(folder: Path, places: list[int], members: dict[str, bytes] = MEMBERS) -> list[Path]:
    """Cut a zip archive at places, and count in it as the standard (APPNOTE 4.4, 8.5) wants it.

    Disk numbers stand at 34 and places at 42 of the entries of the table of contents, and at 4, 6,
    8 and 16 of the end.
    """
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
        table = packed.start_dir
    content = bytearray(path.read_bytes())
    starts = [0, *places]

    def disk_of(place: int) -> int:
        return max(n for n, start in enumerate(starts) if start <= place)

    at = table
    while content[at : at + 4] == b"PK\x01\x02":
        (place,) = struct.unpack_from("<L", content, at + 42)
        struct.pack_into("<H", content, at + 34, disk_of(place))
        struct.pack_into("<L", content, at + 42, place - starts[disk_of(place)])
        at += 46 + sum(struct.unpack_from("<3H", content, at + 28))
    assert content[at : at + 4] == b"PK\x05\x06"
    begins = disk_of(table)
    struct.pack_into("<2H", content, at + 4, len(places), begins)
    struct.pack_into("<L", content, at + 16, table - starts[begins])
    ends = [*places, len(content)]
    paths = [folder / f"all.z{n:02d}" for n in range(1, len(places) + 1)] + [path]
    for part, start, end in zip(paths, starts, ends, strict=True):
        part.write_bytes(content[start:end])
    return paths


def unpacked(path: Path) -> dict[str, bytes]:
    folder = unpack(path, progress=lambda *_: None, say=lambda _: None)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "places",
    [[], [1], [20_000], [4, 9000, 9001, 31_111], [52_300], [3000 * n for n in range(1, 18)]],
)
def test_all_members_come_whole(tmp_path: Path, places: list[int]) -> None:
    """Members, their headers and the table of contents lie across the cuts."""
    assert unpacked(split(tmp_path, places)[-1]) == MEMBERS


def test_one_of_them_is_missing_or_damaged(tmp_path: Path) -> None:
    paths = split(tmp_path, [20_000, 40_000])
    content = paths[1].read_bytes()
    paths[1].unlink()
    with pytest.raises(DataError, match=r"is the last of 3 files .*, and all\.z02 is not"):
        unpacked(paths[-1])
    paths[1].write_bytes(content[:-10])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpacked(paths[-1])
    paths[1].write_bytes(bytes(len(content)))
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpacked(paths[-1])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    paths[1].write_bytes(content)
    assert unpacked(paths[-1]) == MEMBERS


def test_they_are_fetched_one_after_the_other(web: Mirror, tmp_path: Path, data_root: Path) -> None:
    paths = split(tmp_path, [20_000, 40_000])
    assert not paths[-1].read_bytes().startswith(b"PK")
    for path in paths:
        download = Download(
            path=PurePosixPath(path.name),
            urls=(web.put(path.name, Served(path.read_bytes(), cuts=[5000, None])),),
            checksum=f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}",
            unpack=path.suffix == ".zip",
        )
        last = retrieve(download, data_root, data_root)
    assert {str(p.relative_to(last)): p.read_bytes() for p in last.rglob("*.wav")} == MEMBERS
    asked = len(web.asked)
    for path in paths:  # which are no longer needed
        (data_root / path.name).unlink()
        again = Download(path=PurePosixPath(path.name), urls=(), unpack=path.suffix == ".zip")
        assert retrieve(again, data_root, data_root) == last == data_root / "all"
    assert len(web.asked) == asked
