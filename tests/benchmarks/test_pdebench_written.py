"""What HDF5 gives for what was never written, and what it tells of it without reading a value."""

from __future__ import annotations

import ctypes
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks import data as task_data
from tests.benchmarks.refusals import refused, write
from xmft.errors import DataError


@pytest.mark.parametrize("how", ["fillvalue", "_FillValue", "missing_value"])
def test_what_a_dataset_declares_as_missing(how: str, data_root: Path) -> None:
    """Half of a frame, stored in blocks that were made beforehand."""
    path, _ = write("pdebench/advection", data_root)
    with h5py.File(path, "a") as file:
        values = file["tensor"][()]
        del file["tensor"]
        values[4, -1, :4] = 0.75
        fill = 0.75 if how == "fillvalue" else 0.0
        dataset = file.create_dataset("tensor", data=values, fillvalue=fill, chunks=(4, 5, 4))
        if how != "fillvalue":
            dataset.attrs[how] = np.float32(0.75)
    for message in refused("pdebench/advection", data_root):
        assert "that mark what is missing" in message and "sample 4" in message


@pytest.mark.parametrize("chunks", [(1, 5, 8), (4, 5, 8), (3, 2, 4), (1, 1, 1), None])
@pytest.mark.parametrize("fill", [0.0, 0.25])
def test_what_was_never_written_is_told_without_reading_it(
    chunks: tuple[int, ...] | None, fill: float, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write("pdebench/advection", data_root)
    with h5py.File(path, "a") as file:
        values = file["tensor"][()]
        del file["tensor"]
        dataset = file.create_dataset(
            "tensor", values.shape, np.float32, chunks=chunks, fillvalue=fill
        )
        for start in range(0, 20, 4 if chunks else 20):
            if chunks and start != 12:
                dataset[start : start + 4] = values[start : start + 4]
    monkeypatch.setattr("benchmarks.pdebench.frames.read", None)
    with pytest.raises(DataError) as caught:
        task_data.load("pdebench/advection", data_root=data_root)
    message = str(caught.value)
    assert "was never written" in message and f"would be read as {fill:g}" in message
    if chunks:
        # The samples of the blocks that lie in the gap as a whole, 12 to 15.
        starts = [start for start in range(12, 16, chunks[0]) if start + chunks[0] <= 16]
        more = len(starts) * chunks[0] - 1
        assert f"missing, first of sample 12 and in {more} more, was never" in message


@pytest.mark.parametrize("chunks", [(1, 4, 1), (5, 8, 1), None])
@pytest.mark.parametrize("number", [0, 13])
def test_a_group_that_was_never_written(
    chunks: tuple[int, ...] | None, number: int, data_root: Path
) -> None:
    """Its fill value is a possible concentration."""
    path, _ = write("pdebench/diffusion_sorption", data_root)
    with h5py.File(path, "a") as file:
        group = file[f"{number:04d}"]
        values = group["data"][()]
        del group["data"]
        dataset = group.create_dataset(
            "data", values.shape, np.float32, chunks=chunks, fillvalue=0.25
        )
        if chunks == (1, 4, 1):
            dataset[:4] = values[:4]
    for message in refused("pdebench/diffusion_sorption", data_root):
        assert f"of '{number:04d}/data'; what is missing, first of sample {number}," in message
        assert "was never written, and would be read as 0.25" in message


@pytest.mark.parametrize("whole", [True, False])
def test_a_fill_value_that_is_not_defined(whole: bool, data_root: Path) -> None:
    """Programs in other languages may leave it so; a file that is whole has no need of one."""
    path, _ = write("pdebench/advection", data_root)
    with h5py.File(path, "a") as file:
        values = file["tensor"][()]
        del file["tensor"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4, 5, 8))
        # Not to be had from h5py: asked of the library that it was linked to.
        undefine = ctypes.CDLL(h5py.h5p.__file__).H5Pset_fill_value
        undefine.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        kind = h5py.h5t.NATIVE_FLOAT
        assert undefine(plan.id, kind.id, None) == 0
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"tensor", kind, space, plan))
        dataset[: 20 if whole else 8] = values[: 20 if whole else 8]
    if whole:
        assert task_data.verify("pdebench/advection", data_root=data_root)
        return
    for message in refused("pdebench/advection", data_root):
        assert "first of sample 8 and in 11 more, was never written" in message
        assert "would be read as anything" in message and "damaged" not in message
