"""Files made by this project's own solvers, in the layout of the released ones.

The equations, parameters and distributions of initial conditions are those of the released
files; the solutions are accurate to the tolerance that each file states in its attributes.

Sample i comes from a random stream of its own, made from the seed and i. It is therefore the same
whatever the number of samples, and the same function of space at every resolution. Tasks share
the streams, so that with one seed advection and reaction-diffusion start from the same fields
(reaction-diffusion scales them) and Darcy's coefficients are the same for every beta.
"""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from benchmarks import files
from benchmarks.entry import Frames
from benchmarks.pdebench import batches, output
from benchmarks.pdebench.solvers import (
    Array,
    Solver,
    advection,
    burgers,
    compressible_ns_1d,
    compressible_ns_2d,
    darcy,
    diffusion_reaction,
    diffusion_reaction_2d,
    diffusion_sorption,
    shallow_water,
)
from xmft.cache import key, whole
from xmft.errors import DataError, RequestError
from xmft.registry import nearest


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How one task's samples are made.

    Attributes:
        solver: The module that solves.
        parameters: Names of the equation's parameters, as in the released file's attributes.
        configuration: For files with one group per sample: from the points per axis to what each
            group's configuration says of the simulation. None for files of the "tensor" style.
    """

    solver: Solver
    parameters: tuple[str, ...] = ()
    configuration: Callable[[int], Mapping[str, Any]] | None = None

    def times(self, frames: Frames) -> Array:
        """Return the times of the frames that are stored."""
        times = self.solver.TIMES
        return times if frames == "all" or len(times) < 3 else times[[0, -1]]


def write(
    task_name: str,
    parameters: Mapping[str, float],
    path: Path,
    *,
    samples: int,
    resolution: int,
    seed: int,
    frames: Frames = "ends",
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Generate a file; `path` appears complete or not at all.

    Args:
        task_name: A key of `GENERATORS`.
        parameters: Values for the generator's `parameters`, all of them.
        path: Where the file goes; folders are created, a file that is there is replaced.
        samples: Number of samples, at least 1.
        resolution: Points per axis, at least 4.
        seed: Seed of the random streams, not negative.
        frames: The initial and the final frame, or all those of the released file.
        progress: Called with the number of samples done and `samples` after every batch.
        workers: Most processes at work; None: one per core.

    Raises:
        RequestError: unknown task, wrong parameters, or a path that cannot be written to.
        DataError: the disk is full or failed, a process was killed, or values are not finite.
    """
    generator = _checked(task_name, parameters, samples, resolution, seed)
    if path.is_dir():
        raise RequestError(f"{path} is a folder; give the name of a file in it.")
    solve = functools.partial(_solve, task_name, dict(parameters), resolution, seed, frames)
    batch = generator.solver.BATCH
    count = batches.batch_count(samples, batch)
    try:
        with whole(path) as unfinished, output.opened(unfinished) as (file, out):
            writer = _writer(file, generator, task_name, resolution, frames)
            file.attrs.update({name: float(value) for name, value in parameters.items()})
            file.attrs["xmft_origin"] = "generated"
            file.attrs["xmft_solver"] = generator.solver.SOLVER
            file.attrs["xmft_seed"] = seed
            file.attrs["xmft_tolerance"] = generator.solver.tolerance(parameters, resolution)
            for number, arrays in enumerate(batches.solved(solve, count, workers=workers)):
                first = number * batch
                done = min(first + batch, samples)
                kept = {name: values[: done - first] for name, values in arrays.items()}
                if first == 0:
                    _check_space(path.parent, kept, samples)
                writer.write(kept, first, samples)
                out.check()
                if progress is not None:
                    progress(done, samples)
    except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise RequestError(
            f"Cannot write {path}: {error.strerror}. Choose another data folder."
        ) from error
    except OSError as error:
        raise DataError(
            f"Writing {path} failed: {error.strerror or error}. Nothing was kept of it. Free some "
            "space, ask for fewer samples, or choose another data folder."
        ) from error
    except BrokenProcessPool as error:
        raise DataError(
            f"A process that solved samples for {path} was killed, mostly for want of memory. "
            "Nothing was kept. Free some memory, or ask for a lower resolution."
        ) from error


def signature(
    task_name: str,
    parameters: Mapping[str, float],
    *,
    samples: int,
    resolution: int,
    seed: int,
    frames: Frames = "ends",
) -> str:
    """Return the identity of the data that `write` would make with these arguments.

    Returns:
        The sha256, in hexadecimal, of the arguments and the solver's version.

    Raises:
        RequestError: unknown task or wrong parameters.
    """
    generator = _checked(task_name, parameters, samples, resolution, seed)
    return key(
        task=task_name,
        parameters={name: float(value) for name, value in parameters.items()},
        samples=samples,
        resolution=resolution,
        seed=seed,
        frames=generator.times(frames).tolist(),
        solver=generator.solver.SOLVER,
    )


def _checked(
    task_name: str, parameters: Mapping[str, float], samples: int, resolution: int, seed: int
) -> Generator:
    if task_name not in GENERATORS:
        raise RequestError(f"Task '{task_name}' has no generator. {nearest(task_name, GENERATORS)}")
    generator = GENERATORS[task_name]
    if set(parameters) != set(generator.parameters):
        raise RequestError(
            f"Task '{task_name}' needs values for {', '.join(generator.parameters) or 'nothing'}; "
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
    generator.solver.coordinates(resolution)  # refuses points that the solver has no grid for
    return generator


def _solve(
    task_name: str,
    parameters: Mapping[str, float],
    resolution: int,
    seed: int,
    frames: Frames,
    batch: int,
    device: torch.device,
) -> batches.Arrays:
    """Solve one batch, always a full one.

    Rounding may depend on the place in the batch, but must not depend on the number of samples.
    """
    generator = GENERATORS[task_name]
    size = generator.solver.BATCH
    rngs = batches.generators(seed, batch * size, size)
    arrays = generator.solver.samples(rngs, parameters, resolution, generator.times(frames), device)
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise DataError(
            f"The solver of {task_name} gave values that are not finite for samples "
            f"{batch * size} to {(batch + 1) * size - 1} of seed {seed}. Choose another resolution "
            "or other parameters."
        )
    return {
        name: values.astype(np.float32) if values.ndim > 1 else values
        for name, values in arrays.items()
    }


def _writer(
    file: h5py.File, generator: Generator, task_name: str, resolution: int, frames: Frames
) -> output.Writer:
    coordinates = generator.solver.coordinates(resolution)
    times = generator.times(frames)
    if generator.configuration is None:
        return output.TensorWriter(file, coordinates, times)
    sim = generator.configuration(resolution)
    return output.GroupWriter(file, coordinates, times, sim, task_name.partition("/")[2])


def _check_space(folder: Path, arrays: batches.Arrays, samples: int) -> None:
    """Refuse at once what the disk cannot hold."""
    needed = sum(values[0].nbytes for values in arrays.values()) * samples
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{samples} samples take {files.size_text(needed)}, and {folder} has "
            f"{files.size_text(free)} left. Nothing was kept. Free some space, ask for fewer "
            "samples or frames, or choose another data folder."
        )


GENERATORS: dict[str, Generator] = {
    "pdebench/advection": Generator(solver=advection, parameters=("beta",)),
    "pdebench/burgers": Generator(solver=burgers, parameters=("Nu",)),
    "pdebench/diffusion_reaction_1d": Generator(
        solver=diffusion_reaction, parameters=("Nu", "rho")
    ),
    "pdebench/diffusion_sorption": Generator(
        solver=diffusion_sorption, configuration=diffusion_sorption.configuration
    ),
    "pdebench/compressible_ns_1d": Generator(solver=compressible_ns_1d, parameters=("eta", "zeta")),
    "pdebench/darcy": Generator(solver=darcy, parameters=("beta",)),
    "pdebench/shallow_water": Generator(
        solver=shallow_water, configuration=shallow_water.configuration
    ),
    "pdebench/diffusion_reaction_2d": Generator(
        solver=diffusion_reaction_2d, configuration=diffusion_reaction_2d.configuration
    ),
    "pdebench/compressible_ns_2d": Generator(
        solver=compressible_ns_2d, parameters=("M", "eta", "zeta")
    ),
}
