from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from benchmarks import transfer
from tests.benchmarks.refusals import NAME
from tests.mirror import Mirror, mirror


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache of the person who runs the tests out of them."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XMFT_CACHE", str(folder))
    monkeypatch.delenv("XMFT_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small arrays gain nothing from threads, and those that wait take the others' time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A web server that does what tests want of it, asked again without a pause."""
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    with mirror() as running:
        yield running


WriteHdf5 = Callable[..., Path]


@pytest.fixture
def write_hdf5(data_root: Path) -> WriteHdf5:
    """Write a file of the official layout from explicit arrays."""

    def write(name: str, attributes: Mapping[str, Any], datasets: Mapping[str, Any]) -> Path:
        path = data_root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, values in datasets.items():
                array = np.asarray(values)
                file.create_dataset(
                    key, data=array.astype(np.float32) if array.dtype.kind == "f" else array
                )
            file.attrs.update(attributes)
        return path

    return write


@pytest.fixture
def advection_arrays() -> Callable[..., dict[str, Any]]:
    """Value of sample s, frame t, point x: 1000 s + 100 t + x, close to exact in float32."""

    def arrays(samples: int = 30, points: int = 512, frames: int = 9) -> dict[str, Any]:
        times = np.arange(frames + 1) * (2.0 / (frames - 1))
        sample = 1000.0 * np.arange(samples)[:, None, None]
        tensor = sample + 100.0 * times[:frames, None] + np.arange(points) / points
        return {
            "tensor": tensor.astype(np.float64),
            "x-coordinate": (np.arange(points) + 0.5) / points,
            "t-coordinate": times,
        }

    return arrays


@pytest.fixture
def write_groups(data_root: Path) -> WriteHdf5:
    """Write a file with one group per sample from explicit arrays."""

    def write(
        name: str, data: Any, grid: Mapping[str, Any], sim: Mapping[str, Any] | None = None
    ) -> Path:
        path = data_root / name
        with h5py.File(path, "w") as file:
            # Not in order: readers have to sort.
            for number in reversed(range(len(data))):
                group = file.create_group(f"{number:04d}")
                group.create_dataset("data", data=np.asarray(data[number], np.float32))
                for axis, values in grid.items():
                    group.create_dataset(f"grid/{axis}", data=np.asarray(values, np.float32))
                if sim is not None:
                    group.attrs["config"] = yaml.safe_dump({"sim": {**sim, "seed": number}})
        return path

    return write


@pytest.fixture
def good(write_hdf5: WriteHdf5, advection_arrays: Callable[..., dict[str, Any]]) -> Path:
    """A file of advection that nothing is wrong with."""
    return write_hdf5(NAME, {"beta": 0.4}, advection_arrays(points=32))
