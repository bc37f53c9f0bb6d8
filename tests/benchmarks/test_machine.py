"""Good files that a machine does not let be read, each case provoked as it happens."""

from __future__ import annotations

import errno
import importlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from benchmarks import data as task_data
from tests.benchmarks.refusals import NAME, TASK, said
from xmft.errors import DataError

Arrays = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.fixture
def other_program(good: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a program that opens the file and says when it has."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        text = f"import h5py, os, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
        program = subprocess.Popen(
            [sys.executable, "-c", text, str(good)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_a_file_that_another_program_writes(
    data_root: Path, good: Path, other_program: Callable[[str], subprocess.Popen[str]]
) -> None:
    program = other_program("file = h5py.File(sys.argv[1], 'a')")
    message = said(data_root)
    assert f"{good} is held by another program, which has it open for writing" in message
    assert "HDF5_USE_FILE_LOCKING=FALSE" in message
    program.kill()
    program.wait()
    assert len(task_data.load(TASK, data_root=data_root).test) == 3


def test_a_file_system_without_locks(
    data_root: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = h5py.File

    def without_locks(path: Path, *, locking: Any = None, **options: Any) -> h5py.File:
        if locking is not False:
            message = "Unable to synchronously open file (unable to lock file, errno = 37)"
            raise OSError(errno.ENOLCK, message)
        return opened(path, locking=locking, **options)

    monkeypatch.setattr(h5py, "File", without_locks)
    assert len(task_data.load(TASK, data_root=data_root).test) == 3


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user may look into, with the cache in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        monkeypatch.setenv("XMFT_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture
def without_rights() -> Iterator[None]:
    """Be an ordinary user: rights mean nothing to the superuser."""
    # What is imported when it is needed may lie where an ordinary user may not look.
    importlib.import_module("benchmarks.pdebench.generate")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_file_that_may_not_be_read(open_folder: Path, without_rights: None) -> None:
    path = open_folder / "deep" / NAME
    path.parent.mkdir()
    path.write_bytes(b"whatever it holds")
    path.chmod(0)
    message = said(open_folder)
    assert f"{path} may not be read by this user (number {os.geteuid()})" in message
    assert f"have its owner allow it, for instance with `chmod a+r {path}`" in message


def test_a_folder_that_may_not_be_looked_into(open_folder: Path, without_rights: None) -> None:
    """Otherwise the file in it is as good as not there, and others are generated in silence."""
    closed = open_folder / "closed"
    closed.mkdir()
    (closed / NAME).write_bytes(b"whatever it holds")
    closed.chmod(0)
    where = task_data.locate(TASK, data_root=open_folder)
    closed.chmod(0o700)
    assert where.origin == "generated"
    (warning,) = where.warnings
    assert f"{closed} cannot be looked into (permission denied)" in warning


def test_too_many_open_files(data_root: Path, good: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(open(os.devnull))  # noqa: PTH123, SIM115 (the fewer steps the better)
        with pytest.raises(DataError) as caught:
            from benchmarks.hdf5 import opened

            with opened(good):
                pass
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert f"{good} cannot be opened: too many files are open (the limit is 256)" in str(
        caught.value
    )


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_a_disk_that_does_not_answer(
    data_root: Path, good: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(number, f"Can't read data (errno = {number})")

    monkeypatch.setattr(h5py, "File", broken)
    message = said(data_root)
    assert f"{good} cannot be read: the disk, or the network" in message
    assert f"answers '{os.strerror(number)}'" in message


def test_not_enough_memory(data_root: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(h5py, "File", too_much)
    assert f"{good} cannot be read: there is not enough memory" in said(data_root)
