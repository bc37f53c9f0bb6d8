"""Files made by this project's own solvers, in the layout of the released ones.

The equations, parameters and distributions of initial conditions are those of the released
files; the solutions are accurate to the tolerance that each file states in its attributes. Only
the frames that a task needs are stored: the initial and the final one.

Sample i comes from a random stream of its own, made from the seed and i. It is therefore the same
whatever the number of samples, and the same function of space at every resolution. Tasks share
the streams, so that with one seed advection and reaction-diffusion start from the same fields
(reaction-diffusion scales them) and Darcy's coefficients are the same for every beta.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.solvers import advection, darcy, diffusion_reaction
from xmft.errors import DataError, RequestError
from xmft.registry import nearest

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How one task's samples are made.

    Attributes:
        solver: Name and version for the file's attributes; the version goes up whenever the
            numbers change.
        parameters: Names of the equation's parameters, as in the released file's attributes.
        tolerance: Relative L2 accuracy of the stored solutions.
        batch: Samples solved at once. Batches are always full, and what is over is dropped:
            rounding may then depend on the place in the batch, but not on `samples`.
        coordinates: From the resolution to the coordinate datasets.
        solve: From one random generator per sample, the parameters and the resolution to the
            datasets, `[samples, ...]`.
    """

    solver: str
    parameters: tuple[str, ...]
    tolerance: float
    batch: int
    coordinates: Callable[[int], dict[str, Array]]
    solve: Callable[[Sequence[np.random.Generator], Mapping[str, float], int], dict[str, Array]]


def write(
    task_name: str,
    parameters: dict[str, float],
    path: Path,
    *,
    samples: int,
    resolution: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Generate a file; `path` appears complete or not at all.

    Args:
        task_name: A key of `GENERATORS`.
        parameters: Values for the generator's `parameters`, all of them.
        path: Where the file goes; folders are created, a file that is there is replaced.
        samples: Number of samples, at least 1.
        resolution: Points per axis, at least 4.
        seed: Seed of the random streams, not negative.
        progress: Called with the number of samples done and `samples` after every batch.

    Raises:
        RequestError: unknown task, wrong parameters, or a path that cannot be written to.
        DataError: the disk is full or failed, or the solver missed its tolerance.
    """
    generator = _checked(task_name, parameters, samples, resolution, seed)
    if path.is_dir():
        raise RequestError(f"{path} is a folder; give the name of a file in it.")
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _OutputFile(unfinished, "w+") as output:
            with h5py.File(output, "w") as file:
                file.attrs.update({name: float(value) for name, value in parameters.items()})
                file.attrs["xmft_origin"] = "generated"
                file.attrs["xmft_solver"] = generator.solver
                file.attrs["xmft_seed"] = seed
                file.attrs["xmft_tolerance"] = generator.tolerance
                for name, values in generator.coordinates(resolution).items():
                    file.create_dataset(name, data=values.astype(np.float32))
                for first in range(0, samples, generator.batch):
                    rngs = [_rng(seed, first + i) for i in range(generator.batch)]
                    arrays = generator.solve(rngs, parameters, resolution)
                    done = min(first + generator.batch, samples)
                    _write_batch(file, arrays, first, done, samples)
                    output.check()
                    if progress is not None:
                        progress(done, samples)
            output.check()
        unfinished.replace(path)
    except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise RequestError(
            f"Cannot write {path}: {error.strerror}. Choose another data folder."
        ) from error
    except OSError as error:
        raise DataError(
            f"Writing {path} failed: {error.strerror or error}. Nothing was kept of it. Free some "
            "space, ask for fewer samples, or choose another data folder."
        ) from error
    finally:
        # The folder itself may be what is missing, and that error must not hide the first one.
        with contextlib.suppress(OSError):
            unfinished.unlink()


def signature(
    task_name: str, parameters: dict[str, float], *, samples: int, resolution: int, seed: int
) -> str:
    """Return the identity of the data that `write` would make with these arguments.

    Returns:
        The sha256, in hexadecimal, of the arguments and the solver's version.

    Raises:
        RequestError: unknown task or wrong parameters.
    """
    generator = _checked(task_name, parameters, samples, resolution, seed)
    content = {
        "task": task_name,
        "parameters": {name: float(value) for name, value in parameters.items()},
        "samples": samples,
        "resolution": resolution,
        "seed": seed,
        "solver": generator.solver,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class _OutputFile(io.FileIO):
    """A file that keeps its first write error for `check` instead of raising it.

    The HDF5 library does not survive an error while it closes a file (a full disk ends in a
    segmentation fault), so it must not see one.
    """

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        written = 0
        while self.error is None and written < len(view):
            try:
                written += super().write(view[written:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def _checked(
    task_name: str, parameters: Mapping[str, float], samples: int, resolution: int, seed: int
) -> Generator:
    if task_name not in GENERATORS:
        raise RequestError(f"Task '{task_name}' has no generator. {nearest(task_name, GENERATORS)}")
    generator = GENERATORS[task_name]
    if set(parameters) != set(generator.parameters):
        raise RequestError(
            f"Task '{task_name}' needs values for {', '.join(generator.parameters)}; "
            f"found {', '.join(sorted(parameters)) or 'none'}."
        )
    for name, value in parameters.items():
        if not math.isfinite(value):
            raise RequestError(f"{name} must be finite; found {value}.")
    for name, found, least in (
        ("samples", samples, 1),
        ("resolution", resolution, 4),
        ("seed", seed, 0),
    ):
        if found < least:
            raise RequestError(f"{name} must be at least {least}; found {found}.")
    return generator


def _rng(seed: int, sample: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(sample,)))


def _write_batch(
    file: h5py.File, arrays: Mapping[str, Array], first: int, done: int, samples: int
) -> None:
    for name, values in arrays.items():
        if name not in file:
            # Not compressed: gzip takes eight times as long for a solution and saves a tenth.
            shape = values.shape[1:]
            file.create_dataset(name, (samples, *shape), np.float32, chunks=(1, *shape))
        file[name][first:done] = values[: done - first].astype(np.float32)


GENERATORS: dict[str, Generator] = {
    "pdebench/advection": Generator(
        solver="advection 1: closed form",
        parameters=("beta",),
        tolerance=1e-7,  # rounding to float32
        batch=32,
        coordinates=advection.coordinates,
        solve=advection.samples,
    ),
    "pdebench/diffusion_reaction_1d": Generator(
        solver="diffusion_reaction 1: Fourier, Strang splitting, extrapolated",
        parameters=("Nu", "rho"),
        tolerance=diffusion_reaction.TOLERANCE,
        batch=32,
        coordinates=diffusion_reaction.coordinates,
        solve=diffusion_reaction.samples,
    ),
    "pdebench/darcy": Generator(
        solver="darcy 1: finite volumes, direct",
        parameters=("beta",),
        tolerance=1e-6,  # of the discrete problem; the residual is far below, float32 is not
        batch=4,
        coordinates=darcy.coordinates,
        solve=darcy.samples,
    ),
}
