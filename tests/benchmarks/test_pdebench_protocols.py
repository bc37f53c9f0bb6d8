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
from benchmarks.splits import first_tenth_is_test, last_tenth_is_test
from tests.files import write_miniature
from xmft.errors import DataError
from xmft.task import Protocol, Recipe, TaskData

Write = Callable[..., Path]
PDE_TASKS = [name for name in catalog.names() if name.startswith("pdebench/")]


def _load(data_root: Path, task: str, protocol: Protocol, **recipe: Any) -> TaskData:
    return task_data.load(task, data_root=data_root, recipe=Recipe(**recipe), protocol=protocol)


def _entry(name: str) -> PdeEntry:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return entry


def _sets(data: TaskData) -> dict[str, np.ndarray]:
    return {name: getattr(data, name).inputs for name in ("test", "val", "train")}


@pytest.mark.parametrize("name", PDE_TASKS)
def test_both_protocols_share_the_test_block_and_nothing_else_changes_hands(
    name: str, data_root: Path
) -> None:
    write_miniature(_entry(name), data_root, samples=40, points=6, frames=101)
    clean, released = (_load(data_root, name, protocol) for protocol in ("clean", "released"))
    assert clean.task == _entry(name).task_under("clean")
    assert released.task == _entry(name).task_under("released")
    assert (clean.task == released.task) == ("compressible" not in name)
    assert clean.fingerprint != released.fingerprint
    assert len(released.val) >= 1
    channels = released.train.inputs.shape[1]
    for split, inputs in _sets(released).items():
        other = _sets(clean)[split][:, :channels]
        if "compressible" not in name:
            np.testing.assert_array_equal(inputs, other)
        assert len(inputs) == len(other)


UNEQUAL = pytest.mark.parametrize(
    ("name", "times"),
    [
        ("pdebench/diffusion_reaction_1d", (0.29, 0.99, 1.0)),
        ("pdebench/diffusion_sorption", (500.0, 495.0, 500.0)),
        ("pdebench/shallow_water", (1.0, 0.99, 1.0)),
        ("pdebench/diffusion_reaction_2d", (5.0, 4.95, 5.0)),
    ],
)


@UNEQUAL
@pytest.mark.parametrize("frames", [101, 201])
def test_targets_at_unequal_times(
    name: str, times: tuple[float, float, float], frames: int, data_root: Path
) -> None:
    """The frames that the public code knows as 29, 99 and 100 of 101."""
    path = write_miniature(_entry(name), data_root, samples=10, points=4, frames=frames)
    with h5py.File(path) as file:
        if path.suffix == ".h5":
            fields = np.stack([file[key]["data"][()] for key in sorted(file)])
            fields = np.moveaxis(fields, -1, 2)
        else:
            fields = file["tensor"][()][:, :, None]
    if name == "pdebench/diffusion_reaction_2d":
        fields = fields.swapaxes(-1, -2)  # stored as y, x
    group = path.suffix == ".h5"
    cut = (last_tenth_is_test if group else first_tenth_is_test)(10, None)
    train, test, clean = (round(time / times[2] * (frames - 1)) for time in times)
    channel = slice(1, 2) if name == "pdebench/diffusion_reaction_2d" else slice(None)
    released = _load(data_root, name, "released")
    np.testing.assert_array_equal(released.train.targets, fields[cut.train, train, channel])
    np.testing.assert_array_equal(released.val.targets, fields[cut.val, train, channel])
    np.testing.assert_array_equal(released.test.targets, fields[cut.test, test, channel])
    for split in ("train", "val", "test"):
        targets = getattr(_load(data_root, name, "clean"), split).targets
        np.testing.assert_array_equal(targets, fields[getattr(cut, split), clean])


@UNEQUAL
@pytest.mark.parametrize("frames", [41, 21, 5])
def test_frames_that_are_not_those_of_the_public_code_are_refused(
    name: str, times: tuple[float, float, float], frames: int, data_root: Path
) -> None:
    """The nearest frame to the time of the test may be that of training, and the score too good."""
    write_miniature(_entry(name), data_root, samples=10, points=4, frames=frames)
    with pytest.raises(DataError) as caught:
        task_data.locate(name, data_root=data_root, protocol="released")
    message = str(caught.value)
    train, test, last = times
    step = last / (frames - 1)
    nearest = [round(time / step) * step for time in (train, test)]
    assert f"the {frames} frames of" in message
    assert f"expected one at t={train:g} to train on and one at t={test:g} to test on" in message
    assert f"(the nearest are at t={nearest[0]:g} and t={nearest[1]:g})" in message
    assert "under the protocol 'clean'" in message and "Move the file away" not in message
    with pytest.raises(DataError, match="to test on"):
        _load(data_root, name, "released")
    assert len(_load(data_root, name, "clean").test) == 1


def test_the_first_channel_predicts_the_second(data_root: Path) -> None:
    name = "pdebench/diffusion_reaction_2d"
    write_miniature(_entry(name), data_root, samples=12, points=5, frames=101)
    clean, released = (_load(data_root, name, protocol) for protocol in ("clean", "released"))
    assert clean.train.inputs.shape[1:] == clean.train.targets.shape[1:] == (2, 5, 5)
    np.testing.assert_array_equal(released.train.inputs, clean.train.inputs[:, :1])
    np.testing.assert_array_equal(released.train.targets, clean.train.targets[:, 1:])


@pytest.mark.parametrize("frames", [2, 3])
def test_no_frame_near_an_early_target_is_an_error(data_root: Path, frames: int) -> None:
    name = "pdebench/diffusion_reaction_1d"
    write_miniature(_entry(name), data_root, samples=10, points=4, frames=frames)
    with pytest.raises(DataError, match=r"between t=0 and t=1, expected one at t=0.29"):
        _load(data_root, name, "released")
    assert len(_load(data_root, name, "clean").test) == 1


def _fluid(samples: int, points: tuple[int, ...]) -> tuple[dict[str, Any], np.ndarray]:
    """Datasets of two frames, and the same as `[n, frames, channels, *grid]`."""
    rng = np.random.default_rng(5)
    names = ("density", "pressure", "Vx", "Vy")[: 2 + len(points)]
    scale = np.array([3.0, 40.0, 0.5, 0.5])
    datasets = {
        name: (scale[i] * (2 + rng.uniform(-1, 1, (samples, 3, *points)))).astype(np.float32)
        for i, name in enumerate(names)
    }
    fields = np.stack([datasets[name] for name in names], axis=2).astype(np.float64)
    return datasets, fields


def test_1d_fields_are_scaled_by_the_training_inputs(data_root: Path, write_hdf5: Write) -> None:
    datasets, fields = _fluid(30, (6,))
    axes = {"x-coordinate": (np.arange(6) - 2.5) / 3, "t-coordinate": [0, 0.5, 1, 1.5]}
    name = "1D_CFD_Rand_Eta0.1_Zeta0.1_periodic_Train.hdf5"
    write_hdf5(name, {"eta": 0.1, "zeta": 0.1}, datasets | axes)
    data = _load(data_root, "pdebench/compressible_ns_1d", "released")
    cut = first_tenth_is_test(30, None)
    start = fields[cut.train, 0]
    mean, deviation = start.mean(axis=0), start.std(axis=0, ddof=1)
    for split in ("test", "val", "train"):
        part, numbers = getattr(data, split), getattr(cut, split)
        for values, frame in ((part.inputs, 0), (part.targets, 2)):
            expected = (fields[numbers, frame] - mean) / (deviation + 1e-5)
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
            assert values.dtype == np.float32


def test_2d_fields_are_scaled_by_a_hundred_training_samples_at_each_frame(
    data_root: Path, write_hdf5: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets, fields = _fluid(150, (3, 4))
    axes: dict[str, Any] = {"t-coordinate": [0, 0.5, 1, 1.5]}
    axes |= {"x-coordinate": (np.arange(3) + 0.5) / 3, "y-coordinate": (np.arange(4) + 0.5) / 4}
    file = "2D_CFD_Rand_M1.0_Eta0.1_Zeta0.1_periodic_128_Train.hdf5"
    write_hdf5(file, {"M": 1.0, "eta": 0.1, "zeta": 0.1}, datasets | axes)
    monkeypatch.setattr("benchmarks.pdebench.frames.READ_BYTES", 12 * 4 * 4 * 7)  # many blocks
    monkeypatch.setattr(
        "benchmarks.pdebench.fitting._stride", lambda *_: 1
    )  # unequal axes, for the test alone
    data = _load(data_root, "pdebench/compressible_ns_2d", "released")
    cut = last_tenth_is_test(150, None)
    chosen = cut.train[:100]
    for split in ("test", "val", "train"):
        part, numbers = getattr(data, split), getattr(cut, split)
        for values, frame in ((part.inputs, 0), (part.targets, 2)):
            own = fields[chosen, frame]
            expected = (fields[numbers, frame] - own.mean(0)) / (own.std(0, ddof=1) + 1e-5)
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pdebench/compressible_ns_1d", "pdebench/compressible_ns_2d"])
def test_the_scaling_never_sees_validation_and_test(name: str, data_root: Path) -> None:
    path = write_miniature(_entry(name), data_root, samples=30, points=4)
    before = _load(data_root, name, "released")
    cut = (first_tenth_is_test if "1d" in name else last_tenth_is_test)(30, None)
    with h5py.File(path, "a") as file:
        for number in (*cut.test, *cut.val):
            file["density"][number] *= 100
    after = _load(data_root, name, "released")
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.train.inputs, before.train.inputs)
    np.testing.assert_array_equal(after.train.targets, before.train.targets)
    assert not np.array_equal(after.test.inputs, before.test.inputs)


def test_clean_fields_are_physical(data_root: Path) -> None:
    path = write_miniature(_entry("pdebench/compressible_ns_1d"), data_root, samples=10, points=4)
    data = _load(data_root, "pdebench/compressible_ns_1d", "clean")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(data.test.targets[0, 1], file["pressure"][0, -1])
