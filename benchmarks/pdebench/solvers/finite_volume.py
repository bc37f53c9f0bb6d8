"""One-dimensional flow of an ideal gas with shocks, by finite volumes on a periodic line.

    rho_t + (rho v)_x = 0
    (rho v)_t + (rho v^2 + p)_x = (nu rho v_x)_x
    E_t + ((E + p) v)_x = (nu rho v v_x)_x,    E = p / (G - 1) + rho v^2 / 2,    G = 5/3

Inviscid steps (`muscl_hancock`) and viscous ones (`viscous_steps`) alternate. Each sample has steps
and a clock of its own.

In single precision the result differs from that in double precision by 1e-6, a thousandth of the
error of the scheme.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.pdebench.solvers.muscl_hancock import GAMMA, GHOSTS, Block
from xmft.errors import DataError, RequestError

Array = npt.NDArray[np.float64]

CFL = 0.8
# Cells advanced at once: what the processor's cache holds, or what keeps a GPU busy.
CPU_CELLS, GPU_CELLS = 1 << 14, 1 << 22
# More steps than this for one sample: its waves have run away.
MOST_STEPS = 2_000_000


def conserved(
    density: torch.Tensor, velocity: torch.Tensor, pressure: torch.Tensor
) -> torch.Tensor:
    """Stack density, momentum and energy, `[3, *shape]`."""
    momentum = density * velocity
    return torch.stack([density, momentum, pressure / (GAMMA - 1) + momentum * velocity / 2])


def primitive(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return density, velocity and pressure of a state `[3, *shape]`."""
    density, momentum, energy = state
    velocity = momentum / density
    return density, velocity, (GAMMA - 1) * (energy - momentum * velocity / 2)


def solve(
    initial: torch.Tensor,
    *,
    length: float,
    times: Array,
    viscosity: float = 0.0,
    points: int | None = None,
    cfl: float = CFL,
) -> torch.Tensor:
    """Advance the cell averages of flows.

    Args:
        initial: Density, momentum and energy, `[3, samples, cells]`; its type and device are
            those of the calculation.
        length: Length of the period.
        times: `[frames]`, rising strictly from 0.
        viscosity: nu, not below zero; it is 4/3 eta + zeta of the shear and bulk viscosities.
        points: Cells of the result, each the average of as many cells of the calculation; all of
            them if None.
        cfl: Fraction of a cell that the fastest wave crosses in a step, at most 1.

    Returns:
        Averages at `times`, `[3, samples, frames, points]`.

    Raises:
        RequestError: an argument is out of its range.
        DataError: a flow does not have positive density and pressure, or did not keep them.
    """
    samples, cells = initial.shape[1:]
    points = points or cells
    if cells % points or cells < 2 * GHOSTS:
        raise RequestError(f"{cells} cells cannot be averaged to {points} points.")
    if not (viscosity >= 0 and 0 < cfl <= 1 and length > 0):
        raise RequestError(
            "Compressible flow needs a viscosity not below zero, a length above zero and CFL in "
            f"(0, 1]; found {viscosity:g}, {length:g}, {cfl:g}."
        )
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise RequestError(f"Times must rise strictly from 0; found {times[:5].tolist()} ...")
    result = initial.new_empty(3, samples, len(times), points)
    result[:, :, 0] = _averages(initial, points)
    for i in range(samples):
        _check(result[:, i, 0], i, 0.0)
    if len(times) == 1:
        return result

    dx = length / cells
    at_once = (CPU_CELLS if initial.device.type == "cpu" else GPU_CELLS) // cells
    _, v, p = primitive(initial)
    slowest_last = (v.abs() + (GAMMA * p / initial[0]).sqrt()).amax(1).argsort().tolist()
    rows = [slowest_last.pop() for _ in range(min(max(at_once, 1), samples))]
    block = Block(initial[:, rows], dx, viscosity)
    now, taken = np.zeros(len(rows)), np.zeros(len(rows))
    frame = np.ones(len(rows), dtype=np.intp)
    while rows:
        target = times[frame]
        left = np.ceil((target - now) / block.longest_steps(cfl))
        lost = np.flatnonzero(~(taken + left < MOST_STEPS))  # not finite, or too fast
        if len(lost):
            raise _failure(rows[lost[0]], now[lost[0]])
        block.advance((target - now) / left)
        now = np.where(left <= 1, target, now + (target - now) / left)
        taken += 1
        finished = []
        for i in np.flatnonzero(left <= 1).tolist():
            result[:, rows[i], frame[i]] = _averages(block.cells()[:, i], points)
            _check(result[:, rows[i], frame[i]], rows[i], now[i])
            frame[i] += 1
            if frame[i] < len(times):
                continue
            if slowest_last:
                rows[i] = slowest_last.pop()
                block.start(i, initial[:, rows[i]])
                now[i], taken[i], frame[i] = 0.0, 0.0, 1
            else:
                finished.append(i)
        if finished:
            going = [i for i in range(len(rows)) if i not in finished]
            rows = [rows[i] for i in going]
            now, taken, frame = now[going], taken[going], frame[going]
            block = Block(block.cells()[:, going], dx, viscosity)
    return result


def _averages(state: torch.Tensor, points: int) -> torch.Tensor:
    return state if state.shape[-1] == points else state.unflatten(-1, (points, -1)).mean(-1)


def _check(state: torch.Tensor, row: int, time: float) -> None:
    """Raise if the state of a sample, `[3, points]`, is not that of a gas."""
    density, _, pressure = primitive(state)
    if not (state.isfinite().all() and (density > 0).all() and (pressure > 0).all()):
        raise _failure(row, time)


def _failure(row: int, time: float) -> DataError:
    return DataError(
        f"Compressible flow did not keep its density and pressure finite and above zero: sample "
        f"{row} of the batch, time {time:g}. Ask for more points or weaker jumps."
    )
