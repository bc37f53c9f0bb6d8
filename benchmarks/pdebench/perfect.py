"""What a perfect solver makes of the test samples, where their inputs tell the solution.

Scored like a model it gives the error floor of the very samples at hand. A floor with a heavy tail
(of a tenth of the released Darcy samples one is off by more than all others together) depends on
which samples these are.

The equations are solved as they are stated, not as the released solvers discretise them. What is
read for it is the input at all points of the file, whatever the task keeps of them:

* advection: the initial field, moved in Fourier space;
* 1-D diffusion-reaction: the initial field, advanced by `solvers.diffusion_reaction`;
* diffusion-sorption: the initial concentration, which is one number;
* Darcy: the coefficient on all cells that were solved on. A strided official file does not have
  it; of a generated one it is drawn again.

Generated advection and diffusion-reaction are more accurate than what can be told from points;
their files state it. Where there is nothing to tell from, the known constants remain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench import batches
from benchmarks.pdebench.layout import Found
from benchmarks.pdebench.pairing import OpenFile
from benchmarks.pdebench.problem import Pairs
from benchmarks.pdebench.solvers import darcy, diffusion_reaction, diffusion_sorption
from benchmarks.splits import Indices
from xmft.errors import DataError

Array = npt.NDArray[np.float64]
Perfect = npt.NDArray[np.float32]

NOTE = "the equation solved for the inputs of the test samples"
# Walls of second order on as many cells are exact to 1e-6, see tests/accuracy.
_SORPTION_CELLS = 1024


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The test samples of a file, as a solver is given them.

    Attributes:
        inputs: At all points of the file, `[samples, *grid]`.
        numbers: Of the samples in the file.
        found: The file.
        parameters: Of the equation.
        time: When the solution is wanted; 0 without time.
    """

    inputs: Array
    numbers: Indices
    found: Found
    parameters: Mapping[str, float]
    time: float

    @property
    def official(self) -> bool:
        """Whether the samples are the released ones."""
        return self.found.origin == "official"

    @property
    def stride(self) -> int | None:
        """Every how many points of the grid that was solved on the file keeps; None: unclear."""
        points = set(self.found.points)
        if len(points) > 1 or self.found.native % min(points):
            return None
        return self.found.native // min(points)


def solutions(
    task: str, source: OpenFile, pairs: Pairs, parameters: Mapping[str, float], numbers: Indices
) -> Perfect | None:
    """Return what a perfect solver predicts for the test samples; None where it cannot be told.

    Args:
        task: A key of `SOLVED`; for others it cannot.
        source: The file.
        pairs: What is made of it.
        parameters: Of the equation.
        numbers: The test samples.

    Returns:
        `[samples, 1, *grid]`, at the points that the task keeps.
    """
    solve = SOLVED.get(task)
    if solve is None or pairs.scaling != "none" or source.found.origin == "miniature":
        return None
    found = source.found
    start, end = source.wanted(pairs.inputs, 0.0), source.wanted(pairs.targets, pairs.times()[1])
    framed = end.frame is not None and found.times is not None
    positions = np.full(found.samples, -1, dtype=np.int64)
    positions[numbers] = np.arange(len(numbers))
    whole = replace(source, strides=tuple(1 for _ in found.points))
    inputs = np.empty((len(numbers), *found.points))
    try:
        for block in whole.read((start, start), positions):
            inputs[block.positions] = np.asarray(block.inputs)[:, 0]
        seen = Seen(
            inputs=inputs,
            numbers=numbers,
            found=found,
            parameters=parameters,
            time=float(found.times[end.frame]) if framed else 0.0,  # type: ignore[index]
        )
        with np.errstate(all="ignore"):
            solved = solve(seen)
    except DataError:
        # The solver cannot start from them; or who reads the samples next says what is wrong.
        return None
    if solved is None or not np.isfinite(solved).all():
        return None
    every = (slice(None), None, *(slice(None, None, stride) for stride in source.strides))
    return np.ascontiguousarray(solved[every], dtype=np.float32)


def _advection(seen: Seen) -> Array | None:
    if not seen.official:
        return None
    points = seen.inputs.shape[1]
    spectrum = np.fft.rfft(seen.inputs)
    turns = np.arange(spectrum.shape[1]) * seen.parameters["beta"] * seen.time
    return np.fft.irfft(spectrum * np.exp(-2j * np.pi * turns), n=points)


def _diffusion_reaction(seen: Seen) -> Array | None:
    if not seen.official:
        return None
    nu, rho = seen.parameters["Nu"], seen.parameters["rho"]
    return diffusion_reaction.solve(seen.inputs, nu=nu, rho=rho, time=seen.time)


def _diffusion_sorption(seen: Seen) -> Array | None:
    start = seen.inputs[:, :1]
    if seen.stride is None or not np.allclose(seen.inputs, start, rtol=1e-6, atol=1e-9):
        return None
    native = seen.found.native
    # An odd number of cells in each: its centre is the centre of one.
    finer = -(-_SORPTION_CELLS // native) // 2 * 2 + 1 if native < _SORPTION_CELLS else 1
    solved = np.empty_like(seen.inputs)
    for first in range(0, len(start), diffusion_sorption.BATCH):
        part = slice(first, first + diffusion_sorption.BATCH)
        initial = np.repeat(start[part], native * finer, axis=1)
        frames = diffusion_sorption.solve(initial, np.array([seen.time]), scheme="accurate")
        solved[part] = frames[:, 0, finer // 2 :: finer][:, :: seen.stride]
    return solved


def _darcy(seen: Seen) -> Array | None:
    stride, nu = seen.stride, seen.inputs
    if stride is None:
        return None
    if stride > 1:
        seed = seen.found.seed
        if seed is None:
            return None
        rngs = [batches.generators(seed, int(number), 1)[0] for number in seen.numbers]
        nu = darcy.draw_coefficient(rngs, seen.found.native)
        if not np.allclose(nu[:, ::stride, ::stride], seen.inputs, rtol=1e-6, atol=0):
            return None
    solved = darcy.solve(nu, beta=seen.parameters["beta"], scheme="accurate")
    return solved[:, ::stride, ::stride]


SOLVED: dict[str, Callable[[Seen], Array | None]] = {
    "pdebench/advection": _advection,
    "pdebench/darcy": _darcy,
    "pdebench/diffusion_reaction_1d": _diffusion_reaction,
    "pdebench/diffusion_sorption": _diffusion_sorption,
}
