"""Files whose numbers are finite and are no data: refused, with the first bad sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench.entry import PdeEntry
from tests.files import write_miniature
from xmft.errors import DataError
from xmft.task import Recipe

PDE_TASKS = [name for name in catalog.names() if name.startswith("pdebench/")]
Edit = Callable[[Any, int], None]
"""Spoils one sample of an open file."""


def _write(name: str, folder: Path, **options: Any) -> tuple[Path, PdeEntry]:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return write_miniature(entry, folder, **{"samples": 20, "points": 8, **options}), entry


def _refused(name: str, data_root: Path) -> list[str]:
    """What the check of the whole file says, and what a run says that reads two frames."""
    messages = []
    with pytest.raises(DataError) as caught:
        task_data.verify(name, data_root=data_root)
    messages.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        task_data.load(name, data_root=data_root, recipe=Recipe())
    return [*messages, str(caught.value)]


def _datasets(file: Any, entry: PdeEntry) -> list[str]:
    names = {
        n for f in (entry.problem.clean.inputs, entry.problem.clean.targets) for n in f.datasets
    }
    return ["data"] if entry.problem.style == "group" else sorted(names)


def _set(file: Any, entry: PdeEntry, number: int, value: Any, frame: int | None = None) -> None:
    """Write a value into a sample, into all of its frames or one of them."""
    for name in _datasets(file, entry):
        held = file[f"{number:04d}/data"] if name == "data" else file[name]
        place: Any = () if name == "data" else (number,)
        if frame is not None and name != "nu":
            place = (*place, frame if name == "data" or len(held[number]) > 1 else 0)
        held[place if place else ...] = value


@pytest.mark.parametrize("name", PDE_TASKS)
@pytest.mark.parametrize("frame", [0, -1, None])
def test_a_frame_of_zeros_is_no_field(name: str, frame: int | None, data_root: Path) -> None:
    path, entry = _write(name, data_root)
    with h5py.File(path, "a") as file:
        for number in (3, 11):
            _set(file, entry, number, 0.0, frame)
    for message in _refused(name, data_root):
        assert "sample 3" in message and "1 more" in message, message
        assert "is zero everywhere" in message or "does not allow" in message


@pytest.mark.parametrize("name", PDE_TASKS)
@pytest.mark.parametrize("fill", [-9999.0, 1e20, 9.969209968386869e36])
def test_marks_of_what_is_missing(name: str, fill: float, data_root: Path) -> None:
    path, entry = _write(name, data_root)
    with h5py.File(path, "a") as file:
        _set(file, entry, 5, fill)
    for message in _refused(name, data_root):
        assert "that mark what is missing" in message and "sample 5" in message, message


@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_sample_twice(name: str, data_root: Path) -> None:
    path, entry = _write(name, data_root)
    with h5py.File(path, "a") as file:
        for dataset in _datasets(file, entry):
            if dataset == "data":
                file["0017/data"][...] = file["0004/data"][()]
            else:
                file[dataset][17] = file[dataset][4]
    if name == "pdebench/shallow_water":  # so few radii fit on a grid that it is usual there
        assert task_data.verify(name, data_root=data_root)
        assert len(task_data.load(name, data_root=data_root).train) > 0
        return
    for message in _refused(name, data_root):
        assert "sample 17 is the same as sample 4" in message, message


@pytest.mark.parametrize(
    ("name", "dataset", "value"),
    [
        ("pdebench/compressible_ns_1d", "density", 0.0),
        ("pdebench/compressible_ns_1d", "pressure", -1e-3),
        ("pdebench/compressible_ns_2d", "density", -2.0),
        ("pdebench/compressible_ns_2d", "pressure", 0.0),
        ("pdebench/darcy", "nu", 0.0),
        ("pdebench/shallow_water", "data", 0.0),
        ("pdebench/diffusion_sorption", "data", 1.2),
        ("pdebench/diffusion_reaction_1d", "tensor", -0.2),
    ],
)
def test_what_the_equation_does_not_allow(
    name: str, dataset: str, value: float, data_root: Path
) -> None:
    """One point of one sample is enough."""
    path, _ = _write(name, data_root)
    with h5py.File(path, "a") as file:
        if dataset == "data":
            file["0006/data"][(-1, *(2,) * (file["0006/data"].ndim - 2), 0)] = value
        else:
            file[dataset][(6, *(-1,) * (file[dataset].ndim - 1))] = value
    for message in _refused(name, data_root):
        assert f"values in sample 6 of '{dataset}' that the equation does not allow" in message


@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_constant_start(name: str, data_root: Path) -> None:
    """The start of diffusion-sorption is one, and some coefficients of Darcy flow are."""
    path, entry = _write(name, data_root)
    with h5py.File(path, "a") as file:
        for dataset in _datasets(file, entry):
            if dataset == "data":
                file["0007/data"][0] = 0.5
            elif dataset == "nu" or file[dataset].shape[1] > 1:
                file[dataset][(7,) if dataset == "nu" else (7, 0)] = 0.5
    if name in ("pdebench/diffusion_sorption", "pdebench/darcy"):
        assert task_data.verify(name, data_root=data_root)
        return
    for message in _refused(name, data_root):
        assert "is the same everywhere at the start of sample 7" in message, message


@pytest.mark.parametrize("chunks", [(1, 5, 8), (4, 5, 8), (3, 2, 4), None])
@pytest.mark.parametrize("fill", [0.0, 0.25])
def test_what_was_never_written_is_told_without_reading_it(
    chunks: tuple[int, ...] | None, fill: float, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = _write("pdebench/advection", data_root)
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


def test_all_that_is_wrong_counts_and_the_first_is_named(data_root: Path) -> None:
    path, _ = _write("pdebench/compressible_ns_1d", data_root)
    with h5py.File(path, "a") as file:
        file["Vx"][9] = np.nan
        file["pressure"][2, :, 3] = np.inf
    for message in _refused("pdebench/compressible_ns_1d", data_root):
        assert "that are NaN or infinite, the first in sample 2 of 'pressure'" in message


@pytest.mark.parametrize("name", PDE_TASKS)
@pytest.mark.parametrize(
    "axis",
    [
        pytest.param(lambda n: np.linspace(0, 1, n), id="vertices"),
        pytest.param(lambda n: np.arange(n) / n, id="left edges"),
        pytest.param(lambda n: (1 + np.arange(n)) / n, id="right edges"),
        pytest.param(lambda n: 0.9 * (np.arange(n) + 0.5) / n, id="short"),
        pytest.param(lambda n: ((np.arange(n) + 0.5) / n) ** 1.2, id="uneven"),
        pytest.param(lambda n: 1 - (np.arange(n) + 0.5) / n, id="falling"),
        pytest.param(lambda n: np.arange(float(n)), id="numbers"),
    ],
)
def test_axes_that_are_no_cell_centres(
    name: str, axis: Callable[[int], np.ndarray], data_root: Path
) -> None:
    path, entry = _write(name, data_root, points=16)
    low, high = entry.problem.domain
    with h5py.File(path, "a") as file:
        last = entry.problem.axes[-1]
        places = (
            [f"{key}/grid/{last}" for key in file] if "0000" in file else [f"{last}-coordinate"]
        )
        for place in places:
            file[place][...] = low + (high - low) * axis(16)
    for message in _refused(name, data_root):
        assert "cell centres" in message or "rise" in message or "equal steps" in message, message


@pytest.mark.parametrize("stride", [2, 8])
@pytest.mark.parametrize("name", ["pdebench/advection", "pdebench/diffusion_reaction_2d"])
def test_every_nth_cell_centre_is_one(name: str, stride: int, data_root: Path) -> None:
    path, entry = _write(name, data_root, points=8)
    low, high = entry.problem.domain
    centres = low + (high - low) * (np.arange(8 * stride) + 0.5)[::stride] / (8 * stride)
    with h5py.File(path, "a") as file:
        for axis in entry.problem.axes:
            places = (
                [f"{key}/grid/{axis}" for key in file] if "0000" in file else [f"{axis}-coordinate"]
            )
            for place in places:
                file[place][...] = centres
    assert task_data.verify(name, data_root=data_root)


@pytest.mark.parametrize("name", [name for name in PDE_TASKS if name != "pdebench/darcy"])
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda n, end: np.arange(float(n)), id="numbers"),
        pytest.param(lambda n, end: 1 + np.arange(float(n)), id="numbers from 1"),
        pytest.param(lambda n, end: 1e3 * np.linspace(0, end, n), id="other units"),
        pytest.param(lambda n, end: end / 4 + np.linspace(0, end, n), id="late start"),
        pytest.param(lambda n, end: end * np.linspace(0, 1, n) ** 2, id="uneven"),
    ],
)
def test_times_that_are_none(
    name: str, times: Callable[[int, float], np.ndarray], data_root: Path
) -> None:
    """Which frame is learned follows from them: numbers of steps would give another one."""
    path, entry = _write(name, data_root, frames=21)
    end = entry.problem.clean.time
    assert end is not None
    with h5py.File(path, "a") as file:
        places = [f"{key}/grid/t" for key in file] if "0000" in file else ["t-coordinate"]
        for place in places:
            file[place][...] = times(len(file[place]), end)
    with pytest.raises(DataError) as caught:
        task_data.load(name, data_root=data_root)
    message = str(caught.value)
    assert any(
        part in message for part in ("not numbers of steps", "equal steps", "expected one at")
    )


@pytest.mark.parametrize("what", ["t", "x"])
def test_a_later_group_with_other_coordinates(what: str, data_root: Path) -> None:
    path, _ = _write("pdebench/diffusion_sorption", data_root)
    with h5py.File(path, "a") as file:
        file[f"0009/grid/{what}"][...] = file[f"0009/grid/{what}"][()] * (
            0.5 if what == "t" else 1.2
        )
    with pytest.raises(DataError, match="0009"):
        task_data.verify("pdebench/diffusion_sorption", data_root=data_root)
