from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xmft.errors import DataError, FileError, mending
from xmft.unreadable import check, no_room, readable, refusal

WHOLE = b"\x89HDF\r\n\x1a\n" + bytes(100)


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("file", content)
    return stream.getvalue()


def _tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _said(path: Path) -> str:
    with pytest.raises(DataError) as caught, mending("Get another."):
        check(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "npy", "mat", "csv"])
@pytest.mark.parametrize(
    ("pack", "kind", "ending"),
    [
        (gzip.compress, "gzip", "gz"),
        (bz2.compress, "bzip2", "bz2"),
        (lzma.compress, "xz", "xz"),
        (_zip, "zip", "zip"),
        (_tar, "tar", "tar"),
    ],
)
def test_what_is_still_packed(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], kind: str, ending: str
) -> None:
    path = tmp_path / f"data set.{suffix}"
    path.write_bytes(pack(b"what is in it"))
    assert _said(path) == (
        f"{path} is still packed ({kind}). Call it what it is with `mv '{path}' "
        f"'{path}.{ending}'`, and unpack it there."
    )
    as_named = tmp_path / f"data.{ending}"
    path.rename(as_named)
    check(as_named)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s123--4d7a.h5\n"
PGP = b"-----BEGIN PGP MESSAGE-----\n"


@pytest.mark.parametrize(
    ("content", "found", "mend"),
    [
        (LFS, "is a pointer of Git LFS", "git lfs pull"),
        (ANNEX, "is a pointer of git-annex", "git annex get data.h5"),
        (b"\n<!DOCTYPE html><html>Log in</html>", "is an answer of a web server", "Get another."),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "web server", "Get another."),
        (b'{"status":"ERROR","code":404}', "is JSON text, as a server sends", "Get another."),
        (b"Salted__" + bytes(20), "is encrypted (OpenSSL)", "Decrypt it"),
        (PGP, "is encrypted (PGP)", "Decrypt it"),
        (bytes(5000), "begins with 5000 zero bytes", "Get another."),
        (b"", "is empty", "Get another."),
    ],
)
def test_what_lies_under_the_name_of_the_data(
    tmp_path: Path, content: bytes, found: str, mend: str
) -> None:
    path = tmp_path / "data.h5"
    path.write_bytes(content)
    message = _said(path)
    assert message.startswith(f"{path} ") and found in message and mend in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.h5", WHOLE),
        ("a.h5", bytes(512) + WHOLE),
        ("a.npy", b"\x93NUMPY\x01\x00"),
        ("labels.csv", b""),
        ("a.json", b'{"a": 1}'),
        ("a.csv", b"name,label\n"),
        ("page.html", b"<!doctype html>"),
        ("cifar-10-python.tar.gz", gzip.compress(b"x", mtime=0)),
        ("arrays.npz", _zip(b"x")),
        ("data_batch_1", b"\x80\x04}."),
    ],
)
def test_what_is_as_it_should_be(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    check(path)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (OSError(errno.EIO, "x"), "answers 'Input/output error'"),
        (OSError(errno.ESTALE, "x"), "the disk, or the network"),
        (OSError(errno.EMFILE, "x"), "too many files are open (the limit is "),
        (OSError(errno.ENOMEM, "x"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (PermissionError(errno.EACCES, "x"), "may not be read by this user"),
    ],
)
def test_reasons_of_the_machine_have_their_own_mend(
    tmp_path: Path, error: BaseException, found: str
) -> None:
    refused = refusal(tmp_path / "f", error)
    assert refused is not None and found in str(refused) and refused.mend
    with pytest.raises(DataError) as caught, mending("Get another."):
        raise refused
    assert "Get another." not in str(caught.value)


def test_other_errors_are_no_reason_of_the_machine(tmp_path: Path) -> None:
    for error in (OSError("bad"), OSError(errno.EINVAL, "x"), ValueError("x")):
        assert refusal(tmp_path / "f", error) is None
    with pytest.raises(OSError, match="bad"), readable(tmp_path / "f"):
        raise OSError("bad")
    with pytest.raises(FileError, match="is gone"), readable(tmp_path / "f"):
        (tmp_path / "f").read_bytes()


def test_the_folder_that_is_closed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "a b"
    monkeypatch.setattr(os, "access", lambda place, *_, **__: Path(place) != closed)
    refused = refusal(closed / "c" / "f.h5", PermissionError(errno.EACCES, "x"))
    assert refused is not None
    assert f"who may not look into {closed}" in str(refused)
    assert f"`chmod a+x '{closed}'`" in refused.mend


def test_why_there_is_no_room() -> None:
    try:
        with open("/dev/full", "wb", buffering=0) as stream:  # noqa: PTH123
            stream.write(b"x")
    except OSError as error:
        assert no_room(error) == "the disk is full"
    assert no_room(OSError(errno.EDQUOT, "x")) == "your quota is used up"
    assert no_room(OSError(errno.EIO, "x")) is None and no_room(ValueError()) is None
