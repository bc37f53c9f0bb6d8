"""Files that a machine cannot open although they may be good, each provoked as it happens."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import data as task_data
from tests.benchmarks.refusals import NAME, TASK, said
from xmft.errors import DataError
from xmft.task import Recipe

Arrays = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
ZSTD, NOBODYS = 32015, 511


def _filtered(path: Path, code: int, *, went_through: bool) -> None:
    """Replace the tensor by one that says it went through a filter."""
    with h5py.File(path, "a") as file:
        values = file["tensor"][()]
        del file["tensor"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(values.shape)
        plan.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(file.id, b"tensor", h5py.h5t.IEEE_F32LE, space, plan)
        mask = 0 if went_through else 1
        dataset.write_direct_chunk((0, 0, 0), values.astype("<f4").tobytes(), mask)


@pytest.mark.parametrize(
    ("code", "name", "mend"),
    [
        (ZSTD, "zstd", "`pip install hdf5plugin`"),
        (NOBODYS, "without a name", "HDF5_PLUGIN_PATH"),
    ],
)
def test_a_filter_that_is_not_installed(
    data_root: Path,
    good: Path,
    code: int,
    name: str,
    mend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # as where it is not installed
    _filtered(good, code, went_through=True)
    message = said(data_root)
    assert f"{good}: 'tensor' is compressed by the HDF5 filter {code} ({name})" in message
    assert "which is not installed here. The file may be good." in message and mend in message


def test_a_filter_that_no_value_went_through_is_no_hindrance(data_root: Path, good: Path) -> None:
    before = task_data.load(TASK, data_root=data_root).train.inputs.copy()
    _filtered(good, NOBODYS, went_through=False)
    np.testing.assert_array_equal(task_data.load(TASK, data_root=data_root).train.inputs, before)


def test_hdf5plugin_is_used_where_it_is_installed(
    data_root: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing it makes its filters known; here one that leaves bytes as they are."""
    before = task_data.load(TASK, data_root=data_root).train.inputs.copy()
    _filtered(good, ZSTD, went_through=False)
    known: list[str] = []

    def use(name: str) -> None:
        known.append(name)

    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: bool(known))
    monkeypatch.setattr("benchmarks.hdf5._went_through", lambda *_: True)
    monkeypatch.setattr(importlib, "import_module", use)
    np.testing.assert_array_equal(task_data.load(TASK, data_root=data_root).train.inputs, before)
    assert known == ["hdf5plugin"]


def test_a_file_that_was_never_closed(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays
) -> None:
    path = data_root / NAME
    code = (
        "import h5py, os, sys\nfile = h5py.File(sys.argv[1], 'w', libver='latest')\n"
        "file['tensor'] = [1.0]\nfile.flush()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    message = said(data_root)
    assert f"{path} was not closed by the program that wrote it" in message
    assert "h5clear -s" in message


def test_a_newer_hdf5(data_root: Path, good: Path) -> None:
    content = bytearray(good.read_bytes())
    content[8] = 4  # the version of the superblock
    good.write_bytes(content)
    message = said(data_root)
    assert f"{good} was written by a newer HDF5 (superblock 4)" in message
    assert h5py.version.hdf5_version in message and "pip install -U h5py" in message


def _virtual(file: h5py.File, values: Any) -> None:
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[:] = h5py.VirtualSource("parts.h5", "tensor", values.shape)
    file.create_virtual_dataset("tensor", layout)


def _external(file: h5py.File, values: Any) -> None:
    file.create_dataset("tensor", values.shape, "f4", external=[("parts.h5", 0, values.nbytes)])


def _linked(file: h5py.File, values: Any) -> None:
    file["tensor"] = h5py.ExternalLink("parts.h5", "tensor")


@pytest.mark.parametrize("spread", [_virtual, _external, _linked])
@pytest.mark.parametrize("there", [False, True])
def test_values_in_other_files(
    data_root: Path, good: Path, spread: Callable[..., None], there: bool
) -> None:
    """HDF5 reads zeros where a virtual part is missing; and no hash of ours covers the others."""
    parts = data_root / "parts.h5"
    with h5py.File(good, "a") as file:
        values = file["tensor"][()]
        if there:
            with h5py.File(parts, "w") as other:
                other["tensor"] = values
        del file["tensor"]
        spread(file, values)
    message = said(data_root)
    what = "'tensor' lies" if spread is _linked else "the values of 'tensor' lie"
    assert f"{good}: {what} in other files (" in message and "parts.h5" in message
    assert ("of which parts.h5 cannot be found" in message) == (not there)
    assert "`new[name] = old[name][()]`" in message


def test_a_type_that_numpy_does_not_have(data_root: Path, good: Path) -> None:
    with h5py.File(good, "a") as file:
        shape = file["tensor"].shape
        del file["tensor"]
        quad = h5py.h5t.IEEE_F64LE.copy()
        quad.set_size(16)
        quad.set_precision(128)
        quad.set_fields(127, 112, 15, 0, 112)
        quad.set_ebias(16383)
        h5py.h5d.create(file.id, b"tensor", quad, h5py.h5s.create_simple(shape))
    message = said(data_root)
    assert f"{good} holds numbers of a type that this machine does not have" in message
    assert "again as float32 or float64" in message


def test_a_file_that_is_still_being_copied(data_root: Path, good: Path) -> None:
    good.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"changed \d s ago: if it is still being copied, wait"):
        task_data.load(TASK, data_root=data_root, recipe=Recipe())
    os.utime(good, (0, 0))
    with pytest.raises(DataError) as caught:
        task_data.load(TASK, data_root=data_root, recipe=Recipe())
    assert "ago" not in str(caught.value) and "Move the file away" in str(caught.value)


def test_a_user_block_of_zeros_is_no_fault(
    data_root: Path, write_hdf5: Write, advection_arrays: Arrays
) -> None:
    with h5py.File(data_root / NAME, "w", userblock_size=1024) as file:
        for key, values in advection_arrays(points=32).items():
            file[key] = values
    assert len(task_data.load(TASK, data_root=data_root).test) == 3


def test_one_sample_in_another_file(data_root: Path, write_groups: Write) -> None:
    values = np.ones((20, 3, 8, 1)) * np.arange(1.0, 21.0)[:, None, None, None]
    grid = {"x": (np.arange(8) + 0.5) / 8, "t": [0.0, 250.0, 500.0]}
    path = write_groups("1D_diff-sorp_NA_NA.h5", values, grid)
    with h5py.File(path, "a") as file:
        del file["0007"]
        file["0007"] = h5py.ExternalLink("part7.h5", "/sample")
    for ask in (task_data.load, task_data.verify):
        with pytest.raises(DataError, match=r"'0007' lies in other files \(part7.h5\), of which"):
            ask("pdebench/diffusion_sorption", data_root=data_root)  # type: ignore[operator]


def test_coordinates_behind_a_filter(
    data_root: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with h5py.File(good, "a") as file:
        values = file["x-coordinate"][()]
        del file["x-coordinate"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(values.shape)
        plan.set_filter(ZSTD, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(file.id, b"x-coordinate", h5py.h5t.IEEE_F32LE, space, plan)
        dataset.write_direct_chunk((0,), values.astype("<f4").tobytes(), 0)
    assert "'x-coordinate' is compressed by the HDF5 filter 32015 (zstd)" in said(data_root)
