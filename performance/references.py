"""Converged solutions to measure the solvers against: the final frame of the same samples.

They solve the equations as they are stated, not the released stencils, with one exception: the
start of 2-D diffusion-reaction is noise, cell by cell, and means nothing without the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.integrate
import scipy.sparse
import scipy.sparse.linalg
import torch

from benchmarks.pdebench.solvers import (
    Array,
    advection,
    burgers,
    cell_centres,
    compressible_initial_2d,
    compressible_ns_1d,
    compressible_ns_2d,
    compressible_spectral,
    darcy,
    diffusion_reaction,
    diffusion_reaction_2d,
    diffusion_sorption,
    random_field,
    shallow_water,
    strided_centres,
)

Generators = Sequence[np.random.Generator]
Reference = Callable[[Generators, Mapping[str, float], int], Array]
"""From generators, parameters and points per axis to the final frame in the order of `final`."""

_CPU = torch.device("cpu")
# Odd, so that the centre of a cell is the centre of one of its parts.
_FINER = 3
_FINER_DAM = 4
_LINES_PER_CELL = 64
_FINEST_FLOW = 192


def final(arrays: Mapping[str, npt.NDArray[np.floating]]) -> Array:
    """Return the final frame of a solver's datasets as float64, channels last."""
    if "data" in arrays:
        return arrays["data"][:, -1].astype(np.float64)
    names = [name for name in ("tensor", "density", "pressure", "Vx", "Vy") if name in arrays]
    return np.stack([arrays[name][:, -1] for name in names], axis=-1, dtype=np.float64)


def advection_reference(rngs: Generators, parameters: Mapping[str, float], points: int) -> Array:
    """The initial field, moved by beta T and not rounded to single precision."""
    moved = strided_centres(points, advection.RELEASED_POINTS) - parameters["beta"] * 2.0
    return random_field.draw(rngs)(moved)[..., None]


def burgers_reference(rngs: Generators, parameters: Mapping[str, float], points: int) -> Array:
    """Eight times as many quadrature points."""
    field = random_field.draw(rngs)
    solution = burgers.solve(
        field,
        points,
        burgers.TIMES[-1:],
        nu=parameters["Nu"],
        first=float(burgers.coordinates(points)["x-coordinate"][0]),
        fine_points=8 * burgers.FINE_POINTS,
    )
    return solution[:, -1, :, None]


def diffusion_reaction_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """Initial fields on four times as many points, a tolerance of a thousandth."""
    finer = 4 * math.ceil(diffusion_reaction.SAMPLING_POINTS / points)
    first = strided_centres(points, diffusion_reaction.RELEASED_POINTS)[0]
    u = random_field.draw(rngs)((first + np.arange(points * finer) / (points * finer)) % 1)
    u -= u.min(axis=1, keepdims=True)
    u /= u.max(axis=1, keepdims=True)
    end = float(diffusion_reaction.TIMES[-1])
    nu, rho = parameters["Nu"], parameters["rho"]
    solution = diffusion_reaction.solve(u, nu=nu, rho=rho, time=end, tolerance=1e-9)
    return solution[:, ::finer, None]


def diffusion_sorption_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """Walls to second order, three times as many cells, a hundredth of the tolerance in time."""
    start = [diffusion_sorption.LARGEST_START * rng.random() for rng in rngs]
    cells = _FINER * diffusion_sorption.RELEASED_POINTS
    initial = np.repeat(np.array(start)[:, None], cells, axis=1)
    end = diffusion_sorption.TIMES[-1:]
    solution = diffusion_sorption.solve(initial, end, scheme="accurate", step_tolerance=1e-8)
    return _centres(solution[:, -1], points)[..., None]


def darcy_reference(rngs: Generators, parameters: Mapping[str, float], points: int) -> Array:
    """The same cells, each cut into nine, with the flux continuous and u = 0 on the wall.

    Assembled from differences across faces and solved directly. With 25 instead of nine the
    solution changes by 2.9e-4, a hundredth of the errors that are measured with it.
    """
    solutions = []
    for nu in darcy.draw_coefficient(rngs, darcy.RELEASED_POINTS):
        fine = nu.repeat(_FINER, axis=0).repeat(_FINER, axis=1)
        force = np.full(fine.size, parameters["beta"] / fine.size)
        u = scipy.sparse.linalg.splu(_darcy_matrix(fine), permc_spec="MMD_AT_PLUS_A").solve(force)
        solutions.append(_centres(_centres(u.reshape(fine.shape), points).T, points).T)
    return np.stack(solutions)[..., None]


def _centres(values: Array, points: int) -> Array:
    """Return what finer cells have at the points of a strided file, along the last axis."""
    coarse = values[..., _FINER // 2 :: _FINER]
    return coarse[..., :: coarse.shape[-1] // points]


def _darcy_matrix(nu: Array) -> scipy.sparse.csc_array:
    """Return the sum of D' K D over both axes.

    D are the differences across the faces along an axis, the field being zero outside, and K the
    coefficients on these faces: the distance between two centres over the sum of what resists the
    flux, half a cell of each. On the wall there is one half.
    """
    points = len(nu)
    unit = scipy.sparse.eye_array(points)
    line = scipy.sparse.eye_array(points + 1, points)
    line = line - scipy.sparse.eye_array(points + 1, points, k=-1)
    resistance = 0.5 / nu
    wide, tall = np.pad(resistance, [(1, 1), (0, 0)]), np.pad(resistance, [(0, 0), (1, 1)])
    parts = []
    for difference, faces in (
        (scipy.sparse.kron(line, unit), 1 / (wide[1:] + wide[:-1])),
        (scipy.sparse.kron(unit, line), 1 / (tall[:, 1:] + tall[:, :-1])),
    ):
        parts.append(difference.T @ scipy.sparse.diags_array(faces.ravel()) @ difference)
    return scipy.sparse.csc_array(parts[0] + parts[1])


def shallow_water_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """The radial scheme on four times as many cells, averaged over points in each cell.

    Its own error is a quarter: with eight times as many, the errors come out an eighth larger.
    """
    low, high = shallow_water.SMALLEST_RADIUS, shallow_water.LARGEST_RADIUS
    radii = np.array([rng.uniform(low, high) for rng in rngs])
    edges = np.linspace(0.0, shallow_water.REACH, _FINER_DAM * shallow_water.CELLS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    state = np.stack(
        [
            np.where(centres < 1, shallow_water.INNER_DEPTH, shallow_water.OUTER_DEPTH),
            np.zeros(len(centres)),
        ]
    )
    result = np.empty((len(radii), points, points, 1))
    now = 0.0
    # All samples are one flow in units of the radius; the widest dam has the earliest end.
    for sample in np.argsort(-radii):
        span = 1 / radii[sample] - now
        steps = math.ceil(span * shallow_water.FASTEST / edges[1])
        for _ in range(steps):
            length = span / steps
            first = state + length * shallow_water.rate(state, edges)
            state = (state + first + length * shallow_water.rate(first, edges)) / 2
        now = 1 / radii[sample]
        result[sample, ..., 0] = _cell_averages(centres * radii[sample], state[0], points)
    return result


def _cell_averages(radius: Array, depth: Array, points: int) -> Array:
    """Average a radial function over the cells of the square, by many points in each."""
    fine = points * _LINES_PER_CELL
    line = np.abs(shallow_water.HALF_WIDTH * (2 * cell_centres(fine) - 1))[: fine // 2]
    quadrant = np.empty((points // 2, points // 2))
    for row in range(points // 2):
        x = line[row * _LINES_PER_CELL : (row + 1) * _LINES_PER_CELL]
        values = np.interp(np.hypot(x[:, None], line), radius, depth)
        quadrant[row] = values.reshape(_LINES_PER_CELL, -1, _LINES_PER_CELL).mean(axis=(0, 2))
    half = np.concatenate([quadrant, quadrant[::-1]])
    return np.concatenate([half, half[:, ::-1]], axis=1)


def diffusion_reaction_2d_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """The same cells by an explicit Runge-Kutta method of order eight, tolerance 1e-11."""
    grid = diffusion_reaction_2d.GRID
    spacing = diffusion_reaction_2d.WIDTH / grid
    scales = np.array([diffusion_reaction_2d.DU, diffusion_reaction_2d.DV])[:, None, None]

    def rate(_: float, flat: Array) -> Array:
        fields = flat.reshape(2, grid, grid)
        padded = np.pad(fields, [(0, 0), (1, 1), (1, 1)], mode="edge")
        laplacian = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:]
        laplacian += padded[:, 1:-1, :-2] - 4 * fields
        u, v = fields
        change = scales / spacing**2 * laplacian
        change[0] += u - u**3 - diffusion_reaction_2d.K - v
        change[1] += u - v
        return change.ravel()

    stride = grid // points
    solutions = []
    for rng in rngs:
        start = rng.standard_normal((2, grid, grid))
        end = float(diffusion_reaction_2d.TIMES[-1])
        solved = scipy.integrate.solve_ivp(
            rate, (0.0, end), start.ravel(), method="DOP853", t_eval=[end], rtol=1e-11, atol=1e-11
        )
        solutions.append(solved.y[:, -1].reshape(2, grid, grid)[:, ::stride, ::stride])
    return np.moveaxis(np.stack(solutions), 1, -1)


def compressible_ns_1d_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """The same scheme on four times as many cells, or eight where shocks limit the accuracy."""
    solver = compressible_ns_1d
    finer = 8 if parameters["eta"] < 1e-6 else 4
    per_point = finer * solver.cells(points) // points
    arrays = solver.samples(
        rngs,
        parameters,
        points,
        solver.TIMES[[0, -1]],
        _CPU,
        cells_per_point=per_point,
        dtype=torch.float64,
    )
    return final(arrays)


def compressible_ns_2d_reference(
    rngs: Generators, parameters: Mapping[str, float], points: int
) -> Array:
    """Half as many modes again or more along each axis, in double precision.

    Measured on two samples: with 256 points instead of 192 the errors are the same to 1 %.
    """
    solver = compressible_ns_2d
    finer = math.ceil(_FINEST_FLOW / points)
    first = strided_centres(points, solver.RELEASED_POINTS)[0]
    x = first + np.arange(points * finer) / (points * finer)
    density, velocity, pressure = compressible_initial_2d.draw(rngs, mach=parameters["M"])(x, x)
    fields = compressible_spectral.solve(
        density,
        velocity,
        pressure,
        lengths=(1.0, 1.0),
        eta=parameters["eta"],
        zeta=parameters["zeta"],
        times=solver.TIMES[[0, -1]],
        grid=(_FINEST_FLOW, _FINEST_FLOW),
        points=(points, points),
    )
    parts = fields.density, fields.pressure, fields.velocity[:, :, 0], fields.velocity[:, :, 1]
    return np.stack([part[:, -1] for part in parts], axis=-1)
