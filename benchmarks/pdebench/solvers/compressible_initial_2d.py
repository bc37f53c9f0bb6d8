"""The random initial conditions of PDEBench's 2-D compressible flow, on the periodic unit square.

With d0, T0 ~ U(0.1, 10), p0 = d0 T0, and a Mach number M,

    rho = d0 (1 + a f / <|f|>),   p = p0 (1 + b g / <|g|>),   a, b ~ U(0.01, 0.2),

and the velocity is scaled to <|v|> = M sqrt(G T0). Each of f, g and the two components of v is a
sum over kx, ky in -4..4 without 0 of |k|^(-1/2) cos(2 pi (kx x + ky y) + phase), phases uniform.
With probability 0.5 the deviations of density and pressure and the velocity are multiplied by a
window in x and one in y, each (tanh((x - l) / 0.01) - tanh((x - r) / 0.01)) / 2 (Takamoto et al.,
PDEBench, 2022, appendix D, and the released files).

The window is r = l + 0.45, as wide in all 19 windowed samples of a file made with the released
code: both edges follow from one draw. In x that is the draw U that says whether there is a window,
which there is for U < 0.5: l = 0.1 + 0.35 U lies between 0.1 and 0.275; in y, l ~ U(0.1, 0.45).

A choice of this module: a or b are lowered, which hardly
ever happens, where density or pressure would fall below `LEAST` of its mean. The averages <.> are
over a fixed grid, so that the fields do not depend on the resolution, and over the square without
the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GAMMA = 5 / 3
HIGHEST_MODE = 4
MEANS = (0.1, 10.0)
DEVIATIONS = (0.01, 0.2)
SHARE_WINDOWED = 0.5
WINDOW_START = (0.1, 0.45)  # of x for draws below 1, of which the windowed are the lower half
WINDOW_LENGTH = 0.45
WINDOW_WIDTH = 0.01
LEAST = 0.05
# Points per axis for the averages; four times as many change them by less than 3e-4.
AVERAGING_POINTS = 96
FIELDS = 4

_WAVES = np.array([k for k in range(-HIGHEST_MODE, HIGHEST_MODE + 1) if k], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class InitialCondition:
    """A batch of initial conditions, each of which can be evaluated at any points.

    Attributes:
        density: d0, `[samples]`.
        pressure: p0, `[samples]`.
        modes: Complex amplitudes of the deviations of density and pressure, relative to d0 and
            p0, and of the velocity, `[samples, 4, kx, ky]`.
        windowed: Whether the window is applied, `[samples]`.
        start: Where the window starts in x and y, `[samples, 2]`.
    """

    density: Array
    pressure: Array
    modes: npt.NDArray[np.complex128]
    windowed: npt.NDArray[np.bool_]
    start: Array

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Evaluate at the points of a grid.

        Args:
            x: `[nx]`, within the unit interval.
            y: `[ny]`, likewise.

        Returns:
            Density `[samples, nx, ny]`, velocity `[samples, 2, nx, ny]` and pressure
            `[samples, nx, ny]`.
        """
        values = _evaluate(self.modes, x, y)
        window = _window(x, self.start[:, 0])[:, :, None] * _window(y, self.start[:, 1])[:, None]
        values *= np.where(self.windowed[:, None, None], window, 1.0)[:, None]
        density = self.density[:, None, None] * (1 + values[:, 0])
        pressure = self.pressure[:, None, None] * (1 + values[:, 1])
        return density, values[:, 2:], pressure


def draw(rngs: Sequence[np.random.Generator], *, mach: float) -> InitialCondition:
    """Draw one initial condition from each generator, so that it depends on no other.

    Args:
        rngs: One random generator per sample.
        mach: <|v|> / sqrt(G T0), not below zero.
    """
    # Every choice is drawn whether it is used or not: the stream has one length for all samples.
    size = len(_WAVES)
    uniform = np.stack([rng.random(FIELDS * size**2 + 7) for rng in rngs])
    phase = 2 * np.pi * uniform[:, 7:].reshape(-1, FIELDS, size, size)
    modes = np.hypot(_WAVES[:, None], _WAVES) ** -0.5 * np.exp(1j * phase)
    x = np.arange(AVERAGING_POINTS) / AVERAGING_POINTS
    values = _evaluate(modes, x, x)

    density, temperature = (_between(uniform[:, i], MEANS) for i in (0, 1))
    scales = np.empty((len(rngs), FIELDS))
    for i in (0, 1):
        mean = np.abs(values[:, i]).mean(axis=(1, 2))
        lowest = -values[:, i].min(axis=(1, 2)) / mean
        scales[:, i] = np.minimum(_between(uniform[:, 2 + i], DEVIATIONS), (1 - LEAST) / lowest)
        scales[:, i] /= mean
    speed = np.hypot(values[:, 2], values[:, 3]).mean(axis=(1, 2))
    scales[:, 2:] = (mach * np.sqrt(GAMMA * temperature) / speed)[:, None]
    return InitialCondition(
        density=density,
        pressure=density * temperature,
        modes=modes * scales[:, :, None, None],
        windowed=uniform[:, 4] < SHARE_WINDOWED,
        start=_between(uniform[:, [4, 6]], WINDOW_START),
    )


def _evaluate(modes: npt.NDArray[np.complex128], x: Array, y: Array) -> Array:
    first, second = (np.exp(2j * np.pi * np.outer(_WAVES, points)) for points in (x, y))
    return np.ascontiguousarray((first.T @ modes @ second).real)


def _window(x: Array, start: Array) -> Array:
    distance = (x - start[:, None]) / WINDOW_WIDTH
    values: Array = (np.tanh(distance) - np.tanh(distance - WINDOW_LENGTH / WINDOW_WIDTH)) / 2
    return values


def _between(uniform: Array, limits: tuple[float, float]) -> Array:
    return limits[0] + (limits[1] - limits[0]) * uniform
