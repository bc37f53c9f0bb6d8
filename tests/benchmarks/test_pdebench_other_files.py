"""Files that bear the right name and hold something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench.entry import PdeEntry
from tests.files import write_miniature
from xmft.errors import DataError
from xmft.task import Recipe

Write = Callable[..., Path]
PDE_TASKS = [name for name in catalog.names() if name.startswith("pdebench/")]
SUFFIX = {name: Path(catalog.get(name).files[0]).suffix for name in PDE_TASKS}


def _write(name: str, folder: Path, **options: Any) -> Path:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return write_miniature(entry, folder, **options)


def _error(name: str, data_root: Path) -> str:
    """All ways to use a file have to refuse it."""
    found = []
    for act in (
        lambda: task_data.locate(name, data_root=data_root, recipe=Recipe()),
        lambda: task_data.load(name, data_root=data_root, recipe=Recipe()),
        lambda: task_data.verify(name, data_root=data_root),
    ):
        with pytest.raises(DataError) as caught:
            act()
        found.append(str(caught.value))
    assert len(set(found)) == 1
    assert "\n" not in found[0]
    assert "Move the file away, then get the official data with `xmft data fetch" in found[0]
    return found[0]


def _edit(path: Path, key: str, **changes: Any) -> None:
    with h5py.File(path, "a") as file:
        config = yaml.safe_load(file[key].attrs["config"])
        config["sim"] |= changes
        file[key].attrs["config"] = yaml.safe_dump(config)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (name, other)
        for name in PDE_TASKS
        for other in PDE_TASKS
        if name != other and SUFFIX[name] == SUFFIX[other]
    ],
)
def test_the_file_of_another_task(name: str, other: str, data_root: Path) -> None:
    path = _write(other, data_root, points=4)
    path.rename(data_root / catalog.get(name).files[0])
    message = _error(name, data_root)
    reasons = (
        "data of another task",
        "data of another equation",
        "a dataset 'y-coord",
        "runs from",
    )
    assert any(reason in message for reason in reasons)


def test_the_message_names_what_was_found(data_root: Path) -> None:
    path = _write("pdebench/burgers", data_root)
    path.rename(data_root / "1D_Advection_Sols_beta0.4.hdf5")
    assert (
        "the file has the attribute 'Nu', so these are the data of another task, expected 'beta'."
    ) in _error("pdebench/advection", data_root)


def test_unknown_attributes_alone(data_root: Path) -> None:
    path = _write("pdebench/advection", data_root)
    with h5py.File(path, "a") as file:
        del file.attrs["beta"]
    assert task_data.verify("pdebench/advection", data_root=data_root)
    with h5py.File(path, "a") as file:
        file.attrs["speed"] = 0.4
    assert "has the attribute 'speed', so" in _error("pdebench/advection", data_root)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("pdebench/diffusion_sorption", {"por": 0.3}, "'por' is 0.3, so .* expected 0.29 in group"),
        ("pdebench/diffusion_reaction_2d", {"Dv": "1E-3"}, "'Dv' is 1E-3, so .* expected 0.005"),
        ("pdebench/shallow_water", {"gravity": 9.81}, "'gravity' is 9.81, so .* expected 1 in"),
        ("pdebench/shallow_water", {"Du": 1e-3}, "group '0000' has the parameter 'Du', so these"),
    ],
)
def test_another_parameter_of_a_group(
    data_root: Path, name: str, changes: dict[str, Any], expected: str
) -> None:
    path = _write(name, data_root, points=4)
    _edit(path, "0000", **changes)
    with pytest.raises(DataError, match=expected):
        task_data.load(name, data_root=data_root, recipe=Recipe())
    assert str(path) in _error(name, data_root)


def test_verify_checks_the_parameters_of_every_group(data_root: Path) -> None:
    name = "pdebench/diffusion_sorption"
    path = _write(name, data_root, points=4)
    _edit(path, "0007", D=1e-3)
    with pytest.raises(DataError, match=r"'D' is 0.001, so .* expected 0.0005 in group '0007'"):
        task_data.verify(name, data_root=data_root)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_verify_checks_the_coordinates_of_every_group(data_root: Path, axis: str) -> None:
    name = "pdebench/diffusion_reaction_2d"
    path = _write(name, data_root, points=8)
    with h5py.File(path, "a") as file:
        coordinates = file[f"0007/grid/{axis}"][::2]
        del file[f"0007/grid/{axis}"]
        file[f"0007/grid/{axis}"] = coordinates
    with pytest.raises(DataError, match=r"in group '0007' are of .*, expected 8 x 8 as in group"):
        task_data.verify(name, data_root=data_root)
    with h5py.File(path, "a") as file:
        del file["0007/grid"]
    with pytest.raises(DataError, match="group '0007' has no coordinates"):
        task_data.verify(name, data_root=data_root)


@pytest.mark.parametrize("text", ["{", "7", "sim: 3", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_understood(data_root: Path, text: Any) -> None:
    path = _write("pdebench/shallow_water", data_root, points=4)
    with h5py.File(path, "a") as file:
        file["0000"].attrs["config"] = np.bytes_(text) if isinstance(text, bytes) else text
    assert "'config' of group '0000' cannot be understood" in _error(
        "pdebench/shallow_water", data_root
    )


@pytest.mark.parametrize("key", ["0000", "0013"])
def test_a_group_without_data(data_root: Path, key: str) -> None:
    name = "pdebench/diffusion_reaction_2d"
    path = _write(name, data_root, points=4)
    with h5py.File(path, "a") as file:
        del file[key]["data"]
    for act in (
        lambda: task_data.load(name, data_root=data_root, recipe=Recipe()),
        lambda: task_data.verify(name, data_root=data_root),
    ):
        with pytest.raises(DataError, match=f"group '{key}' holds 'grid', expected a dataset 'da"):
            act()
    assert not list((data_root.parent / "cache").glob("prepared/*"))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros((5, 4, 1), np.float32), r"'0013/data' has the shape \(5, 4, 1\), expected"),
        (np.zeros((5, 8, 2), np.float32), r"expected \(5, 8, 1\) as in group '0000'"),
    ],
)
def test_a_group_of_another_shape(data_root: Path, values: Any, found: str) -> None:
    path = _write("pdebench/diffusion_sorption", data_root, points=8)
    with h5py.File(path, "a") as file:
        del file["0013/data"]
        file["0013/data"] = values
    with pytest.raises(DataError, match=found):
        task_data.load("pdebench/diffusion_sorption", data_root=data_root, recipe=Recipe())


def test_values_of_a_group_that_are_not_finite(data_root: Path) -> None:
    path = _write("pdebench/diffusion_sorption", data_root, points=8)
    with h5py.File(path, "a") as file:
        file["0003/data"][4, 2, 0] = np.nan
        file["0011/data"][2, :3, 0] = np.inf  # a frame that the task does not need
    with pytest.raises(DataError, match=r"found 1 values .* first in sample 3 of 'data'"):
        task_data.load("pdebench/diffusion_sorption", data_root=data_root, recipe=Recipe())
    with pytest.raises(DataError, match=r"found 4 values"):
        task_data.verify("pdebench/diffusion_sorption", data_root=data_root)


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("data", np.zeros((5, 9, 1), np.float32), "'0000/data' has the shape (5, 9, 1), expected"),
        ("data", np.zeros((5, 8, 2), np.float32), "on 8 grid points with 1 channels"),
        ("data", np.zeros((6, 8, 1), np.float32), "'0000/data' has 6 frames and 't' 5 entries"),
        ("data", np.zeros((5, 8, 1), np.int32), "'data' is of type int32, expected floating"),
        ("grid/x", None, "group '0000/grid' holds 't', expected a dataset 'x'"),
        ("grid", None, "group '0000' has no coordinates, expected a group 'grid' in it"),
        ("grid/x", np.arange(8.0), "'0000/grid/x' runs from 0 to 7 in steps of 1, expected cell"),
    ],
)
def test_another_layout_of_groups(data_root: Path, name: str, values: Any, found: str) -> None:
    path = _write("pdebench/diffusion_sorption", data_root, points=8)
    with h5py.File(path, "a") as file:
        del file["0000"][name]
        if values is not None:
            file["0000"][name] = values
    assert found in _error("pdebench/diffusion_sorption", data_root)


def test_a_tensor_file_under_the_name_of_a_group_file(data_root: Path) -> None:
    _write("pdebench/burgers", data_root).rename(data_root / "2D_rdb_NA_NA.h5")
    message = _error("pdebench/shallow_water", data_root)
    assert "the file holds a dataset 't-coordinate', expected one group per sample" in message
    with h5py.File(data_root / "2D_rdb_NA_NA.h5", "w"):
        pass
    assert "the file holds nothing" in _error("pdebench/shallow_water", data_root)


def test_a_group_file_under_the_name_of_a_tensor_file(data_root: Path) -> None:
    path = _write("pdebench/shallow_water", data_root, points=4)
    path.rename(data_root / "1D_Burgers_Sols_Nu1.0.hdf5")
    message = _error("pdebench/burgers", data_root)
    assert "the file holds '0000', '0001'" in message and "'0009', ..., expected" in message


@pytest.mark.parametrize("share", [0.3, 0.99])
@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_file_that_was_downloaded_in_part(data_root: Path, name: str, share: float) -> None:
    path = _write(name, data_root, points=16)
    content = path.read_bytes()
    kept = int(len(content) * share)
    path.write_bytes(content[:kept])
    assert f"{path} cannot be read as HDF5" in (message := _error(name, data_root))
    assert f"found {kept} bytes, truncated or damaged, expected a whole file" in message


def test_the_old_upload_of_burgers(data_root: Path, write_hdf5: Write) -> None:
    centres = -1 + (np.arange(8) + 0.5) / 4
    arrays = {"tensor": np.ones((10, 3, 8)), "x-coordinate": centres, "t-coordinate": [0, 1, 2, 3]}
    write_hdf5("1D_Burgers_Sols_Nu1.0.hdf5", {"Nu": 1.0}, arrays)
    message = _error("pdebench/burgers", data_root)
    assert (
        "'x-coordinate' runs from -0.875 to 0.875 in steps of 0.25, expected cell centres"
        in message
    )
    assert "the whole domain (0, 1), not vertices. Files uploaded before Nov" in message
    assert "have the domain (-1, 1)" in message


@pytest.mark.parametrize("name", ["pdebench/compressible_ns_1d", "pdebench/darcy"])
def test_coordinates_that_do_not_span_the_domain(data_root: Path, name: str) -> None:
    path = _write(name, data_root, points=8)
    with h5py.File(path, "a") as file:
        file["x-coordinate"][...] = np.linspace(0.1, 0.5, 8)
    assert "'x-coordinate' runs from 0.1 to 0.5" in _error(name, data_root)


def _advection(speed: float, points: int, frames: int, *, steep: bool) -> dict[str, np.ndarray]:
    """Exact solutions: sums of waves, or windows with edges a few cells wide."""
    rng = np.random.default_rng(3)
    x = (np.arange(points) + 0.5) / points
    times = np.arange(frames + 1) * 2 / (frames - 1)
    at = (x - speed * times[:frames, None]) % 1.0
    if steep:
        left, right = rng.uniform(0.1, 0.4, (20, 1, 1)), rng.uniform(0.6, 0.9, (20, 1, 1))
        tensor = np.tanh((at - left) / 0.01) - np.tanh((at - right) / 0.01)
    else:
        waves, phase = rng.integers(1, 9, (20, 1, 1)), rng.uniform(0, 6, (20, 1, 1))
        tensor = rng.uniform(-1, 1, (20, 1, 1)) + np.sin(2 * np.pi * waves * at + phase)
    return {"tensor": tensor, "x-coordinate": x, "t-coordinate": times}


@pytest.mark.parametrize("steep", [True, False])
@pytest.mark.parametrize("points", [256, 1024])
@pytest.mark.parametrize(("beta", "frames"), [("0.4", 2), ("0.4", 201), ("0.1", 41), ("7.0", 201)])
def test_the_old_upload_of_advection(
    data_root: Path, write_hdf5: Write, beta: str, frames: int, points: int, steep: bool
) -> None:
    name, task = f"1D_Advection_Sols_beta{beta}.hdf5", f"pdebench/advection:beta{beta}"
    arrays = _advection(float(beta), points, frames, steep=steep)
    write_hdf5(name, {"beta": float(beta)}, arrays)
    assert task_data.verify(task, data_root=data_root)
    arrays = _advection(2 * float(beta), points, frames, steep=steep)
    write_hdf5(name, {"beta": float(beta)}, arrays)
    message = _error(task, data_root)
    assert f"the fields move at the speed {2 * float(beta):g}, as in the files upl" in message


def test_a_speed_that_cannot_be_told_passes(data_root: Path, write_hdf5: Write) -> None:
    """Twice round in the end, or four times round: the ends are the same."""
    arrays = _advection(2.0, 64, 2, steep=False)
    write_hdf5("1D_Advection_Sols_beta1.0.hdf5", {"beta": 1.0}, arrays)
    assert task_data.verify("pdebench/advection:beta1.0", data_root=data_root)
