"""The scheme of the released 1-D files, written plainly: what our solvers are timed against here.

Cell averages in single precision, slopes limited by the monotonised central rule, fluxes of the
reconstructed states at the faces, two-stage midpoint steps that are cut at each stored time
(Takamoto et al., PDEBench, 2022, appendix D). All samples of a batch take the same steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.pdebench import batches
from benchmarks.pdebench.solvers import cell_centres, random_field

Field = torch.Tensor
"""`[samples, cells]`, float32."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run came to.

    Attributes:
        seconds: CPU seconds per sample, all frames kept.
        final: The last frame.
    """

    seconds: float
    final: Field


CELLS = 1024
SAVED = 0.01


def advect(beta: float, samples: int, end: float) -> Run:
    """Advance the first samples of seed 0 by the advection equation."""

    def flux(u: Field) -> Field:
        left, _ = _faces(u)
        return beta * left  # beta > 0: the wind comes from the left

    return _advanced(flux, lambda u: 0.4 / CELLS / abs(beta), samples, end)


def steepen(nu: float, samples: int, end: float) -> Run:
    """Advance the first samples of seed 0 by Burgers' equation."""
    kappa = nu / math.pi

    def flux(u: Field) -> Field:
        left, right = _faces(u)
        jump = right - left
        upwind = (left.square() + right.square() - (left + right).abs() * jump) / 4
        return upwind - kappa * CELLS * (u.roll(-1, 1) - u)

    def step(u: Field) -> float:
        fastest = u.abs().max().item()
        return 0.25 * min(1 / CELLS / fastest, 1 / CELLS**2 / (2 * kappa))

    return _advanced(flux, step, samples, end)


def _faces(u: Field) -> tuple[Field, Field]:
    """Return the states left and right of the face behind each cell."""
    forward = u.roll(-1, 1) - u
    backward = forward.roll(1, 1)
    central = (forward + backward) / 2
    size = torch.minimum(2 * torch.minimum(forward.abs(), backward.abs()), central.abs())
    half = torch.where(forward * backward > 0, size.copysign(central), 0) / 2
    return u + half, (u - half).roll(-1, 1)


def _advanced(
    flux: Callable[[Field], Field], step: Callable[[Field], float], samples: int, end: float
) -> Run:
    rngs = batches.generators(0, 0, samples)
    u = torch.from_numpy(random_field.draw(rngs)(cell_centres(CELLS))).float()

    def moved(u: Field, by: Field, dt: float) -> Field:
        change = flux(by)
        return u - dt * CELLS * (change - change.roll(1, 1))

    start, now, saved = time.process_time(), 0.0, [u]
    while now < end - 1e-9:
        until = min(end, SAVED * (math.floor(now / SAVED + 1e-6) + 1))
        dt = min(step(u), until - now)
        u = moved(u, moved(u, u, dt / 2), dt)
        now += dt
        if until - now < 1e-9:
            saved.append(u)
    return Run(seconds=(time.process_time() - start) / samples, final=u)
