"""Files under names that are nearly right, at the task of one suite and of another."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks import data as task_data
from benchmarks.near_names import near_misses
from xmft.errors import DataError

NAME = "1D_diff-sorp_NA_NA.h5"
TASK = "pdebench/diffusion_sorption"

RENAMED = [
    "1D_diff-sorp_NA_NA.hdf5",
    "1D_diff-sorp_NA_NA.H5",
    "1d_diff-sorp_na_na.h5",
    "1D_diff-sorp_NA_NA (1).h5",
    "1D_diff-sorp_NA_NA(2).hdf5",
    "1D_diff-sorp_NA_NA 2.h5",
    "1D_diff-sorp_NA_NA-1.h5",
    "1D_diff-sorp_NA_NA - Copy.h5",
    "1D_diff-sorp_NA_NA copy 3.h5",
    "1D_diff-sorp_NA_NA_copy.h5",
    "Copy of 1D_diff-sorp_NA_NA.h5",
    "1D_diff-sorp_NA_NA.h5.1",
    "1D_diff-sorp_NA_NA.h5.bak",
    "1D_diff-sorp_NA_NA.h5~",
    "1D_diff-sorp_NA_NA.h5.txt",
    "1D%5Fdiff-sorp_NA_NA.h5",
    "1D diff-sorp NA NA.h5",
    "1D_diff-sorp_NA_NA.h5?download=1",
]
UNFINISHED = [
    "1D_diff-sorp_NA_NA.h5.part",
    "1D_diff-sorp_NA_NA.h5.crdownload",
    "1D_diff-sorp_NA_NA.h5.download",
    "1D_diff-sorp_NA_NA (1).hdf5.crdownload",
    ".1D_diff-sorp_NA_NA.h5.a1B2c3",
]
OTHERS = [
    "1D_diff-sorp_NA_NA_2.h5",
    "2D_diff-react_NA_NA.h5",
    "1D_diff-sorp_NA_NA.png",
    "1D_diff-sorp_NA_NA.h5.md5",
    "notes on 1D_diff-sorp_NA_NA.h5",
    "._1D_diff-sorp_NA_NA.h5",
]


def _near(data_root: Path) -> list[str]:
    return near_misses(data_root, {NAME: re.compile(re.escape(NAME))})


@pytest.mark.parametrize("name", RENAMED)
def test_a_rename_is_proposed(data_root: Path, name: str) -> None:
    path = data_root / "deep" / name
    path.parent.mkdir()
    path.write_bytes(b"x")
    (line,) = _near(data_root)
    old, new = shlex.quote(str(path)), shlex.quote(str(path.with_name(NAME)))
    assert line == (f"{path} is not taken under that name. If it is that file: `mv {old} {new}`.")


@pytest.mark.parametrize("name", UNFINISHED)
def test_an_unfinished_download(data_root: Path, name: str) -> None:
    (data_root / name).write_bytes(b"x")
    (line,) = _near(data_root)
    assert line.startswith(f"{data_root / name} is a download or copy that has not ended")


@pytest.mark.parametrize("ending", [".gz", ".zip", ".tar.gz", ".7z"])
def test_a_packed_file(data_root: Path, ending: str) -> None:
    (data_root / f"{NAME}{ending}").write_bytes(b"x")
    assert f"is packed. Unpack it, which gives {NAME}" in _near(data_root)[0]


def test_what_only_stands_for_the_file(data_root: Path) -> None:
    (data_root / f"{NAME}.dvc").write_bytes(b"x")
    (data_root / NAME).symlink_to(data_root / "gone")
    (data_root / "annexed").mkdir()
    (data_root / "annexed" / NAME).symlink_to("../.git/annex/objects/Zk/1")
    (data_root / "unpacked").mkdir()
    (data_root / "unpacked" / NAME).mkdir()
    linked, pointer, annexed, folder = _near(data_root)
    assert f"is a link to {data_root / 'gone'}, where there is nothing" in linked
    assert "dvc pull" in pointer
    assert f"`cd {data_root / 'annexed'} && git annex get {NAME}`" in annexed
    assert "is a folder, not the file" in folder


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_named(data_root: Path, name: str) -> None:
    (data_root / name).write_bytes(b"x")
    assert _near(data_root) == []


def test_trash_and_hidden_folders_are_not_named(data_root: Path) -> None:
    for folder in (".Trash-1000", ".snapshot", "$RECYCLE.BIN", "@eaDir"):
        (data_root / folder).mkdir()
        (data_root / folder / "1D_diff-sorp_NA_NA.hdf5").write_bytes(b"x")
    assert _near(data_root) == []


def test_they_are_told_before_others_are_generated(data_root: Path) -> None:
    path = data_root / "1D_diff-sorp_NA_NA.hdf5"
    path.write_bytes(b"x")
    where = task_data.locate(TASK, data_root=data_root)
    assert where.origin == "generated" and not where.ready
    assert [str(path) in line for line in where.warnings] == [True]
    with pytest.raises(DataError) as caught:
        task_data.verify(TASK, data_root=data_root)
    assert where.warnings[0] in str(caught.value)
    path.unlink()
    assert task_data.locate(TASK, data_root=data_root).warnings == ()


def test_a_name_that_tells_the_grid(data_root: Path) -> None:
    name = "2D_CFD_Rand_M1.0_Eta0.1_Zeta0.1_periodic_512_Train"
    (data_root / f"{name}.h5").write_bytes(b"x")
    (data_root / f"{name.replace('M1.0', 'M0.1')}.h5").write_bytes(b"x")
    (line,) = task_data.locate("pdebench/compressible_ns_2d", data_root=data_root).warnings
    assert line.endswith(f"{data_root / name}.hdf5`.")


def test_satellite(data_root: Path) -> None:
    (data_root / "Satellite_Train.npy").write_bytes(b"x")
    (data_root / "satellite_test (1).npy").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        task_data.locate("nasbench360/satellite", data_root=data_root)
    message = str(caught.value)
    assert f"{data_root}/Satellite_Train.npy is not taken under that name" in message
    assert f"{data_root}/satellite_test (1).npy is not taken under that name" in message
