"""The random initial states of PDEBench's 1-D compressible flow, on the periodic line (-1, 1).

Density, pressure and velocity are three fields of `random_field` with modes 1..3 and a window
with probability 0.5. Velocity is its field; that of density or pressure is scaled to [0, 1] and
becomes m f + b with m and b log-uniform in [1, 10] for the density, in [10, 100] for the
pressure (Takamoto et al., PDEBench, 2022, appendix D, and the released files).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.solvers import random_field

Array = npt.NDArray[np.float64]

DOMAIN = (-1.0, 1.0)
MODES = 3
SHARE_WINDOWED = 0.5
# Points on which the extremes of the fields are taken and cells averaged, at least; the step is a
# twentieth of the width of a window's edge.
SAMPLING_POINTS = 4096


@dataclass(frozen=True, kw_only=True)
class InitialState:
    """A batch of initial states.

    Attributes:
        fields: Of density and pressure, to be scaled to [0, 1], and of velocity.
        slope: m of density and pressure, `[samples, 2]`.
        offset: b of density and pressure, `[samples, 2]`.
    """

    fields: tuple[random_field.RandomField, random_field.RandomField, random_field.RandomField]
    slope: Array
    offset: Array

    def sampled(self, cells: int) -> tuple[Array, Array, Array]:
        """Return density, pressure and velocity, `[samples, cells, per cell]`.

        The values of each cell are those at the centres of equal parts of it, as many parts as it
        takes to have `SAMPLING_POINTS` in all.
        """
        parts = math.ceil(SAMPLING_POINTS / cells)
        count = cells * parts
        x = DOMAIN[0] + (DOMAIN[1] - DOMAIN[0]) * (np.arange(count) + 0.5) / count
        density, pressure, velocity = (field(x) for field in self.fields)
        for values, m, b in zip((density, pressure), self.slope.T, self.offset.T, strict=True):
            values -= values.min(axis=1, keepdims=True)
            values /= np.maximum(values.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
            values *= m[:, None]
            values += b[:, None]
        shape = (len(density), cells, parts)
        return density.reshape(shape), pressure.reshape(shape), velocity.reshape(shape)


def draw(rngs: Sequence[np.random.Generator]) -> InitialState:
    """Draw one initial state from each generator.

    Args:
        rngs: One random generator per sample.
    """

    def field() -> random_field.RandomField:
        return random_field.draw(rngs, modes=MODES, share_windowed=SHARE_WINDOWED, domain=DOMAIN)

    fields = (field(), field(), field())
    exponents = np.stack([rng.random((2, 2)) for rng in rngs])
    scales = 10.0**exponents * [1.0, 10.0]
    return InitialState(fields=fields, slope=scales[:, 0], offset=scales[:, 1])
