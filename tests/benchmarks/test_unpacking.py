"""Archives of strangers: all or nothing is unpacked, and nothing outside of the folder."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.room import NoRoomError
from benchmarks.unpacking import folder_of, unpack
from xmft.errors import DataError, mending

BYTES = np.random.default_rng(0).bytes(100_000)
MEMBERS = {"a/one.bin": BYTES, "a/two.bin": b"", "three.txt": b"three"}
ENDINGS = ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"]
MODES = {"tar": "w:", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def pack(path: Path, ending: str, members: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    path = path / f"all.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        return path
    with tarfile.open(path, MODES[ending]) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    return path


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def unpacked(path: Path) -> Path:
    return unpack(path, progress=lambda *_: None, say=lambda _: None)


def refused(path: Path) -> str:
    """What is said, where nothing is written and the archive stays."""
    before = {p: p.stat().st_size for p in path.parent.parent.rglob("*")}
    with pytest.raises(DataError) as caught, mending("Get another."):
        unpacked(path)
    assert {p: p.stat().st_size for p in path.parent.parent.rglob("*")} == before
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "outer" / "inner"
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("ending", ENDINGS)
def test_all_is_there_and_done_once(folder: Path, ending: str) -> None:
    path = pack(folder, ending, MEMBERS)
    shown: list[tuple[int, int]] = []
    said: list[str] = []
    there = unpack(path, progress=lambda *pair: shown.append(pair), say=said.append)
    assert there == folder / "all" == folder_of(path)
    assert {str(p.relative_to(there)): p.read_bytes() for p in there.rglob("*") if p.is_file()} == (
        MEMBERS
    )
    assert said == [f"all.{ending}: unpacked into {there}"]
    assert shown == sorted(shown) and len({total for _, total in shown}) == 1
    assert all(0 < done <= total <= path.stat().st_size for done, total in shown)
    path.write_bytes(b"")
    assert unpacked(path) == there  # not even looked at
    assert {p.name for p in folder.iterdir()} == {"all", path.name}


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_a_folder_of_the_same_name_is_the_folder(folder: Path, ending: str) -> None:
    there = unpacked(pack(folder, ending, {"all/x": b"1", "all/all/y": b"2"}))
    assert {str(p.relative_to(there)) for p in there.rglob("*")} == {"x", "all", "all/y"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98, 1.0])
def test_a_truncated_archive(folder: Path, ending: str, share: float) -> None:
    path = pack(folder, ending, MEMBERS)
    content = path.read_bytes()
    # Tar fills up with zeros behind its end, which may be missing.
    size = len(content) if ending != "tar" else len(BYTES) + 4 * 1024
    path.write_bytes(content[: min(int(size * share), size - 5)] if share < 1 else content[:-5])
    if ending == "tar" and share in (0.98, 1.0):
        path.write_bytes(content[: 512 * 4 + len(BYTES) + (-len(BYTES)) % 512])
    assert "expected a whole archive (it is cut off, damaged or encrypted)" in refused(path)


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_a_damaged_archive(folder: Path, ending: str) -> None:
    path = pack(folder, ending, MEMBERS)
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    assert "cannot be unpacked" in refused(path)


def test_a_tar_with_a_damaged_header_in_its_middle(folder: Path) -> None:
    path = pack(folder, "tar", MEMBERS)
    content = bytearray(path.read_bytes())
    second = 512 + len(BYTES) + (-len(BYTES)) % 512
    content[second : second + 100] = b"\xff" * 100
    path.write_bytes(content)
    assert "there is no end of archive behind the last member" in refused(path)


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"PK\x03\x04 no", b"\x1f\x8b no"])
@pytest.mark.parametrize("ending", ["tar.gz", "zip", "tar"])
def test_no_archive(folder: Path, ending: str, content: bytes) -> None:
    path = folder / f"all.{ending}"
    path.write_bytes(content)
    assert "cannot be unpacked" in refused(path)


def test_an_encrypted_zip(folder: Path) -> None:
    path = pack(folder, "zip", {"x": b"content"})
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    path.write_bytes(content)
    assert "encrypted" in refused(path)


OUTSIDE = ["../x", "a/../../x", "/tmp/xmft-x", "..", "a\\..\\..\\x", "C:/x", "C:x"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_members_outside_of_the_folder(folder: Path, ending: str, name: str) -> None:
    path = pack(folder, ending, {"fine": b"fine", name: b"bad"})
    message = refused(path)
    assert "lies outside of the folder of the archive" in message and repr(name) in message
    assert "This is no archive as it was released" in message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("to", ["/etc/passwd", "../../x", "..", "a/../../x"])
def test_links_that_lead_out(folder: Path, to: str, kind: bytes) -> None:
    (folder.parent / "x").write_text("mine")
    message = refused(pack(folder, "tar", MEMBERS, link("out", to, kind)))
    assert "'out'" in message and f"is a link to {to}" in message


@pytest.mark.parametrize(
    "links",
    [
        [link("l", "a"), link("l/x", "..")],  # written through a link
        [link("a/l", "."), link("m", "a/l/..")],  # pointed through one
        [link("m", "a/l/../.."), link("a/l", "..")],  # which is made afterwards
        [link("l", "a"), link("m", "l/one.bin", tarfile.LNKTYPE)],
        [link("b", "a"), link("b", "three.txt", tarfile.LNKTYPE)],
    ],
)
def test_links_that_lead_out_together(folder: Path, links: list[tarfile.TarInfo]) -> None:
    message = refused(pack(folder, "tar", MEMBERS, *links))
    assert "link" in message and "This is no archive as it was released" in message


def test_links_within_are_kept(folder: Path) -> None:
    others = [link("b", "a/one.bin"), link("a/up", "../three.txt")]
    others += [link("c", "a/one.bin", tarfile.LNKTYPE)]
    there = unpacked(pack(folder, "tar.gz", MEMBERS, *others))
    assert (there / "b").read_bytes() == (there / "c").read_bytes() == BYTES
    assert (there / "a" / "up").read_bytes() == b"three"


def test_a_hard_link_to_nothing(folder: Path) -> None:
    bad = link("c", "nothing", tarfile.LNKTYPE)
    assert "c is to be nothing, which is none" in refused(pack(folder, "tar", MEMBERS, bad))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(folder: Path, kind: bytes) -> None:
    assert "'dev' is refused" in refused(pack(folder, "tar", MEMBERS, link("dev", "", kind)))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(folder: Path, mode: int) -> None:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as packed:
        info = zipfile.ZipInfo("l")
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        packed.writestr(info, "../../x")
    assert "'l' is a link or a device" in refused(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_has_no_room_is_not_begun(
    folder: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb: 5 MB of zeros in a few kB, where there is room for 1."""
    path = pack(folder, ending, {"x": b"x", "bomb": bytes(5_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    message = refused(path)
    assert "holds 5.0 MB or more, and the disk of" in message and "has 1.0 MB left" in message
    with pytest.raises(NoRoomError):
        unpacked(path)


def test_a_zip_that_lies_about_the_size_of_a_member(folder: Path) -> None:
    path = pack(folder, "zip", {"bomb": bytes(1_000_000)})
    content = path.read_bytes()
    true, said = (number.to_bytes(4, "little") for number in (1_000_000, 10))
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, said))
    assert "cannot be unpacked" in refused(path)


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_whoever_stops_it_leaves_nothing_half(folder: Path, ending: str) -> None:
    path = pack(folder, ending, MEMBERS)

    def stop(*_: int) -> None:
        assert [p.name for p in folder.iterdir() if not p.name.startswith(".")] == [path.name]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(path, progress=stop, say=lambda _: None)
    assert list(folder.iterdir()) == [path]
    assert (unpacked(path) / "a" / "one.bin").read_bytes() == BYTES


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    path = pack(folder, "zip", MEMBERS)
    folder.chmod(0o555)
    with pytest.raises(NoRoomError, match=r"which cannot be written\. Give --data a folder that"):
        unpacked(path)
    folder.chmod(0o755)
    assert list(folder.iterdir()) == [path]


def test_a_file_in_the_way(folder: Path) -> None:
    path = pack(folder, "zip", MEMBERS)
    (folder / "all").write_text("mine")
    with pytest.raises(DataError, match=r"all is in the way: a folder of that name is to be made"):
        unpacked(path)
    assert (folder / "all").read_text() == "mine"


def test_folders_are_called_as_their_archives() -> None:
    named = {"cifar-100-python.tar.gz": "cifar-100-python", "deepCR.ACS-WFC.train.tar": None}
    for name, folder in named.items():
        assert folder_of(Path(name)).name == (folder or "deepCR.ACS-WFC.train")
    assert folder_of(Path("x.gz")).name == "x.gz.unpacked"


def test_a_file_that_is_only_packed_is_no_archive(folder: Path) -> None:
    path = folder / "all.tar.gz"
    path.write_bytes(gzip.compress(b"not a tar", mtime=0))
    assert "cannot be unpacked" in refused(path)
