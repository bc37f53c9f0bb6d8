"""Viscous compressible flow of an ideal gas in one or two periodic dimensions, pseudo-spectral.

The equations are those that the released PDEBench files solve:

    rho_t + div(rho v) = 0
    (rho v_i)_t + div(rho v_i v) + p_i = sum_j (rho c_ij v_i,j)_j
    E_t + div((E + p) v) = sum_ij (rho c_ij v_i v_i,j)_j,    E = p / (G - 1) + rho |v|^2 / 2

with G = 5/3, c_ii = 4/3 eta + zeta and c_ij = eta for i != j. The stress carries the density, so
that eta and zeta act as kinematic viscosities, and heat is not conducted. In two dimensions the
stress of a Newtonian fluid would also have the mixed derivatives v_j,i and div v; the released
code works axis by axis and leaves them out. Measured on 29 samples at eta = zeta = 0.01, M = 0.1:
the solutions of these equations are 2.2e-3 from the file made with 64 x 64 points, as much as that
scheme's own error; with the mixed derivatives 8 of them are 1.2e-2 from it.

Advanced are s = ln rho, v and q = ln p, so that neither density nor pressure can become negative:

    s_t = -v.grad s - div v
    v_i,t = -v.grad v_i - (p/rho) q_i + sum_j c_ij (s_j v_i,j + v_i,jj)
    q_t = -v.grad q - G div v + (G - 1) (rho/p) sum_ij c_ij (v_i,j)^2

The last term of v_i,t is linear with constant coefficients, and damps mode k of v_i by
exp(-sum_j c_ij k_j^2 t). The exponential Runge-Kutta method ETDRK4 (Cox and Matthews, 2002) takes
that part exactly and is the classical Runge-Kutta method for the rest, so that only waves and
flow limit the step. Modes outside an ellipse around the origin are cut off against aliasing:
density is not diffused, and its highest modes would otherwise grow.

Each sample has its own clock and its own steps; it does not wait for the others of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.pdebench.solvers import etdrk4, periodic_grid
from xmft.errors import DataError, RequestError

Array = npt.NDArray[np.float64]

GAMMA = 5 / 3
# Fraction of the modes up to Nyquist that are kept, in each direction.
KEPT = 2 / 3
# Step times fastest wave times largest wavenumber; the method is stable up to 2.8.
CFL = 2.0
# A step is chosen anew when it is shorter or longer than these times the limit.
SHORTEST, LONGEST = 0.75, 1.1
# More steps than this for one sample: its waves have run away.
MOST_STEPS = 200_000


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Density and pressure `[samples, times, *grid]`, velocity `[samples, times, axes, *grid]`."""

    density: Array
    velocity: Array
    pressure: Array


def solve(
    density: Array,
    velocity: Array,
    pressure: Array,
    *,
    lengths: Sequence[float],
    eta: float,
    zeta: float,
    times: Array,
    grid: Sequence[int] | None = None,
    points: Sequence[int] | None = None,
    kept: float = KEPT,
    cfl: float = CFL,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Fields:
    """Advance flows from time 0.

    Args:
        density: Above zero, `[samples, *grid]` with one or two grid axes, at equally spaced
            points of one period.
        velocity: `[samples, axes, *grid]`.
        pressure: Above zero, `[samples, *grid]`.
        lengths: Length of the period along each axis.
        eta: Shear viscosity divided by the density, above zero.
        zeta: Bulk viscosity divided by the density, not below zero.
        times: Strictly rising, the first 0: times of the returned fields.
        grid: Points per axis on which the flow is advanced; the points given, if None. The
            initial fields are cut to its modes.
        points: Points per axis of the returned fields; the points given, if None. The first
            point of each axis stays where it is.
        kept: Fraction of the modes of `grid` that is kept.
        cfl: Step times fastest wave times largest wavenumber.
        dtype: Precision of the calculation.
        device: Where to calculate.

    Returns:
        The fields at `times`, the first of them as given (but for a change of the points).

    Raises:
        RequestError: an argument is out of its range.
        DataError: a sample did not stay finite, or its waves ran away.
    """
    if not (eta > 0 and zeta >= 0 and math.isfinite(eta + zeta)):
        raise RequestError(
            f"Viscous flow needs eta > 0 and zeta >= 0; found eta={eta:g}, zeta={zeta:g}."
        )
    if times[0] != 0 or np.any(np.diff(times) <= 0):
        raise RequestError(f"Times must rise strictly from 0; found {times[:5].tolist()} ...")
    if not (density.min() > 0 and pressure.min() > 0 and np.isfinite(velocity).all()):
        raise DataError(
            "The initial density and pressure must be above zero and the velocity finite; found "
            f"a least density of {density.min():g} and a least pressure of {pressure.min():g}."
        )
    given = density.shape[1:]
    inner, shape = tuple(grid or given), tuple(points or given)
    flow = _Flow(inner, lengths, eta, zeta, kept, dtype, torch.device(device))
    logs = np.concatenate([np.log(density)[:, None], velocity, np.log(pressure)[:, None]], axis=1)
    start = torch.from_numpy(logs).to(flow.device, dtype)
    state = flow.modes(periodic_grid.stretch(start, inner)) * flow.mask.to(dtype)
    frames = _advance(flow, state, [float(t) for t in times], cfl, shape)
    frames[:, 0] = periodic_grid.resample(start, shape)
    result = frames.to("cpu", torch.float64).numpy()
    return Fields(
        density=np.exp(result[:, :, 0]),
        velocity=result[:, :, 1:-1],
        pressure=np.exp(result[:, :, -1]),
    )


class _Flow:
    """The equations on one grid; a state holds the modes of `s, v.., q`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        lengths: Sequence[float],
        eta: float,
        zeta: float,
        kept: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.axes = len(shape)
        self.eta, self.zeta = eta, zeta
        # Only modes below `width` are stored along the last axis; all above are cut.
        self.width = min(math.floor(kept * shape[-1] / 2) + 1, shape[-1] // 2 + 1)
        integers = [np.fft.fftfreq(n, 1 / n) for n in shape]
        integers[-1] = np.arange(self.width, dtype=np.float64)
        n = np.stack(np.meshgrid(*integers, indexing="ij"))
        nyquist = np.array(shape).reshape(-1, *[1] * self.axes) / 2
        mask = ((n / nyquist) ** 2).sum(axis=0) <= min(kept, 1 - 1 / max(shape)) ** 2
        periods = np.array(lengths, dtype=np.float64).reshape(-1, *[1] * self.axes)
        wave = 2 * np.pi * n / periods * mask
        self.largest = float(np.sqrt((wave**2).sum(axis=0)).max())
        # c[i][j] of the stress, the viscosity of velocity i along axis j.
        along = 4 / 3 * eta + zeta
        self.viscosity = [
            [along if i == j else eta for j in range(self.axes)] for i in range(self.axes)
        ]
        damping = [sum(c * wave[j] ** 2 for j, c in enumerate(row)) for row in self.viscosity]
        still = np.zeros_like(wave[0])
        self.mask = torch.from_numpy(mask.astype(np.float64)).to(device)
        self.rates = torch.from_numpy(np.stack([still, *damping, still])).to(device)
        self.wave = torch.from_numpy(1j * wave).to(device, dtype.to_complex())

    def modes(self, values: torch.Tensor) -> torch.Tensor:
        """Transform values on the grid; modes along the last axis that are cut are left out."""
        half = torch.fft.rfft(values, norm="forward")[..., : self.width]
        return torch.fft.fft(half, dim=-2, norm="forward") if self.axes == 2 else half

    def values(self, modes: torch.Tensor) -> torch.Tensor:
        """Undo `modes`."""
        if self.axes == 2:
            modes = torch.fft.ifft(modes, dim=-2, norm="forward")
        return torch.fft.irfft(modes, n=self.shape[-1], norm="forward")

    def slope(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the explicit part of the time derivative, and the values that `fastest` takes."""
        d = self.axes
        # v (d), ln(p/rho) (1), then the derivatives of s, v.., q, each along all axes.
        spectra = state.new_empty(len(state), d + 1 + (d + 2) * d, *state.shape[2:])
        spectra[:, :d] = state[:, 1:-1]
        torch.sub(state[:, -1], state[:, 0], out=spectra[:, d])
        derivatives = spectra[:, d + 1 :].unflatten(1, (d + 2, d))
        torch.mul(state[:, :, None], self.wave, out=derivatives)
        values = self.values(spectra)
        v = values[:, :d].unbind(1)
        temperature = values[:, d].exp_()
        gradients = values[:, d + 1 :].unflatten(1, (d + 2, d))
        ds, dq = gradients[:, 0].unbind(1), gradients[:, -1].unbind(1)
        dv = [gradients[:, 1 + i].unbind(1) for i in range(d)]

        divergence = dv[0][0] if d == 1 else dv[0][0] + dv[1][1]
        slopes = torch.empty_like(values[:, : d + 2])
        torch.neg(divergence, out=slopes[:, 0])
        torch.mul(divergence, -GAMMA, out=slopes[:, -1])
        heating = torch.zeros_like(divergence)
        for i, row in enumerate(self.viscosity):
            torch.mul(temperature, dq[i], out=slopes[:, 1 + i]).neg_()
            slopes[:, 0].addcmul_(v[i], ds[i], value=-1)
            slopes[:, -1].addcmul_(v[i], dq[i], value=-1)
            for j, c in enumerate(row):
                heating.addcmul_(dv[i][j], dv[i][j], value=c)
                slopes[:, 1 + i].addcmul_(torch.sub(v[j], ds[j], alpha=c), dv[i][j], value=-1)
        slopes[:, -1].addcdiv_(heating, temperature, value=GAMMA - 1)

        return self.modes(slopes), values

    def fastest(self, values: torch.Tensor) -> torch.Tensor:
        """Return the speed of the fastest wave of each sample.

        What grad s adds to the transport of v is left out: where it would matter for stability,
        the damping is stronger.
        """
        flow = values[:, : self.axes].square().sum(1).sqrt()
        speed = flow + (GAMMA * values[:, self.axes]).sqrt()
        return speed.flatten(1).amax(1)


@dataclass(kw_only=True)
class _Clock:
    """Where one sample is: its row of the result, its time and its steps to the next frame."""

    row: int
    now: float = 0.0
    frame: int = 1
    step: float = 0.0
    left: int = 0

    def wind(self, limit: float, end: float) -> bool:
        """Choose steps of about `limit` up to `end` where need be; returns whether they changed."""
        if self.left and SHORTEST * limit < self.step < LONGEST * limit:
            return False
        left = math.ceil((end - self.now) / limit)
        if left == self.left:
            return False
        self.left, self.step = left, (end - self.now) / left
        return True


def _advance(
    flow: _Flow, state: torch.Tensor, times: list[float], cfl: float, points: tuple[int, ...]
) -> torch.Tensor:
    """Return `s, v.., q` on the grid of `points` at `times`; the first frame stays empty."""
    samples, fields = state.shape[:2]
    shape = (samples, len(times), fields, *points)
    frames = torch.empty(shape, dtype=flow.dtype, device=flow.device)
    clocks = [_Clock(row=row) for row in range(samples if len(times) > 1 else 0)]
    factors = etdrk4.factors(flow.rates, flow.mask, [0.0] * samples, flow.dtype)
    count = 0
    while clocks:
        first, values = flow.slope(state)
        stale = []
        for i, fastest in enumerate(flow.fastest(values).tolist()):
            clock = clocks[i]
            if not math.isfinite(fastest) or count == MOST_STEPS:
                raise DataError(
                    f"The flow with eta={flow.eta:g}, zeta={flow.zeta:g} ran out of bounds: sample "
                    f"{clock.row} of the batch has a fastest wave of {fastest:g} at time "
                    f"{clock.now:g} after {count} steps. Raise eta and zeta, lower the Mach "
                    "number, or ask for more points."
                )
            if clock.wind(cfl / (fastest * flow.largest), times[clock.frame]):
                stale.append(i)
        if stale:
            factors[stale] = etdrk4.factors(
                flow.rates, flow.mask, [clocks[i].step for i in stale], flow.dtype
            )
        state = etdrk4.step(lambda x: flow.slope(x)[0], state, first, factors)
        count += 1

        for i, clock in enumerate(clocks):
            clock.left -= 1
            clock.now += clock.step
            if clock.left == 0:
                clock.now = times[clock.frame]
                frames[clock.row, clock.frame] = periodic_grid.resample(
                    flow.values(state[i]), points
                )
                clock.frame += 1
        going = [i for i, clock in enumerate(clocks) if clock.frame < len(times)]
        if len(going) < len(clocks):
            state, factors, clocks = state[going], factors[going], [clocks[i] for i in going]
    return frames
