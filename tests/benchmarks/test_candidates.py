"""Several files of one name: which is taken, at the tasks of two suites."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench.entry import PdeEntry
from tests.files import write_miniature
from xmft.errors import DataError
from xmft.task import Recipe

TASK, NAME = "pdebench/advection", "1D_Advection_Sols_beta0.4.hdf5"
SATELLITE = "nasbench360/satellite"


def _advection(folder: Path, samples: int = 20, *, frames: int = 5, seed: int = 0) -> Path:
    entry = catalog.get(TASK)
    assert isinstance(entry, PdeEntry)
    return write_miniature(entry, folder, samples=samples, frames=frames, seed=seed)


def _series(folder: Path, split: str, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    content = {"data": rng.normal(size=(count, 46)), "label": 1 + np.arange(count) % 24}
    path = folder / f"satellite_{split}.npy"
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


HIDDEN = (".Trash-1000", ".snapshot", ".cache", "$RECYCLE.BIN", "lost+found", "@eaDir")
HIDDEN += ("__MACOSX", ".ipynb_checkpoints", "#recycle", "System Volume Information")


@pytest.mark.parametrize("folder", HIDDEN)
def test_hidden_and_trash_folders_are_not_looked_into(data_root: Path, folder: str) -> None:
    for place in (data_root / folder / "files", data_root / "deep" / folder):
        path = _advection(place)
        path.write_bytes(path.read_bytes()[:3000])
        _series(place, "train", 1)
    good = _advection(data_root / "pdebench")
    train, test = (_series(data_root / "satellite", *part) for part in (("train", 40), ("test", 9)))
    assert task_data.locate(TASK, data_root=data_root).files == (good,)
    assert task_data.locate(SATELLITE, data_root=data_root).files == (train, test)
    assert task_data.locate(SATELLITE, data_root=data_root).warnings == ()
    assert len(task_data.verify(TASK, data_root=data_root)) == 2


@pytest.mark.parametrize("root", [".cache/xmft", "$RECYCLE.BIN/mine", ".data"])
def test_a_data_root_below_a_hidden_folder(tmp_path: Path, root: str) -> None:
    path = _advection(tmp_path / root / "pdebench")
    assert task_data.locate(TASK, data_root=tmp_path / root).files == (path,)


def test_a_link_may_lead_into_a_hidden_folder(data_root: Path, tmp_path: Path) -> None:
    path = _advection(tmp_path / ".store")
    (data_root / NAME).symlink_to(path)
    assert task_data.locate(TASK, data_root=data_root).files == (data_root / NAME,)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def _of_another_equation(path: Path) -> None:
    other = catalog.get("pdebench/advection:beta1.0")
    assert isinstance(other, PdeEntry)
    write_miniature(other, path.parent).replace(path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_truncated, "it cannot be read as HDF5"),
        (_of_another_equation, "the attribute 'beta' is 1"),
        (lambda path: _advection(path.parent, 3), "found 3 samples, expected at least 4"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"<html>"), "it is an answer of a web server"),
    ],
)
def test_one_that_does_not_do_is_passed_over(data_root: Path, spoil, why: str) -> None:  # type: ignore[no-untyped-def]
    spoil(_advection(data_root / "a"))
    good = _advection(data_root / "b", 20)
    alone = task_data.locate(TASK, data_root=data_root / "b")
    for _ in range(2):  # the second time from what is remembered
        where = task_data.locate(TASK, data_root=data_root)
        assert where.files == (good,)
        assert where.fingerprint == alone.fingerprint
        (warning,) = where.warnings
        assert warning.startswith(f"{data_root / 'a' / NAME} is there too and is not taken ({why}")
        assert str(good) in warning
    assert len(task_data.load(TASK, data_root=data_root).test) == 2


def test_an_excerpt_never_stands_in_for_the_whole(data_root: Path) -> None:
    excerpt = _advection(data_root / "a", 10)
    whole = _advection(data_root / "b", 30)
    for recipe, taken in ((Recipe(), whole), (Recipe(samples=20), whole)):
        where = task_data.locate(TASK, data_root=data_root, recipe=recipe)
        assert where.files == (taken,)
        assert f"{excerpt} is there too and is not taken (it has 10 samples)" in where.warnings[0]
    # Both have enough: the first in sorted order, as ever.
    few = task_data.locate(TASK, data_root=data_root, recipe=Recipe(samples=10))
    assert few.files == (excerpt,)
    lines = task_data.verify(TASK, data_root=data_root)
    assert lines[0].startswith(str(whole)) and str(excerpt) in lines[-1]


def test_of_equals_the_first_in_sorted_order(data_root: Path) -> None:
    later = _advection(data_root / "b", seed=2)
    first = _advection(data_root / "a", seed=1)
    where = task_data.locate(TASK, data_root=data_root)
    assert where.files == (first,) and str(later) in where.warnings[0]


def test_coarse_frames_are_passed_over_where_they_do_not_do(data_root: Path) -> None:
    entry = catalog.get("pdebench/shallow_water")
    assert isinstance(entry, PdeEntry)
    coarse = write_miniature(entry, data_root / "a", points=4, frames=21)
    full = write_miniature(entry, data_root / "b", points=4, frames=101)
    name = entry.task.name
    assert task_data.locate(name, data_root=data_root).files == (coarse,)
    where = task_data.locate(name, data_root=data_root, protocol="released")
    assert where.files == (full,) and "one at t=0.99 to test on" in where.warnings[0]


def test_if_none_does_the_first_is_told_of(data_root: Path) -> None:
    _truncated(_advection(data_root / "a"))
    _truncated(_advection(data_root / "b"))
    with pytest.raises(DataError, match=f"^{data_root}/a/{NAME} cannot be read as HDF5"):
        task_data.locate(TASK, data_root=data_root)


def test_satellite_takes_each_of_its_files_for_itself(data_root: Path) -> None:
    _series(data_root / "a", "train", 2)
    test = _series(data_root / "a", "test", 9)
    train = _series(data_root / "b", "train", 40)
    (data_root / "b" / "satellite_test.npy").write_bytes(b"\x93NUMPY damaged")
    for _ in range(2):
        where = task_data.locate(SATELLITE, data_root=data_root)
        assert where.files == (train, test)
        assert "(found 2 series, expected at least 3 (1 for validation))" in where.warnings[0]
        assert "satellite_test.npy is there too and is not taken (it cannot be" in where.warnings[1]
    assert len(task_data.load(SATELLITE, data_root=data_root).test) == 9


def test_a_plan_opens_no_file_that_it_knows(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = _advection(data_root, 3)
    with pytest.raises(DataError, match="found 3 samples, expected at least 4"):
        task_data.locate(TASK, data_root=data_root)
    monkeypatch.setattr("h5py.File", None)
    with pytest.raises(DataError, match="found 3 samples, expected at least 4"):
        task_data.locate(TASK, data_root=data_root)
    monkeypatch.undo()
    shutil.move(short, data_root / "gone.bak")
    assert task_data.locate(TASK, data_root=data_root).origin == "generated"
