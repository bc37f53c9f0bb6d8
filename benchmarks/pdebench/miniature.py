"""Tiny files in the exact layout of the released ones, by formula, for tests and demonstrations.

The values are smooth and finite and look like the fields of the task, but only those of advection
solve their equation. The root attribute `xmft_origin` says `miniature`, so that no number from
such a file stands beside a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.files import temporary_beside
from benchmarks.pdebench.entry import PdeEntry
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]


def write(
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
    centres: Array = (np.arange(points, dtype=np.float64) + 0.5) / points
    last = entry.problem.targets.time
    times: Array = np.arange(frames + 1, dtype=np.float64) * ((last or 0.0) / (frames - 1))
    rng = np.random.default_rng(seed)
    amplitude, phase = rng.uniform(0.5, 1.5, samples), rng.uniform(0, 2 * np.pi, samples)
    datasets = _fields(entry, amplitude, phase, centres, times[:-1])
    datasets |= {f"{axis}-coordinate": centres for axis in entry.problem.axes}
    if last is not None:
        datasets["t-coordinate"] = times  # one more than there are frames, as in the releases
    path = folder / entry.files[0]
    folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        _write(temporary, datasets, entry.parameters)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write(path: Path, datasets: Mapping[str, Array], parameters: Mapping[str, float]) -> None:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values.astype(np.float32))
        for name, value in parameters.items():
            file.attrs[name] = value
        file.attrs["xmft_origin"] = "miniature"


def _fields(
    entry: PdeEntry, amplitude: Array, phase: Array, x: Array, times: Array
) -> dict[str, Array]:
    parameters, task = entry.parameters, entry.problem.name
    a, p, t = amplitude[:, None, None], phase[:, None, None], times[:, None]
    if task == "pdebench/advection":
        return {"tensor": a * np.sin(2 * np.pi * (x - parameters["beta"] * t) + p)}
    if task == "pdebench/diffusion_reaction_1d":
        start = 0.5 + 0.4 * np.sin(2 * np.pi * x + p)
        growth = np.exp(parameters["rho"] * t)
        return {"tensor": start * growth / (1 + start * (growth - 1))}
    if task == "pdebench/darcy":
        nu = np.where(np.sin(2 * np.pi * x[:, None] + p) * np.cos(2 * np.pi * x) > 0, 1.0, 0.1)
        bump = np.sin(np.pi * x[:, None]) * np.sin(np.pi * x)
        solution = parameters["beta"] * bump / nu.mean(axis=(1, 2), keepdims=True)
        return {"nu": nu, "tensor": solution[:, None]}
    raise RequestError(f"There is no miniature of task '{task}'.")
