"""The random initial fields of PDEBench's 1-D files.

Two of the modes 1..4 are drawn with replacement, and with `s_n` the number of times mode `n` came
up the field is

    u0(x) = sum_n A_n sin(2 pi n s_n x / (L - dx) + phi_n),   A_n ~ U(0, 1),   phi_n ~ U(0, 2 pi),

so that a mode drawn twice has twice the wavenumber and one not drawn adds the constant
`A_n sin(phi_n)`. With probability 0.1 the field becomes its absolute value, with probability 0.5
its sign is flipped, and with probability 0.1 it is windowed by
`(tanh((x - l) / 0.01) - tanh((x - l - 0.45) / 0.01)) / 2` (Takamoto et al., PDEBench, 2022,
appendix D, and the released files). These are the fields of advection, Burgers and
reaction-diffusion, with L = 1. Compressible flow has modes 1..3 on (-1, 1) and a window with
probability 0.5, at the same places.

Two properties of the released files that no paper states; both are followed here.

The period of the sines is the distance from the first to the last of the `RELEASED_POINTS` cell
centres, one cell less than that of the domain, so that the first and the last cell hold the same
value. Between them, across the end of the domain, the field is held at that value, which makes it
a continuous function of period L. It is the same function at every resolution.

Whether there is a window and where it starts follow from one uniform number U, and both edges as
well: there is one where U is below the probability, from l = 0.1 + 0.35 U to l + 0.45. So all
windows are equally wide, and with probability 0.1 they start between 0.1 and 0.135.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MODES = 4
DRAWS = 2
SHARE_ABSOLUTE = 0.1
SHARE_FLIPPED = 0.5
SHARE_WINDOWED = 0.1
WINDOW_START = (0.1, 0.45)
WINDOW_LENGTH = 0.45
WINDOW_WIDTH = 0.01
RELEASED_POINTS = 1024


@dataclass(frozen=True, kw_only=True)
class RandomField:
    """A batch of fields, each of which can be evaluated at any x.

    Attributes:
        amplitude: `A_n`, `[samples, modes]`.
        phase: `phi_n`, `[samples, modes]`, radians.
        wavenumber: `n s_n`, `[samples, modes]`, whole periods, 0 to twice the modes.
        absolute: Whether the absolute value is taken, `[samples]`.
        sign: +1 or -1, applied after the absolute value, `[samples]`.
        windowed: Whether the window is applied, `[samples]`.
        left: Left edge of the window, `[samples]`.
        domain: Left and right end of the periodic domain.
    """

    amplitude: Array
    phase: Array
    wavenumber: Array
    absolute: npt.NDArray[np.bool_]
    sign: Array
    windowed: npt.NDArray[np.bool_]
    left: Array
    domain: tuple[float, float] = (0.0, 1.0)

    def __call__(self, x: Array) -> Array:
        """Evaluate the fields.

        Args:
            x: `[points]`, any real numbers; the fields repeat with the domain.

        Returns:
            `[samples, points]`.
        """
        start, end = self.domain
        half_cell = (end - start) / RELEASED_POINTS / 2
        # Wrapped before the window, which is no periodic function by itself.
        x = np.mod(x - start, end - start) + start
        x = np.clip(x, start + half_cell, end - half_cell)
        # The same sines serve all samples, which are few numbers times them.
        angle = 2 * np.pi / (end - start - 2 * half_cell) * x
        waves = np.ones((2 * int(self.wavenumber.max()) + 1, x.size))
        for k in range(1, len(waves) // 2 + 1):
            np.sin(k * angle, out=waves[2 * k - 1])
            np.cos(k * angle, out=waves[2 * k])
        u = self._weights(len(waves)) @ waves
        rows = self.absolute
        u[rows] = self.sign[rows, None] * np.abs(u[rows])
        for row in np.flatnonzero(self.windowed):
            u[row] *= _window(x - self.left[row])
        return u

    def _weights(self, waves: int) -> Array:
        """Return what to multiply 1, sin, cos, sin 2, cos 2, ... by, `[samples, waves]`."""
        weights = np.zeros((len(self.sign), waves))
        signed = np.where(self.absolute, 1.0, self.sign)[:, None] * self.amplitude
        rows = np.arange(len(signed))[:, None]
        sine = 2 * self.wavenumber.astype(int) - 1
        # Where the wavenumber is 0 the sine is too, and the cosine is the constant.
        np.add.at(weights, (rows, np.maximum(sine, 0)), signed * np.cos(self.phase) * (sine > 0))
        np.add.at(weights, (rows, sine + 1), signed * np.sin(self.phase))
        return weights


def draw(
    rngs: Sequence[np.random.Generator],
    *,
    modes: int = MODES,
    share_windowed: float = SHARE_WINDOWED,
    domain: tuple[float, float] = (0.0, 1.0),
) -> RandomField:
    """Draw one field from each generator, so that a field depends on no other.

    Args:
        rngs: One random generator per sample.
        modes: Highest mode that can be drawn.
        share_windowed: Probability of the window.
        domain: Left and right end of the periodic domain.
    """
    # Every choice is drawn whether it is used or not: the stream has one length for all samples.
    drawn = np.stack([rng.integers(1, modes + 1, DRAWS) for rng in rngs])
    uniform = np.stack([rng.random(2 * modes + 3) for rng in rngs])
    n = np.arange(1, modes + 1)
    times_drawn = (drawn[:, :, None] == n).sum(axis=1)
    absolute, flipped, windowed = uniform[:, 2 * modes :].T
    first, last = WINDOW_START
    return RandomField(
        amplitude=uniform[:, :modes],
        phase=2 * np.pi * uniform[:, modes : 2 * modes],
        wavenumber=(n * times_drawn).astype(np.float64),
        absolute=absolute < SHARE_ABSOLUTE,
        sign=np.where(flipped < SHARE_FLIPPED, -1.0, 1.0),
        windowed=windowed < share_windowed,
        left=first + (last - first) * windowed,
        domain=domain,
    )


def _window(distance: Array) -> Array:
    """Return the window at distances from its left edge, `[points]`."""
    values: Array = np.tanh(distance / WINDOW_WIDTH)
    values -= np.tanh((distance - WINDOW_LENGTH) / WINDOW_WIDTH)
    return values / 2
