from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import data as task_data
from xmft.errors import DataError, RequestError
from xmft.task import Recipe

NAME = "1D_Advection_Sols_beta0.4.hdf5"
Arrays = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.fixture
def good(write_hdf5: Write, advection_arrays: Arrays) -> Path:
    return write_hdf5(NAME, {"beta": 0.4}, advection_arrays(points=32))


def _message(data_root: Path, task: str = "pdebench/advection", **recipe: Any) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(task, data_root=data_root, recipe=Recipe(**recipe))
    assert not list((data_root.parent / "cache").glob("prepared/*"))
    return str(caught.value)


def _replace(path: Path, name: str, values: Any) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file.create_dataset(name, data=values)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_truncated_file(data_root: Path, good: Path, kept: int) -> None:
    good.write_bytes(good.read_bytes()[:kept])
    message = _message(data_root)
    assert message.startswith(str(good))
    assert f"found {kept} bytes, truncated or damaged, expected a whole file" in message
    fetch = f"`xmft data fetch pdebench/advection --data {data_root}`"
    assert f"Move the file away, then get the official data with {fetch}" in message


def test_a_file_damaged_inside(data_root: Path, advection_arrays: Arrays) -> None:
    path = data_root / NAME
    with h5py.File(path, "w") as file:
        for key, values in advection_arrays(points=32).items():
            options = {"compression": "gzip", "chunks": (1, 9, 32)} if key == "tensor" else {}
            file.create_dataset(key, data=values, **options)
        place = file["tensor"].id.get_chunk_info(7).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 16] = bytes(16)
    path.write_bytes(bytes(content))
    assert f"{path} cannot be read as HDF5" in _message(data_root)


@pytest.mark.parametrize("name", ["tensor", "x-coordinate", "t-coordinate"])
def test_a_dataset_is_missing(data_root: Path, good: Path, name: str) -> None:
    _replace(good, name, None)
    message = _message(data_root)
    assert f"expected a dataset '{name}'" in message
    assert f"{good}: the file holds '" in message


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("tensor", np.zeros((30, 32), np.float32), "'tensor' has the shape (30, 32), expected"),
        ("tensor", np.zeros((30, 9, 31), np.float32), "'tensor' has the shape (30, 9, 31)"),
        ("tensor", np.zeros((30, 9, 32), np.int16), "'tensor' is of type int16, expected float"),
        ("tensor", np.zeros((30, 11, 32), np.float32), "11 frames and 't-coordinate' 10 entries"),
        ("tensor", np.zeros((30, 1, 32), np.float32), "1 frames and 't-coordinate' 10 entries"),
        ("t-coordinate", np.linspace(0, 1, 10), "between t=0 and t=0.888889, expected one at t=2"),
        ("t-coordinate", np.zeros(10), "'t-coordinate' of shape (10,) does not rise"),
        ("x-coordinate", np.full(32, np.nan), "'x-coordinate' of shape (32,) does not rise"),
    ],
)
def test_another_layout(data_root: Path, good: Path, name: str, values: Any, found: str) -> None:
    _replace(good, name, values)
    message = _message(data_root)
    assert message.startswith(f"{good}: ")
    assert found in message
    assert "`xmft data generate pdebench/advection" in message


def test_inputs_and_targets_of_unequal_number(data_root: Path, write_hdf5: Write) -> None:
    centres = (np.arange(8) + 0.5) / 8
    write_hdf5(
        "2D_DarcyFlow_beta0.1_Train.hdf5",
        {},
        {
            "nu": np.ones((12, 8, 8)),
            "tensor": np.ones((11, 1, 8, 8)),
            "x-coordinate": centres,
            "y-coordinate": centres,
        },
    )
    message = _message(data_root, "pdebench/darcy")
    assert "'nu' holds 12 samples and 'tensor' 11, expected as many in both" in message


@pytest.mark.parametrize("value", [0.2, "fast", np.nan])
def test_another_parameter_value(data_root: Path, good: Path, value: Any) -> None:
    with h5py.File(good, "a") as file:
        file.attrs["beta"] = value
    assert f"the attribute 'beta' is {value}" in (message := _message(data_root))
    assert "expected 0.4 as in the file's name" in message


def test_an_unknown_origin(data_root: Path, good: Path) -> None:
    with h5py.File(good, "a") as file:
        file.attrs["xmft_origin"] = "made up"
    assert "'xmft_origin' is 'made up', expected one of official, gen" in _message(data_root)


def test_values_that_are_not_finite_are_all_counted(data_root: Path, good: Path) -> None:
    with h5py.File(good, "a") as file:
        file["tensor"][17, 8, 3] = np.nan
        file["tensor"][21, 0, 5:7] = np.inf
        file["tensor"][19, 4] = np.nan  # a frame that the task does not need
    message = _message(data_root)
    assert f"{good}: found 3 values that are NaN or infinite" in message
    assert "the first in sample 17 of 'tensor'" in message
    with pytest.raises(DataError, match=r"found 35 values .* sample 17 of"):
        task_data.verify("pdebench/advection", data_root=data_root)


def test_too_few_samples(data_root: Path, write_hdf5: Write, advection_arrays: Arrays) -> None:
    path = write_hdf5(NAME, {}, advection_arrays(samples=3, points=16))
    assert f"{path}: found 3 samples, expected at least 4 (1 for test" in _message(data_root)
    write_hdf5(NAME, {}, advection_arrays(samples=4, points=16))
    data = task_data.load("pdebench/advection", data_root=data_root, recipe=Recipe())
    assert [len(part) for part in (data.test, data.val, data.train)] == [1, 1, 2]


@pytest.mark.parametrize(("points", "resolution"), [(32, 64), (32, 24), (300, None)])
def test_a_resolution_that_does_not_divide(
    data_root: Path,
    write_hdf5: Write,
    advection_arrays: Arrays,
    points: int,
    resolution: int | None,
) -> None:
    path = write_hdf5(NAME, {}, advection_arrays(samples=10, points=points))
    message = _message(data_root, resolution=resolution)
    wanted = resolution or 256
    assert f"{path}: found {points} points per axis, expected a multiple of" in message
    assert f"resolution {wanted}. Set `resolution`" in message


def test_a_cache_that_cannot_be_written(data_root: Path, good: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(RequestError, match=re.escape(f"written to {cache}")):
        task_data.load("pdebench/advection", data_root=data_root, recipe=Recipe())
