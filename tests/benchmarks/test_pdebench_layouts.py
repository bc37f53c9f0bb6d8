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


def _load(data_root: Path, task: str, protocol: Protocol = "clean", **recipe: Any) -> TaskData:
    return task_data.load(task, data_root=data_root, recipe=Recipe(**recipe), protocol=protocol)


def _centres(points: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return low + (high - low) * (np.arange(points) + 0.5) / points


def _digits(*shape: int) -> np.ndarray:
    """An array in which every entry is another whole number above 0, exact in float32."""
    assert np.prod(shape) < 2**24
    return 1 + np.arange(float(np.prod(shape))).reshape(shape)


def _shares(*shape: int) -> np.ndarray:
    """The same between 0 and 1."""
    return _digits(*shape) / 2**14


def _compare(data: TaskData, cut: Any, inputs: np.ndarray, targets: np.ndarray) -> None:
    for split in ("test", "val", "train"):
        part, numbers = getattr(data, split), getattr(cut, split)
        np.testing.assert_array_equal(part.inputs, inputs[numbers])
        np.testing.assert_array_equal(part.targets, targets[numbers])


def test_several_datasets_become_channels(data_root: Path, write_hdf5: Write) -> None:
    fields = {name: _digits(20, 3, 32) + i / 4 for i, name in enumerate(("density", "pressure"))}
    fields["Vx"] = -_digits(20, 3, 32)
    axes = {"x-coordinate": _centres(32, -1, 1), "t-coordinate": np.arange(4) * 0.5}
    name = "1D_CFD_Rand_Eta1.e-8_Zeta1.e-8_periodic_Train.hdf5"
    write_hdf5(name, {"eta": 1e-8, "zeta": 1e-8}, fields | axes)
    data = _load(data_root, "pdebench/compressible_ns_1d:Eta1.e-8_Zeta1.e-8", resolution=8)
    assert data.task.name.endswith(":Eta1.e-8_Zeta1.e-8")
    full = np.stack([fields[name] for name in ("density", "pressure", "Vx")], axis=1)[..., ::4]
    _compare(data, first_tenth_is_test(20, None), full[:, :, 0], full[:, :, 2])


@pytest.mark.parametrize("name", ["128", "64", "7"])
def test_the_grid_in_the_name_of_a_file_may_differ(
    data_root: Path, write_hdf5: Write, name: str
) -> None:
    names = ("density", "pressure", "Vx", "Vy")
    fields = {name: _digits(20, 2, 8, 8) + i / 4 for i, name in enumerate(names)}
    axes = {f"{axis}-coordinate": _centres(8) for axis in "xy"} | {"t-coordinate": [0.0, 1.0, 2.0]}
    file = f"2D_CFD_Rand_M1.0_Eta0.1_Zeta0.1_periodic_{name}_Train.hdf5"
    write_hdf5(file, {"M": 1.0, "eta": 0.1, "zeta": 0.1}, fields | axes)
    write_hdf5("2D_CFD_Rand_M1.0_Eta1.1_Zeta0.1_periodic_64_Train.hdf5", {}, {})
    source = task_data.locate("pdebench/compressible_ns_2d", data_root=data_root, recipe=Recipe())
    assert source.files == (data_root / file,)
    data = _load(data_root, "pdebench/compressible_ns_2d")
    full = np.stack([fields[name] for name in names], axis=1)
    _compare(data, last_tenth_is_test(20, None), full[:, :, 0], full[:, :, 1])
    assert (
        str(data_root / file)
        in task_data.verify("pdebench/compressible_ns_2d", data_root=data_root)[0]
    )


def test_the_official_name_goes_first(data_root: Path) -> None:
    entry = catalog.get("pdebench/compressible_ns_2d")
    assert isinstance(entry, PdeEntry)
    path = write_miniature(entry, data_root / "z", points=4)
    (data_root / path.name.replace("_128_", "_064_")).write_bytes(b"")
    assert entry.candidates(data_root) == {path.name: [path]}


@pytest.mark.parametrize("points", [8, 4])
def test_groups_are_sorted_samples(data_root: Path, write_groups: Write, points: int) -> None:
    values = _shares(24, 5, points, 1)
    grid = {"x": _centres(points), "t": np.linspace(0, 500, 5)}
    sim = {"D": 5e-4, "por": 0.29, "rho_s": 2880, "k_f": 3.5e-4, "n_f": 0.874}
    write_groups("1D_diff-sorp_NA_NA.h5", values, grid, sim)
    data = _load(data_root, "pdebench/diffusion_sorption", resolution=4)
    fields = values[..., :: points // 4, :].transpose(0, 1, 3, 2)
    cut = last_tenth_is_test(24, None)
    assert cut.test.tolist() == [21, 22, 23]
    _compare(data, cut, fields[:, 0], fields[:, 4])


def test_axes_come_in_the_order_x_y(data_root: Path, write_groups: Write) -> None:
    """Both files depend on x and y in unlike ways, each in its own order of the axes."""
    x, y = _centres(6, -1, 1), _centres(6, -1, 1)
    t = np.array([0.0, 2.5, 5.0])
    field = (np.arange(2.0, 12.0)[:, None, None, None] + t[:, None, None]) + x[:, None] + 10 * y**2
    reaction = np.stack([field, -field], axis=-1).swapaxes(2, 3)
    write_groups("2D_diff-react_NA_NA.h5", reaction, {"x": x, "y": y, "t": t})
    scaled = {"x": 2.5 * x, "y": 2.5 * y, "t": t / 5}
    write_groups("2D_rdb_NA_NA.h5", field[..., None], scaled, {"gravity": 1, "dam_radius": 0.3})
    cut = last_tenth_is_test(10, None)
    field = field.astype(np.float32)
    both = np.stack([field, -field], axis=2)
    _compare(_load(data_root, "pdebench/diffusion_reaction_2d"), cut, both[:, 0], both[:, 2])
    _compare(_load(data_root, "pdebench/shallow_water"), cut, both[:, 0, :1], both[:, 2, :1])


def test_blocks_of_groups(
    data_root: Path, write_groups: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = _shares(50, 3, 16, 1)
    write_groups("1D_diff-sorp_NA_NA.h5", values, {"x": _centres(16), "t": [0, 250, 500]})
    monkeypatch.setattr("benchmarks.pdebench.frames.READ_BYTES", 16 * 4 * 7)
    data = _load(data_root, "pdebench/diffusion_sorption", samples=30)
    cut = last_tenth_is_test(50, 30)
    _compare(data, cut, values[:, 0].transpose(0, 2, 1), values[:, 2].transpose(0, 2, 1))


def test_only_the_first_group_is_opened_before_reading(
    data_root: Path, write_groups: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_groups("1D_diff-sorp_NA_NA.h5", _shares(40, 2, 4, 1), {"x": _centres(4), "t": [0, 500]})
    opened: list[str] = []
    original = h5py.Group.__getitem__

    def count(self: Any, name: Any) -> Any:
        opened.append(name)
        return original(self, name)

    monkeypatch.setattr(h5py.Group, "__getitem__", count)
    task_data.locate("pdebench/diffusion_sorption", data_root=data_root, recipe=Recipe())
    assert {name for name in opened if name.isdigit()} == {"0000"}


@pytest.mark.parametrize("samples", [1, 2])
def test_an_excerpt_passes_the_check_but_cannot_be_trained_on(
    data_root: Path, samples: int
) -> None:
    entry = catalog.get("pdebench/diffusion_sorption")
    assert isinstance(entry, PdeEntry)
    write_miniature(entry, data_root, samples=samples)
    lines = task_data.verify(entry.task.name, data_root=data_root)
    assert "  an excerpt: at least 4 samples are needed to train" in lines
    with pytest.raises(DataError, match=f"found {samples} samples, expected at least 4"):
        _load(data_root, entry.task.name)


def test_an_excerpt_in_time(data_root: Path, write_hdf5: Write) -> None:
    arrays = {
        "tensor": _digits(8, 6, 4),
        "x-coordinate": _centres(4),
        "t-coordinate": np.arange(7) * 0.1,
    }
    write_hdf5("1D_Burgers_Sols_Nu1.0.hdf5", {"Nu": 1.0}, arrays)
    lines = task_data.verify("pdebench/burgers", data_root=data_root)
    assert "  an excerpt that ends at t=0.5; the task needs the frame at t=2" in lines
    with pytest.raises(DataError, match=r"lie between t=0 and t=0.5, expected one at t=2"):
        _load(data_root, "pdebench/burgers")


# None: not known, or computed from these files, see test_perfect.
FLOORS = {
    "pdebench/burgers": 4e-4,
    "pdebench/burgers:Nu0.1": None,
    "pdebench/compressible_ns_1d": 2e-4,
    "pdebench/compressible_ns_2d": None,
    "pdebench/diffusion_reaction_2d": 2.8e-5,
    "pdebench/diffusion_sorption": None,
    "pdebench/shallow_water": 8.2e-3,
}


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_the_floor_of_official_files(data_root: Path, name: str, floor: float | None) -> None:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    path = write_miniature(entry, data_root, samples=10, points=4, frames=101)
    assert _load(data_root, name).floor is None  # the numbers of a miniature mean nothing
    with h5py.File(path, "a") as file:
        del file.attrs["xmft_origin"]
    data = _load(data_root, name)
    assert data.origin == "official" and data.perfect is None
    assert data.floor == floor and bool(data.floor_note) == (floor is not None)
    released = _load(data_root, name, "released").floor
    same = entry.problem.pairs("released") == entry.problem.clean
    assert released == (floor if same else None)


@pytest.mark.parametrize(
    ("points", "stride", "floor"),
    [(1024, 1, 1.55e-2), (1024, 4, 1.55e-2), (256, 1, 2.9e-3), (64, 1, None)],
)
def test_the_floor_follows_the_grid_that_was_solved_on(
    data_root: Path, write_groups: Write, points: int, stride: int, floor: float | None
) -> None:
    centres = _centres(points)[::stride]
    # Not constant at the start: what the equation makes of it is not computed.
    data = _digits(10, 2, len(centres), 1) / 2**15
    write_groups("1D_diff-sorp_NA_NA.h5", data, {"x": centres, "t": [0.0, 500.0]})
    assert _load(data_root, "pdebench/diffusion_sorption").floor == floor
    # The second time it comes from the prepared arrays.
    assert _load(data_root, "pdebench/diffusion_sorption").floor == floor


def test_strided_noise_has_no_floor(data_root: Path) -> None:
    for points, floor in ((128, 6.5e-8), (64, None)):
        data = task_data.load(
            "pdebench/diffusion_reaction_2d",
            data_root=data_root,
            recipe=Recipe(samples=10, resolution=points),
        )
        assert data.origin == "generated"
        assert data.floor == floor
