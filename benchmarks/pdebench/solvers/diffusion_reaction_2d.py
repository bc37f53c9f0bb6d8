"""FitzHugh-Nagumo reaction and diffusion of an activator u and an inhibitor v on a square.

u_t = Du lap u + u - u^3 - k - v and v_t = Dv lap v + u - v on (-1, 1)^2 without flux through the
walls. The initial values are independent normal variates, one per cell, which means something
on one grid only: the equations with the five-point Laplacian on `GRID` x `GRID` cells are the
problem, and every resolution is a stride of their solution.

The cosine transform makes that Laplacian diagonal, walls included. In it, the exponential
Runge-Kutta scheme of order four by Cox and Matthews (J. Comput. Phys. 176, 2002) takes the decay
of each field exactly, and only u^3 has to be computed cell by cell. The noise decays at once,
so the steps start short and grow with time, in powers of two of the interval between frames.
Measured against an explicit solution with a tolerance of 1e-11, the relative L2 error at t = 5 is
7e-8 for u and 5e-8 for v; in four earlier frames it is at most 4.1e-7.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch

from benchmarks.pdebench.solvers import cell_centres, released_stride
from xmft.errors import RequestError

Array = npt.NDArray[np.float64]
Transform = Callable[[torch.Tensor], torch.Tensor]

SOLVER = "diffusion_reaction_2d 1: cosine transform, exponential Runge-Kutta 4"
GRID = 128
TIMES: Array = np.linspace(0.0, 5.0, 101)
RELEASED_POINTS = GRID
BATCH = 2

DU, DV, K = 1e-3, 5e-3, 5e-3
WIDTH = 2.0
# Steps: the frame interval / 2^n, the first of them / 2^FIRST_LEVEL, none above time / GROWTH.
FIRST_LEVEL = 5
GROWTH = 8
# Below this argument the phi functions are summed from their series, which then has 18 digits.
SERIES_BELOW = 1.0
SERIES_TERMS = 18


def samples(
    rngs: Sequence[np.random.Generator],
    parameters: Mapping[str, float],
    points: int,
    times: Array,
    device: torch.device,
) -> dict[str, Array]:
    """Draw the noise of each sample and let it evolve on `GRID` x `GRID` cells.

    The solution is strided to the points.

    Returns:
        `data`, `[samples, frames, points, points, 2]`: u and v, axes (t, y, x).

    Raises:
        RequestError: `points` does not divide `GRID`.
    """
    stride = _stride(points)
    noise = np.stack([rng.standard_normal((2, GRID, GRID)) for rng in rngs])
    frames = solve(noise, times, device=device)[..., ::stride, ::stride]
    return {"data": np.ascontiguousarray(np.moveaxis(frames, 2, -1))}


def coordinates(points: int) -> dict[str, Array]:
    """Return the cell centres of the solved grid that `points` points per axis are taken from.

    Raises:
        RequestError: `points` does not divide `GRID`.
    """
    centres = (WIDTH * cell_centres(GRID) - WIDTH / 2)[:: _stride(points)]
    return {"x": centres, "y": centres.copy()}


def configuration(points: int) -> dict[str, float | int]:
    """Return the constants of the file; `xdim` and `ydim` are the grid solved, not `points`."""
    return {
        "Du": DU,
        "Dv": DV,
        "k": K,
        "t": 5,
        "tdim": len(TIMES),
        "x_left": -WIDTH / 2,
        "x_right": WIDTH / 2,
        "xdim": GRID,
        "y_bottom": -WIDTH / 2,
        "y_top": WIDTH / 2,
        "ydim": GRID,
        "n": 1,
    }


def tolerance(parameters: Mapping[str, float], points: int) -> float:
    """Return the relative L2 error of the last frame.

    Measured on eight samples against an explicit Runge-Kutta solution of order eight with a
    tolerance of 1e-11 on the same cells: 5.8e-8 to 6.4e-8. A stride leaves it as it is.
    """
    return 6.5e-8


def solve(
    initial: Array,
    times: Array,
    *,
    du: float = DU,
    dv: float = DV,
    k: float = K,
    reaction: bool = True,
    device: torch.device | None = None,
) -> Array:
    """Advance u and v on a square grid of cells.

    Args:
        initial: `[samples, 2, cells, cells]`, u and v at time 0.
        times: Times of the frames, rising from 0.
        du: Diffusion coefficient of u.
        dv: Diffusion coefficient of v.
        k: Constant loss of u.
        reaction: Whether the fields react; without, they only diffuse.
        device: Where to compute; the CPU by default.

    Returns:
        `[samples, times, 2, cells, cells]`.

    Raises:
        RequestError: the times do not rise from 0.
    """
    if len(times) == 0 or times[0] != 0 or np.any(np.diff(times) <= 0):
        raise RequestError(f"The times of the frames must rise from 0; found {times}.")
    device = device or torch.device("cpu")
    cells = initial.shape[-1]
    rates = _decay_rates(cells)
    growth = float(reaction)
    linear = torch.from_numpy(np.stack([growth - du * rates, -growth - dv * rates]))
    forward, backward = _transforms(cells, device)

    def others(modes: torch.Tensor) -> torch.Tensor:
        """All but the linear decay and growth of each field: -u^3 - k - v and u."""
        if not reaction:
            return torch.zeros_like(modes)
        u = backward(modes[:, 0])
        rest = torch.empty_like(modes)
        torch.sub(forward(u * u * u).neg_(), modes[:, 1], out=rest[:, 0])
        rest[:, 0, 0, 0] -= k * cells
        rest[:, 1] = modes[:, 0]
        return rest

    frames = np.empty((initial.shape[0], len(times), *initial.shape[1:]))
    frames[:, 0] = initial
    modes = forward(torch.from_numpy(np.ascontiguousarray(initial)).to(device))
    edges = step_edges(times)
    steps: dict[float, tuple[torch.Tensor, ...]] = {}
    frame = 1
    for start, end in itertools.pairwise(edges):
        length = round(end - start, 12)
        if length not in steps:
            steps[length] = tuple(part.to(device) for part in _coefficients(linear * length))
        whole, half, inner, first, middle, last = steps[length]
        n1 = others(modes).mul_(length)
        rest = half * modes
        a = torch.addcmul(rest, inner, n1)
        n2 = others(a).mul_(length)
        n3 = others(rest.addcmul_(inner, n2)).mul_(length)
        c = a.mul_(half).addcmul_(inner, n3, value=2).addcmul_(inner, n1, value=-1)
        n4 = others(c).mul_(length)
        modes.mul_(whole).addcmul_(first, n1).addcmul_(middle, n2.add_(n3)).addcmul_(last, n4)
        if end == times[frame]:
            frames[:, frame] = backward(modes).cpu().numpy()
            frame += 1
    return frames


def step_edges(times: Array) -> Array:
    """Return the ends of the time steps, from 0 to the last of `times`, all of these among them.

    The steps do not depend on the frames asked for, as long as these are frames of the file.
    """
    finest = 2**FIRST_LEVEL
    unit = (TIMES[1] - TIMES[0]) / finest
    end = math.ceil(times[-1] / unit)
    ticks = [0]
    while ticks[-1] < end:
        tick, length = ticks[-1], 1
        while 2 * length <= finest and 2 * length * GROWTH <= tick and tick % (2 * length) == 0:
            length *= 2
        ticks.append(tick + length)
    edges = np.array(ticks) * unit
    # A step that ends next to a frame ends on it, to the last digit.
    nearest = np.abs(edges[:, None] - times).argmin(axis=1)
    edges = np.where(np.abs(edges - times[nearest]) < 1e-9, times[nearest], edges)
    return np.union1d(edges[edges <= times[-1]], times)


def _stride(points: int) -> int:
    return released_stride(points, GRID, "2-D diffusion-reaction")


def _decay_rates(cells: int) -> Array:
    """Eigenvalues of minus the five-point Laplacian without flux, `[cells, cells]`."""
    spacing = WIDTH / cells
    line = (2 / spacing * np.sin(np.pi * np.arange(cells) / (2 * cells))) ** 2
    return line[:, None] + line


def _transforms(cells: int, device: torch.device) -> tuple[Transform, Transform]:
    """The orthonormal cosine transform of the last two axes, and its inverse."""
    if device.type != "cpu":
        return _matrix_transforms(cells, device)

    def forward(values: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(scipy.fft.dctn(values.numpy(), axes=(-2, -1), norm="ortho"))

    def backward(modes: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(scipy.fft.idctn(modes.numpy(), axes=(-2, -1), norm="ortho"))

    return forward, backward


def _matrix_transforms(cells: int, device: torch.device) -> tuple[Transform, Transform]:
    """The same as products with a matrix: more work than scipy's, but it runs on a GPU."""
    matrix = torch.from_numpy(scipy.fft.dct(np.eye(cells), axis=0, norm="ortho")).to(device)
    return (lambda values: matrix @ values @ matrix.T), (lambda modes: matrix.T @ modes @ matrix)


def _coefficients(z: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Weights of a step, for the linear part times the step's length."""
    values = z.numpy()
    phi1, phi2, phi3 = _phi(values)
    inner, _, _ = _phi(values / 2)
    weights = (
        np.exp(values),
        np.exp(values / 2),
        inner / 2,
        phi1 - 3 * phi2 + 4 * phi3,
        2 * phi2 - 4 * phi3,
        4 * phi3 - phi2,
    )
    return tuple(torch.from_numpy(weight) for weight in weights)


def _phi(z: Array) -> tuple[Array, Array, Array]:
    """phi_n(z) = sum_j z^j / (j + n)! for n = 1, 2, 3."""
    near = np.abs(z) < SERIES_BELOW
    small, large = np.where(near, z, 0.0), np.where(near, 1.0, z)
    series = functools.reduce(
        lambda total, term: total * small + 1 / math.factorial(term + 3),
        range(SERIES_TERMS, -1, -1),
        np.zeros_like(z),
    )
    phi1 = np.expm1(large) / large
    phi2 = (phi1 - 1) / large
    phi3 = np.where(near, series, (phi2 - 0.5) / large)
    # Downwards the recurrence loses no digits, upwards it divides by z.
    phi2 = np.where(near, small * series + 0.5, phi2)
    return np.where(near, small * phi2 + 1, phi1), phi2, phi3
