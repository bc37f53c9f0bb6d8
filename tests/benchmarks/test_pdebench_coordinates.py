"""Coordinates and times: what is learned must be the frame and the points that the task says."""

from __future__ import annotations

import re
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
TIMED = [name for name in PDE_TASKS if name != "pdebench/darcy"]


def _write(name: str, folder: Path, **options: Any) -> tuple[Path, PdeEntry]:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return write_miniature(entry, folder, **{"samples": 20, "points": 8, **options}), entry


def _refused(name: str, data_root: Path) -> str:
    """What the check of the whole file, a plan and a run say, the same thing."""
    messages = set()
    for act in (
        lambda: task_data.verify(name, data_root=data_root),
        lambda: task_data.locate(name, data_root=data_root),
        lambda: task_data.load(name, data_root=data_root, recipe=Recipe()),
    ):
        with pytest.raises(DataError) as caught:
            act()
        messages.add(str(caught.value))
    (message,) = messages
    return message


def _set_axis(path: Path, axis: str, values: np.ndarray) -> None:
    with h5py.File(path, "a") as file:
        places = (
            [f"{key}/grid/{axis}" for key in file] if "0000" in file else [f"{axis}-coordinate"]
        )
        for place in places:
            held = file[place][()]
            del file[place]
            file[place] = np.asarray(values[: len(held)], np.float32)


# Where on the unit interval the points lie, and what the error has to say.
AXES = {
    "vertices": (lambda n: np.linspace(0, 1, n), "If the fields do lie at the centres, write"),
    "left edges": (lambda n: np.arange(n) / n, "If the fields do lie at the centres, write"),
    "right edges": (lambda n: (1 + np.arange(n)) / n, "If the fields do lie at the centres, write"),
    "to the edge": (lambda n: np.linspace(0.5 / n, 1, n), "If the fields do lie at the centres"),
    "short": (lambda n: 0.9 * (np.arange(n) + 0.5) / n, "cell centres of the whole domain"),
    "half": (lambda n: 0.5 * (np.arange(n) + 0.5) / n, "cell centres of the whole domain"),
    "from the second": (lambda n: (np.arange(n) + 0.75) / n, "cell centres of the whole domain"),
    "one too few": (lambda n: (np.arange(n) + 0.5) / (n + 1), "cell centres of the whole domain"),
    "uneven": (
        lambda n: (np.arange(n) + 0.5 + 0.3 * (np.arange(n) == 6)) / n,
        "equal steps",
    ),
    "falling": (lambda n: 1 - (np.arange(n) + 0.5) / n, "It falls: turn it round"),
    "numbers": (lambda n: np.arange(float(n)), "cell centres of the whole domain"),
    "twice": (lambda n: (np.arange(n) // 2 * 2 + 0.5) / n, "does not rise from entry to entry"),
}


@pytest.mark.parametrize("name", PDE_TASKS)
@pytest.mark.parametrize("kind", AXES)
def test_axes_that_are_no_cell_centres(name: str, kind: str, data_root: Path) -> None:
    points, expected = AXES[kind]
    path, entry = _write(name, data_root, points=16)
    low, high = entry.problem.domain
    _set_axis(path, entry.problem.axes[-1], low + (high - low) * points(16))
    message = _refused(name, data_root)
    assert expected in message, message
    if expected.startswith("If"):
        half = (high - low) / 32
        assert f"write these, {low + half:g} to {high - half:g} in steps of" in message


@pytest.mark.parametrize("points", [8, 64])
@pytest.mark.parametrize("stride", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("name", PDE_TASKS)
def test_every_nth_cell_centre_is_one(name: str, stride: int, points: int, data_root: Path) -> None:
    """Of files strided from the first point on, in single precision."""
    path, entry = _write(name, data_root, points=points, samples=5, frames=2)
    low, high = entry.problem.domain
    centres = low + (high - low) * (np.arange(points * stride) + 0.5) / (points * stride)
    for axis in entry.problem.axes:
        _set_axis(path, axis, centres[::stride])
    assert task_data.verify(name, data_root=data_root)
    if stride >= 8:
        # Another of the points that a stride leaves out: its fields are those of no released file.
        _set_axis(path, entry.problem.axes[0], centres[1::stride])
        assert "cell centres of the whole domain" in _refused(name, data_root)


# From the number of entries and the last time to times; what the error says.
TIMES = {
    "numbers": (lambda n, end: np.arange(float(n)), "not numbers of steps"),
    "numbers from 1": (lambda n, end: 1 + np.arange(float(n)), "not numbers of steps"),
    "other units": (lambda n, end: 1e3 * np.linspace(0, end, n), "or other units"),
    "late start": (lambda n, end: end / 20 + np.arange(n) * end / 20, "times from t=0"),
    "just late": (lambda n, end: end / 200 + np.arange(n) * end / 20, "times from t=0"),
    "just beyond": (lambda n, end: np.arange(n) * end / 19.5, "at most"),
    "uneven": (lambda n, end: end * np.linspace(0, 1, n) ** 2, "equal steps"),
    "gap": (lambda n, end: (np.arange(n) + 3 * (np.arange(n) > 9)) * end / 24, "equal steps"),
}


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("kind", TIMES)
def test_times_that_are_none(name: str, kind: str, data_root: Path) -> None:
    """Which frame is learned follows from them: numbers of steps would give another one."""
    path, entry = _write(name, data_root, frames=21)
    end = entry.problem.clean.time
    assert end is not None
    times, expected = TIMES[kind]
    _set_axis(path, "t", times(22, end))
    message = _refused(name, data_root)
    assert expected in message, message
    if kind.startswith("numbers"):
        apart = f"with 21 frames to the end, {end / 20:g} apart"
        assert f"write their times ({apart})" in message


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("short", [0.5, 0.95, 0.99])
def test_frames_that_end_early_are_an_excerpt(name: str, short: float, data_root: Path) -> None:
    """The last frame is learned for none but its own time, however near the end it is."""
    path, entry = _write(name, data_root, frames=21)
    end = entry.problem.clean.time
    assert end is not None
    _set_axis(path, "t", np.arange(22) * short * end / 20)
    lines = task_data.verify(name, data_root=data_root)
    assert f"an excerpt that ends at t={short * end:g}; the task needs" in "\n".join(lines)
    with pytest.raises(DataError, match=rf"lie between t=0 and t={short * end:g}, expected one"):
        task_data.load(name, data_root=data_root)


@pytest.mark.parametrize("entries", [20, 23, 101])
def test_times_of_other_frames(entries: int, data_root: Path) -> None:
    """Frames were left out of the fields alone, or of the times alone."""
    path, _ = _write("pdebench/advection", data_root, frames=21)
    with h5py.File(path, "a") as file:
        del file["t-coordinate"]
        file["t-coordinate"] = np.arange(entries) * 2.0 / (entries - 1)
    message = _refused("pdebench/advection", data_root)
    assert f"'tensor' has 21 frames and 't-coordinate' {entries} entries" in message


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("name", TIMED)
def test_summed_times_are_times(name: str, extra: int, data_root: Path) -> None:
    """A program that adds up a step in single precision is off in the last digits."""
    path, entry = _write(name, data_root, frames=201, samples=5)
    end = entry.problem.clean.time
    assert end is not None
    times = np.cumsum(np.full(201 + extra, end / 200, np.float32), dtype=np.float32)
    times = np.concatenate([[np.float32(0)], times[:-1]])
    whole = name == "pdebench/diffusion_sorption"  # its steps are
    assert whole or not np.array_equal(times[:201], np.linspace(0, end, 201).astype(np.float32))
    with h5py.File(path, "a") as file:
        for place in [f"{key}/grid/t" for key in file] if "0000" in file else ["t-coordinate"]:
            del file[place]
            file[place] = times
    assert task_data.verify(name, data_root=data_root)
    assert len(task_data.load(name, data_root=data_root).test) == 1


@pytest.mark.parametrize(
    ("what", "change", "expected"),
    [
        ("t", lambda t: 0.5 * t, "the times in group '0009' run from 0 to 250, expected those of"),
        ("t", lambda t: np.arange(float(len(t))), "not numbers of steps"),
        ("x", lambda x: 1.2 * x, "'0009/grid/x' runs from"),
        ("x", lambda x: x - x[0], "'0009/grid/x' runs from"),
        ("x", lambda x: x[::-1], "'0009/grid/x' of shape"),
    ],
)
def test_a_later_group_with_other_coordinates(
    what: str, change: Callable[[np.ndarray], np.ndarray], expected: str, data_root: Path
) -> None:
    """A run tells too: the frame that it takes of each sample is that of the first one's times."""
    path, _ = _write("pdebench/diffusion_sorption", data_root)
    with h5py.File(path, "a") as file:
        place = f"0009/grid/{what}"
        file[place][...] = change(file[place][()])
    for act in (task_data.verify, task_data.load):
        with pytest.raises(DataError, match=re.escape(expected)):
            act("pdebench/diffusion_sorption", data_root=data_root)  # type: ignore[operator]
