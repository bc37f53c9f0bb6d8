"""The random initial fields of PDEBench's 1-D files, on a periodic domain of length L.

Two of the modes 1..4 are drawn with replacement, and with `s_n` the number of times mode `n` came
up the field is

    u0(x) = sum_n A_n sin(2 pi n s_n x / L + phi_n),   A_n ~ U(0, 1),   phi_n ~ U(0, 2 pi),

so that a mode drawn twice has twice the wavenumber and one not drawn adds the constant
`A_n sin(phi_n)`. With probability 0.1 the field becomes its absolute value, with probability 0.5
its sign is flipped, and with probability 0.1 it is windowed by
`(tanh((x - x_l) / 0.01) - tanh((x - x_r) / 0.01)) / 2`, `x_l ~ U(0.1, 0.45)`,
`x_r ~ U(0.55, 0.9)` (Takamoto et al., PDEBench, 2022, appendix D, and the released files).

These are the fields of advection, Burgers and reaction-diffusion, with L = 1. Compressible flow
has modes 1..3 on (-1, 1) and a window with probability 0.5, between the same limits.

Two deliberate differences. The fields here have period L exactly; the released ones repeat after
`L - dx`, the distance from the first to the last cell centre, and so are not quite periodic on
the domain. And all draws are independent here, where the released files reuse one random key for
several of them.
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
WINDOW_WIDTH = 0.01


@dataclass(frozen=True, kw_only=True)
class RandomField:
    """A batch of fields, each of which can be evaluated at any x.

    Attributes:
        amplitude: `A_n`, `[samples, modes]`.
        phase: `phi_n`, `[samples, modes]`, radians.
        wavenumber: `n s_n`, `[samples, modes]`, whole periods per domain, 0 to twice the modes.
        absolute: Whether the absolute value is taken, `[samples]`.
        sign: +1 or -1, applied after the absolute value, `[samples]`.
        windowed: Whether the window is applied, `[samples]`.
        left: Left edge of the window, `[samples]`.
        right: Right edge of the window, `[samples]`.
        domain: Left and right end of the periodic domain.
    """

    amplitude: Array
    phase: Array
    wavenumber: Array
    absolute: npt.NDArray[np.bool_]
    sign: Array
    windowed: npt.NDArray[np.bool_]
    left: Array
    right: Array
    domain: tuple[float, float] = (0.0, 1.0)

    def __call__(self, x: Array) -> Array:
        """Evaluate the fields.

        Args:
            x: `[points]`, or `[samples, points]` for points of each sample's own; any real
                number, taken modulo the domain.

        Returns:
            `[samples, points]`.
        """
        # Wrapped before the window, which is no periodic function by itself.
        start, length = self.domain[0], self.domain[1] - self.domain[0]
        x = np.mod(np.atleast_2d(x) - start, length) + start
        u = np.zeros((len(self.sign), x.shape[1]))
        for n in range(self.amplitude.shape[1]):
            angle = 2 * np.pi * self.wavenumber[:, n, None] / length * x + self.phase[:, n, None]
            u += self.amplitude[:, n, None] * np.sin(angle)
        u = np.where(self.absolute[:, None], np.abs(u), u) * self.sign[:, None]
        if self.windowed.any():
            rows = self.windowed
            points = x[rows] if len(x) > 1 else x
            rise = np.tanh((points - self.left[rows, None]) / WINDOW_WIDTH)
            fall = np.tanh((points - self.right[rows, None]) / WINDOW_WIDTH)
            u[rows] *= (rise - fall) / 2
        return u


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
    uniform = np.stack([rng.random(2 * modes + 5) for rng in rngs])
    n = np.arange(1, modes + 1)
    times_drawn = (drawn[:, :, None] == n).sum(axis=1)
    absolute, flipped, windowed, left, right = uniform[:, 2 * modes :].T
    return RandomField(
        amplitude=uniform[:, :modes],
        phase=2 * np.pi * uniform[:, modes : 2 * modes],
        wavenumber=(n * times_drawn).astype(np.float64),
        absolute=absolute < SHARE_ABSOLUTE,
        sign=np.where(flipped < SHARE_FLIPPED, -1.0, 1.0),
        windowed=windowed < share_windowed,
        left=0.1 + 0.35 * left,
        right=0.55 + 0.35 * right,
        domain=domain,
    )
