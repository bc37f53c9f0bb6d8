"""Files whose numbers are finite and are no data: refused, with the first bad sample."""

from __future__ import annotations

import re
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
from tests.benchmarks.refusals import refused, write
from xmft.errors import DataError

PDE_TASKS = [name for name in catalog.names() if name.startswith("pdebench/")]
Edit = Callable[[Any, int], None]
"""Spoils one sample of an open file."""


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
    path, entry = write(name, data_root)
    with h5py.File(path, "a") as file:
        for number in (3, 11):
            _set(file, entry, number, 0.0, frame)
    for message in refused(name, data_root):
        assert "sample 3" in message and "1 more" in message, message
        assert "is zero everywhere in a frame" in message


@pytest.mark.parametrize("name", PDE_TASKS)
@pytest.mark.parametrize("fill", [-9999.0, 9999.0, -32768.0, -1e15, 1e20, 9.969209968386869e36])
def test_marks_of_what_is_missing(name: str, fill: float, data_root: Path) -> None:
    path, entry = write(name, data_root)
    with h5py.File(path, "a") as file:
        _set(file, entry, 5, fill)
    for message in refused(name, data_root):
        assert "that mark what is missing" in message and "sample 5" in message, message


@pytest.mark.parametrize("fill", [-9999.0, 1e20])
def test_one_point_that_is_missing(fill: float, data_root: Path) -> None:
    path, _ = write("pdebench/advection", data_root)
    with h5py.File(path, "a") as file:
        file["tensor"][8, -1, 5] = fill
    for message in refused("pdebench/advection", data_root):
        assert "that mark what is missing" in message and "sample 8 of 'tensor'," in message


def test_a_number_among_its_like_is_no_mark(data_root: Path) -> None:
    """Fields of whole numbers may hold -9999 and 999."""
    path, _ = write("pdebench/advection", data_root)
    for first in (-10_001, -1001, 996):
        with h5py.File(path, "a") as file:
            file["tensor"][6] = first + np.arange(40.0).reshape(5, 8)
        assert task_data.verify("pdebench/advection", data_root=data_root)


@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_later_frame_that_is_the_same_everywhere(name: str, data_root: Path) -> None:
    """Where the equation comes to rest it is a solution, elsewhere one value for all points."""
    path, entry = write(name, data_root)
    with h5py.File(path, "a") as file:
        for dataset in _datasets(file, entry):
            if dataset == "data":
                file["0007/data"][-1] = 0.5
            elif dataset != "nu":
                file[dataset][7, -1] = 0.5
    if name in ("pdebench/burgers", "pdebench/diffusion_reaction_1d"):
        assert task_data.verify(name, data_root=data_root)
        assert len(task_data.load(name, data_root=data_root).train) > 0
        return
    for message in refused(name, data_root):
        assert "is the same everywhere in a later frame of sample 7" in message, message


@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_sample_twice(name: str, data_root: Path) -> None:
    path, entry = write(name, data_root)
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
    for message in refused(name, data_root):
        assert "sample 17 is the same as sample 4" in message, message


@pytest.mark.parametrize(
    "name", ["pdebench/diffusion_reaction_1d", "pdebench/diffusion_reaction_2d"]
)
def test_a_test_sample_that_was_trained_on_under_unequal_times(name: str, data_root: Path) -> None:
    """Its targets lie at another time, so that the inputs alone tell."""
    path, entry = write(name, data_root, frames=101)
    first, last = (0, 17) if entry.problem.test == "first" else (4, 19)
    with h5py.File(path, "a") as file:
        if name.endswith("1d"):
            file["tensor"][last] = file["tensor"][first]
        else:
            file[f"{last:04d}/data"][...] = file[f"{first:04d}/data"][()]
    with pytest.raises(DataError, match=r"sample \d+ is the same as sample \d+") as caught:
        task_data.load(name, data_root=data_root, protocol="released")
    assert {f"sample {first}", f"sample {last}"} <= set(
        re.findall(r"sample \d+", str(caught.value))
    )


@pytest.mark.parametrize(("copies", "fine"), [(2, True), (3, False)])
def test_concentrations_that_are_equal_by_chance(copies: int, fine: bool, data_root: Path) -> None:
    """One number in single precision tells a sample: of two thousand, two may have the same."""
    name = "pdebench/diffusion_sorption"
    path, _ = write(name, data_root, samples=2000, points=4, frames=2)
    with h5py.File(path, "a") as file:
        for number in range(copies):
            file[f"{100 + number:04d}/data"][...] = file[f"{number:04d}/data"][()]
    if fine:
        assert len(task_data.load(name, data_root=data_root).train) > 0
        return
    with pytest.raises(DataError, match="sample 100 is the same as sample 0 and in 2 more"):
        task_data.load(name, data_root=data_root)


@pytest.mark.parametrize("name", ["pdebench/shallow_water", "pdebench/diffusion_reaction_2d"])
def test_two_groups_of_one_seed(name: str, data_root: Path) -> None:
    """Where equal fields are usual the seeds tell a sample that was merged twice."""
    path, _ = write(name, data_root)
    with h5py.File(path, "a") as file:
        config = yaml.safe_load(file["0012"].attrs["config"])
        config["sim"]["seed"] = 5
        file["0012"].attrs["config"] = yaml.safe_dump(config)
    with pytest.raises(DataError, match=r"groups '0005' and '0012' .* seed 5 .* \(1 of 20 come"):
        task_data.verify(name, data_root=data_root)
    with h5py.File(path, "a") as file:
        for group in file.values():
            group.attrs["config"] = re.sub(r"seed: \d+", "seed: 5", group.attrs["config"])
    assert task_data.verify(name, data_root=data_root)  # of the whole run, not of a sample


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
        ("pdebench/diffusion_sorption", "data", -0.01),
        ("pdebench/diffusion_reaction_1d", "tensor", -0.2),
        ("pdebench/diffusion_reaction_1d", "tensor", 1.02),
    ],
)
def test_what_the_equation_does_not_allow(
    name: str, dataset: str, value: float, data_root: Path
) -> None:
    """One point of one sample is enough."""
    path, _ = write(name, data_root)
    with h5py.File(path, "a") as file:
        if dataset == "data":
            file["0006/data"][(-1, *(2,) * (file["0006/data"].ndim - 2), 0)] = value
        else:
            file[dataset][(6, *(-1,) * (file[dataset].ndim - 1))] = value
    for message in refused(name, data_root):
        assert f"values in sample 6 of '{dataset}' that the equation does not allow" in message


@pytest.mark.parametrize("name", PDE_TASKS)
def test_a_constant_start(name: str, data_root: Path) -> None:
    """The start of diffusion-sorption is one, and some coefficients of Darcy flow are."""
    path, entry = write(name, data_root)
    with h5py.File(path, "a") as file:
        for dataset in _datasets(file, entry):
            if dataset == "data":
                file["0007/data"][0] = 0.5
            elif dataset == "nu" or file[dataset].shape[1] > 1:
                file[dataset][(7,) if dataset == "nu" else (7, 0)] = 0.5
    if name in ("pdebench/diffusion_sorption", "pdebench/darcy"):
        assert task_data.verify(name, data_root=data_root)
        return
    for message in refused(name, data_root):
        assert "is the same everywhere at the start of sample 7" in message, message


def test_all_that_is_wrong_counts_and_the_first_is_named(data_root: Path) -> None:
    path, _ = write("pdebench/compressible_ns_1d", data_root)
    with h5py.File(path, "a") as file:
        file["Vx"][9] = np.nan
        file["pressure"][2, :, 3] = np.inf
    for message in refused("pdebench/compressible_ns_1d", data_root):
        assert "that are NaN or infinite, the first in sample 2 of 'pressure'" in message
