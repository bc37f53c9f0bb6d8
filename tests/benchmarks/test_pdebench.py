from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench.entry import PdeEntry
from benchmarks.splits import first_tenth_is_test
from tests.files import write_miniature
from xmft.task import Recipe, TaskData

NAME = "1D_Advection_Sols_beta0.4.hdf5"
Arrays = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def _load(data_root: Path, task: str = "pdebench/advection", **recipe: Any) -> TaskData:
    return task_data.load(task, data_root=data_root, recipe=Recipe(**recipe))


def _check_advection(data: TaskData, samples: dict[str, np.ndarray], x: np.ndarray) -> None:
    for split, numbers in samples.items():
        part = getattr(data, split)
        expected = 1000.0 * numbers[:, None] + x
        np.testing.assert_allclose(part.inputs[:, 0], expected, rtol=1e-6)
        np.testing.assert_allclose(part.targets[:, 0], expected + 200.0, rtol=1e-6)


@pytest.mark.parametrize("points", [1024, 512, 256, 100])
@pytest.mark.parametrize("frames", [201, 41, 2])
def test_frames_and_strides_follow_from_the_coordinates(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays, points: int, frames: int
) -> None:
    arrays = advection_arrays(samples=20, points=points, frames=frames)
    write_hdf5(f"1D/Advection/Train/{NAME}", {"beta": 0.4}, arrays)
    data = _load(data_root)
    resolution = min(points, 256)  # a coarser file is used as it is
    cut = first_tenth_is_test(20, None)
    x = np.arange(resolution) / resolution
    _check_advection(data, {"test": cut.test, "val": cut.val, "train": cut.train}, x)
    assert data.origin == "official"
    assert NAME in data.source
    for part in (data.train, data.val, data.test):
        assert part.inputs.shape[1:] == part.targets.shape[1:] == (1, resolution)
        assert part.inputs.dtype == part.targets.dtype == np.float32
        assert isinstance(part.inputs, np.memmap) and not part.inputs.flags.writeable


def test_a_cap_and_a_resolution(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays
) -> None:
    write_hdf5(NAME, {"beta": 0.4}, advection_arrays(samples=100, points=64))
    data = _load(data_root, samples=20, resolution=16)
    assert [len(part) for part in (data.test, data.val, data.train)] == [2, 1, 17]
    _check_advection(data, {"test": np.arange(2)}, np.arange(16) / 16)
    numbers = np.concatenate([data.val.inputs[:, 0, 0], data.train.inputs[:, 0, 0]])
    assert sorted(numbers / 1000) == list(range(10, 28))


def test_one_time_entry_per_frame_is_fine_too(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays
) -> None:
    arrays = advection_arrays(samples=10, points=16)
    arrays["t-coordinate"] = arrays["t-coordinate"][:-1]
    write_hdf5(NAME, {"beta": 0.4}, arrays)
    _check_advection(_load(data_root), {"test": np.arange(1)}, np.arange(16) / 16)


def test_many_reads_make_the_same_arrays_as_one(
    data_root: Path,
    write_hdf5: Write,
    advection_arrays: Arrays,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_hdf5(NAME, {"beta": 0.4}, advection_arrays(samples=50, points=32))
    monkeypatch.setattr("benchmarks.pdebench.frames.READ_BYTES", 32 * 4 * 7)
    cut = first_tenth_is_test(50, 30)
    samples = {"test": cut.test, "val": cut.val, "train": cut.train}
    _check_advection(_load(data_root, samples=30), samples, np.arange(32) / 32)


def test_compressed_chunks(data_root: Path, advection_arrays: Arrays) -> None:
    with h5py.File(data_root / NAME, "w") as file:
        for key, values in advection_arrays(samples=20, points=32).items():
            chunks = (1, *values.shape[1:]) if values.ndim > 1 else None
            compression = "gzip" if chunks else None
            file.create_dataset(key, data=values, chunks=chunks, compression=compression)
    _check_advection(_load(data_root), {"test": np.arange(2)}, np.arange(32) / 32)


def test_darcy_has_no_time_and_two_axes(data_root: Path, write_hdf5: Write) -> None:
    grid = np.arange(128.0)
    nu = np.arange(20.0)[:, None, None] * 1e5 + grid[:, None] * 200 + grid + 1
    coordinates = {f"{axis}-coordinate": (grid + 0.5) / 128 for axis in "xy"}
    arrays = {"nu": nu, "tensor": -nu[:, None], **coordinates}
    write_hdf5("2D_DarcyFlow_beta1.0_Train.hdf5", {"beta": 1.0}, arrays)
    data = _load(data_root, "pdebench/darcy:beta1.0")
    assert data.task.name == "pdebench/darcy:beta1.0"
    assert data.test.inputs.shape == (2, 1, 64, 64)
    np.testing.assert_array_equal(data.test.inputs[1, 0], nu[1, ::2, ::2])
    np.testing.assert_array_equal(data.test.targets, -data.test.inputs)


def test_the_second_load_opens_no_hdf5(
    data_root: Path,
    write_hdf5: Write,
    advection_arrays: Arrays,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_hdf5(NAME, {"beta": 0.4}, advection_arrays(points=16))
    first = _load(data_root)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(h5py, "File", refuse)
    second = _load(data_root)
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.train.inputs, first.train.inputs)
    folder = cache / "prepared" / first.fingerprint
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["counts"] == {"test": 3, "val": 2, "train": 25}
    assert sorted(path.name for path in (cache / "prepared").iterdir()) == [first.fingerprint]


@pytest.mark.parametrize("damage", ["truncate", "remove", "meta"])
def test_damaged_prepared_arrays_are_made_again(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays, cache: Path, damage: str
) -> None:
    write_hdf5(NAME, {"beta": 0.4}, advection_arrays(points=16))
    first = _load(data_root)
    expected = np.array(first.train.targets)
    folder = cache / "prepared" / first.fingerprint
    if damage == "truncate":
        content = (folder / "targets.npy").read_bytes()
        (folder / "targets.npy").unlink()  # the open map keeps the old one
        (folder / "targets.npy").write_bytes(content[:200])
    elif damage == "remove":
        (folder / "inputs.npy").unlink()
    else:
        (folder / "meta.json").write_text("{}")
    np.testing.assert_array_equal(_load(data_root).train.targets, expected)


def test_the_fingerprint_tells_content_and_cut_apart_but_not_places(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays
) -> None:
    path = write_hdf5(NAME, {"beta": 0.4}, advection_arrays(points=64))

    def fingerprint(**recipe: Any) -> str:
        source = task_data.locate(
            "pdebench/advection", data_root=data_root, recipe=Recipe(**recipe)
        )
        assert source.ready and source.origin == "official"
        return source.fingerprint

    plain = fingerprint()
    assert fingerprint(epochs=3) == plain
    assert len({plain, fingerprint(samples=20), fingerprint(resolution=32)}) == 3
    moved = data_root / "moved" / NAME
    moved.parent.mkdir()
    path.rename(moved)
    assert fingerprint() == plain
    with h5py.File(moved, "a") as file:
        file["tensor"][29, 8, 63] = 1.0
    assert fingerprint() != plain


@pytest.mark.parametrize("name", [name for name in catalog.names() if "pdebench/" in name])
def test_miniatures_are_read_as_such(data_root: Path, name: str) -> None:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    path = write_miniature(entry, data_root / "deep", samples=12, points=8)
    assert path.name == entry.files[0]
    data = _load(data_root, name)
    assert data.origin == "miniature"
    assert len(data.train) + len(data.val) + len(data.test) == 12
    assert np.isfinite(data.train.inputs).all() and data.train.inputs.std() > 0
    assert "miniature, 12 samples" in task_data.verify(name, data_root=data_root)[0]


def test_the_miniature_of_advection_solves_it(data_root: Path) -> None:
    entry = catalog.get("pdebench/advection:beta1.0")
    assert isinstance(entry, PdeEntry)
    write_miniature(entry, data_root)  # after t=2 the wave has gone round exactly twice
    data = _load(data_root, "pdebench/advection:beta1.0")
    np.testing.assert_allclose(data.train.targets, data.train.inputs, atol=1e-5)
