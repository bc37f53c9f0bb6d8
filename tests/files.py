"""Tiny files in the exact layout of the released ones, by formula.

The values are smooth and finite and look like the fields of the task, but only those of advection
solve their equation. The root attribute `xmft_origin` says `miniature`, so that no number from
such a file stands beside a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.pdebench.entry import PdeEntry
from benchmarks.pdebench.layout import DATA
from xmft.cache import whole
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]


def write_miniature(
    entry: PdeEntry,
    folder: Path,
    *,
    samples: int = 20,
    points: int = 16,
    frames: int = 5,
    seed: int = 0,
) -> Path:
    """Write a file under its official name, replacing one that is there.

    Args:
        entry: Task or variant.
        folder: Where the file goes; made if it is not there.
        samples: Number of samples.
        points: Points per axis.
        frames: Frames from t=0 to the task's last time, at least 2; ignored without time.
        seed: Of the random phases and amplitudes.

    Returns:
        The file.

    Raises:
        RequestError: the task has no miniature.
    """
    problem = entry.problem
    if problem.name not in _FORMULAS:
        raise RequestError(f"There is no miniature of task '{problem.name}'.")
    low, high = problem.domain
    centres: Array = low + (high - low) * (np.arange(points, dtype=np.float64) + 0.5) / points
    last = problem.clean.time
    times: Array = np.arange(frames + 1, dtype=np.float64) * ((last or 0.0) / (frames - 1))
    rng = np.random.default_rng(seed)
    # Against axes of time and of one or two axes of space.
    axes = (slice(None), *(None,) * (1 + len(problem.axes)))
    amplitude, phase = (
        rng.uniform(0.5, 1.5, samples)[axes],
        rng.uniform(0, 2 * np.pi, samples)[axes],
    )
    grid = np.meshgrid(times[:-1], *([centres] * len(problem.axes)), indexing="ij", sparse=True)
    fields = _FORMULAS[problem.name](entry.parameters, amplitude, phase, *grid)
    path = folder / entry.files[0]
    with whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["xmft_origin"] = "miniature"
        if problem.style == "group":
            _write_groups(file, entry, fields[DATA], centres, times[:-1])
        else:
            _write_tensors(file, entry, fields, centres, None if last is None else times)
    return path


def _write_tensors(
    file: Any, entry: PdeEntry, fields: Mapping[str, Array], centres: Array, times: Array | None
) -> None:
    datasets = {**fields, **{f"{axis}-coordinate": centres for axis in entry.problem.axes}}
    if times is not None:
        datasets["t-coordinate"] = times  # one more than there are frames, as in the releases
    for name, values in datasets.items():
        file.create_dataset(name, data=values.astype(np.float32))
    for name, value in entry.parameters.items():
        file.attrs[name] = value


def _write_groups(file: Any, entry: PdeEntry, data: Array, centres: Array, times: Array) -> None:
    values = entry.problem.configured
    for number, sample in enumerate(data):
        group = file.create_group(f"{number:04d}")
        group.create_dataset(DATA, data=sample.astype(np.float32))
        for axis in entry.problem.axes:
            group.create_dataset(f"grid/{axis}", data=centres.astype(np.float32))
        group.create_dataset("grid/t", data=times.astype(np.float32))
        sim = {name: 0.5 if value is None else value for name, value in values.items()}
        group.attrs["config"] = yaml.safe_dump({"sim": {**sim, "seed": number}})


# Each formula gets the parameters, amplitude and phase `[samples, 1, 1, ...]`, times and the grid
# axes in the order of the file, and returns datasets with the samples first.
_Fields = dict[str, Array]


def _advection(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array) -> _Fields:
    return {"tensor": a * np.sin(2 * np.pi * (x - p["beta"] * t) + phase)}


def _burgers(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array) -> _Fields:
    decay = np.exp(-min(4 * np.pi * p["Nu"], 1.0) * t)
    return {"tensor": a / 2 + a * decay * np.sin(2 * np.pi * (x - a * t / 2) + phase)}


def _reaction(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array) -> _Fields:
    start = 0.5 + 0.4 * np.sin(2 * np.pi * x + phase)
    growth = np.exp(p["rho"] * t)
    return {"tensor": start * growth / (1 + start * (growth - 1))}


def _sorption(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array) -> _Fields:
    start = 0.1 * a
    return {DATA: (start + (1 - start) * np.exp(-x / (0.02 + 0.001 * t)))[..., None]}


def _fluid_1d(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array) -> _Fields:
    wave = np.sin(np.pi * (x - a * t) + phase) * np.exp(-t)
    return {"density": 3 + a * wave, "pressure": 30 + 10 * a * wave, "Vx": a * wave}


def _darcy(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array, y: Array) -> _Fields:
    shape = np.sin(2 * np.pi * x + phase) * np.cos(2 * np.pi * y)
    nu = np.where(shape > 0, 1.0, 0.1)[:, 0]
    bump = np.sin(np.pi * x) * np.sin(np.pi * y)
    return {
        "nu": nu,
        "tensor": p["beta"] * a * bump[:1] / nu.mean(axis=(1, 2))[:, None, None, None],
    }


def _water(p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array, y: Array) -> _Fields:
    front = 0.2 + 0.4 * a + t
    return {DATA: (1 + 1 / (1 + np.exp((np.hypot(x, y) - front) / 0.2)) / (1 + t))[..., None]}


def _activator(
    p: Mapping[str, float], a: Array, phase: Array, t: Array, y: Array, x: Array
) -> _Fields:
    u = a * np.sin(np.pi * x + phase) * np.cos(np.pi * y) * np.exp(-t / 5)
    v = a * np.cos(np.pi * x) * np.sin(2 * np.pi * y + phase) * np.exp(-t / 10)
    return {DATA: np.stack([u, v], axis=-1)}


def _fluid_2d(
    p: Mapping[str, float], a: Array, phase: Array, t: Array, x: Array, y: Array
) -> _Fields:
    wave = np.sin(2 * np.pi * (x - a * t) + phase) * np.cos(2 * np.pi * y + phase) * np.exp(-t)
    turned = np.cos(2 * np.pi * (x - a * t) + phase) * np.sin(2 * np.pi * y) * np.exp(-t)
    velocity = {"Vx": p["M"] * a * wave, "Vy": p["M"] * a * turned}
    return {"density": 3 + a * wave, "pressure": 5 + 2 * a * wave, **velocity}


_FORMULAS: dict[str, Callable[..., _Fields]] = {
    "pdebench/advection": _advection,
    "pdebench/burgers": _burgers,
    "pdebench/diffusion_reaction_1d": _reaction,
    "pdebench/diffusion_sorption": _sorption,
    "pdebench/compressible_ns_1d": _fluid_1d,
    "pdebench/darcy": _darcy,
    "pdebench/shallow_water": _water,
    "pdebench/diffusion_reaction_2d": _activator,
    "pdebench/compressible_ns_2d": _fluid_2d,
}
