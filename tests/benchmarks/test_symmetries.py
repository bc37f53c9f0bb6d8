"""Symmetries of the tasks, by the solvers: the solution of a moved input is the moved solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks import catalog
from benchmarks.pdebench.solvers import (
    advection,
    burgers,
    compressible_spectral,
    darcy,
    diffusion_reaction,
    diffusion_reaction_2d,
    diffusion_sorption,
    shallow_water,
)
from benchmarks.pdebench.tasks import PROBLEMS
from xmft.canonical import Canonical
from xmft.motions import Motion, moved
from xmft.symmetries import Symmetries

Array = npt.NDArray[np.float64]
Solve = Callable[[Array, float], Array]

SAMPLES, POINTS, CELLS = 6, 64, 24


def waves(channels: int, grid: tuple[int, ...], *, modes: int = 3) -> Array:
    """Smooth periodic fields `[samples, channels, *grid]` of size 1, without any symmetry."""
    rng = np.random.default_rng(7)
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"))
    total = np.zeros((SAMPLES, channels, *grid))
    for _ in range(8):
        k = rng.integers(-modes, modes + 1, (SAMPLES, channels, len(grid)))
        phase = rng.uniform(0, 2 * np.pi, (SAMPLES, channels, *[1] * len(grid)))
        size = rng.uniform(0.1, 0.4, phase.shape)
        total += size * np.sin(2 * np.pi * np.tensordot(k, x, 1) + phase)
    return total


def continued(values: Array) -> Callable[[Array], Array]:
    """The periodic functions of the unit interval with these values at its first points."""
    spectrum = np.fft.rfft(values) / values.shape[-1]
    spectrum[:, 1:] *= 2
    k = np.arange(spectrum.shape[1])

    def function(x: Array) -> Array:
        return (spectrum @ np.exp(2j * np.pi * np.outer(k, x))).real

    return function


def solve_advection(inputs: Array, time: float) -> Array:
    x = np.arange(POINTS) / POINTS
    field = continued(inputs[:, 0])
    return advection.solve(field, x, beta=0.4, times=np.array([time]))


def solve_burgers(inputs: Array, time: float) -> Array:
    field = continued(inputs[:, 0])
    return burgers.solve(field, POINTS, np.array([time]), nu=0.1, first=0.0)


def solve_reaction(inputs: Array, time: float) -> Array:
    return diffusion_reaction.solve(inputs[:, 0], nu=0.05, rho=1.0, time=time)[:, None]


def solve_sorption(inputs: Array, time: float) -> Array:
    return diffusion_sorption.solve(inputs[:, 0], np.array([time]))


def solve_flow(inputs: Array, time: float) -> Array:
    axes = inputs.ndim - 2
    fields = compressible_spectral.solve(
        inputs[:, 0],
        inputs[:, 2:],
        inputs[:, 1],
        lengths=[2.0 if axes == 1 else 1.0] * axes,
        eta=0.1,
        zeta=0.1,
        times=np.array([0.0, time]),
    )
    scalars = np.stack([fields.density[:, -1], fields.pressure[:, -1]], axis=1)
    return np.concatenate([scalars, fields.velocity[:, -1]], axis=1)


def solve_darcy(inputs: Array, time: float) -> Array:
    return darcy.solve(inputs[:, 0], beta=1.0)[:, None]


def solve_reaction_2d(inputs: Array, time: float) -> Array:
    return diffusion_reaction_2d.solve(inputs, np.array([0.0, time]))[:, -1]


def gas(axes: int) -> Array:
    grid = (POINTS,) if axes == 1 else (32, 32)
    fields = waves(2 + axes, grid, modes=2) * 0.1
    fields[:, :2] += np.array([1.0, 2.0]).reshape(2, *[1] * axes)
    return fields


CASES: dict[str, tuple[Callable[[], Array], Solve]] = {
    "pdebench/advection": (lambda: waves(1, (POINTS,)), solve_advection),
    "pdebench/burgers": (lambda: waves(1, (POINTS,)), solve_burgers),
    "pdebench/diffusion_reaction_1d": (lambda: 0.5 + waves(1, (POINTS,)) / 8, solve_reaction),
    "pdebench/diffusion_sorption": (lambda: 0.1 + waves(1, (POINTS,)) / 99, solve_sorption),
    "pdebench/compressible_ns_1d": (lambda: gas(1), solve_flow),
    "pdebench/darcy": (lambda: np.where(waves(1, (CELLS, CELLS)) > 0, 1.0, 0.1), solve_darcy),
    "pdebench/diffusion_reaction_2d": (lambda: waves(2, (CELLS, CELLS)), solve_reaction_2d),
    "pdebench/compressible_ns_2d": (lambda: gas(2), solve_flow),
}
ROUND = "pdebench/shallow_water"
NONE = ("pdebench/diffusion_sorption", ROUND)
NAMES = [problem.name for problem in PROBLEMS]
SYMMETRIC = [name for name in NAMES if name not in NONE]
# Each alone, and all at once: exchange of axes, reflections, shifts, drifts.
KINDS = ("exchanged", "mirrored", "periodic", "galilean", "all")


def declared(name: str) -> Symmetries | None:
    """What a task says, on any grid."""
    found = catalog.get(name).task.symmetries
    return None if found is None else replace(found, walls=0)


PERIODIC = [name for name in NAMES if (found := declared(name)) is not None and found.periodic]


def motion(symmetries: Symmetries, grid: tuple[int, ...], kind: str) -> Motion:
    """Random motions of one kind, or of all that there are."""
    rng, axes = np.random.default_rng(3), len(grid)

    def wanted(what: str, possible: bool) -> bool:
        return possible and kind in (what, "all")

    mirrored = np.stack([np.arange(SAMPLES) % 2 ** (a + 1) >= 2**a for a in range(axes)], axis=1)
    mirrored &= [wanted("mirrored", axis in symmetries.mirrored) for axis in range(axes)]
    shift = rng.integers(1, grid[0], (SAMPLES, axes))
    shift *= [wanted("periodic", axis in symmetries.periodic) for axis in range(axes)]
    drift = rng.integers(-9, 10, (SAMPLES, axes)) * wanted("galilean", bool(symmetries.galilean))
    exchanged = (np.arange(SAMPLES) > 2) & wanted("exchanged", symmetries.exchanged)
    return Motion(
        exchanged=torch.from_numpy(exchanged),
        mirrored=torch.from_numpy(mirrored),
        shift=torch.from_numpy(shift),
        drift=torch.from_numpy(drift),
    )


def difference(name: str, symmetries: Symmetries, kind: str) -> float:
    """Relative distance of the moved solution from the solution of the moved input."""
    draw, solve = CASES[name]
    inputs = draw()
    time = next(problem.clean.time for problem in PROBLEMS if problem.name == name) or 0.0
    chosen = motion(symmetries, inputs.shape[2:], kind)
    before, after = moved(
        symmetries, torch.from_numpy(inputs), torch.from_numpy(solve(inputs, time)), chosen
    )
    assert not np.array_equal(before.numpy(), inputs)  # something was done
    solved = solve(before.numpy(), time)
    axes = tuple(range(2, inputs.ndim))
    # Each channel for itself: a velocity is small beside a pressure.
    error = np.sqrt(np.square(solved - after.numpy()).sum(axes))
    return float((error / np.sqrt(np.square(solved).sum(axes))).max())


def has(symmetries: Symmetries, kind: str) -> bool:
    return kind == "all" or bool(getattr(symmetries, kind))


@pytest.mark.parametrize(
    "name, kind",
    [(name, kind) for name in SYMMETRIC for kind in KINDS if has(declared(name), kind)],  # type: ignore[arg-type]
)
def test_the_solution_of_a_moved_input_is_the_moved_solution(name: str, kind: str) -> None:
    symmetries = declared(name)
    assert symmetries is not None
    assert difference(name, symmetries, kind) < 1e-5


@pytest.mark.parametrize("name", PERIODIC)
def test_the_canonical_solution_is_the_solution_of_the_canonical_input(name: str) -> None:
    symmetries = declared(name)
    assert symmetries is not None
    draw, solve = CASES[name]
    inputs = draw()
    if symmetries.galilean is not None:
        # A wind of its own in each sample.
        for channel, axis in enumerate(symmetries.inputs):
            if axis is not None:
                wind = np.linspace(-0.1, 0.12, SAMPLES)
                inputs[:, channel] += wind.reshape(-1, *[1] * (inputs.ndim - 2))
    time = next(problem.clean.time for problem in PROBLEMS if problem.name == name)
    solved = solve(inputs, time)
    form, (before, after) = Canonical(symmetries), map(torch.from_numpy, (inputs, solved))
    motion = form.motion(before)
    seen = form.inputs(before, motion).numpy()
    assert not np.array_equal(seen, inputs)
    expected = solve(seen, time)
    found = form.targets(after, motion).numpy()
    for channel in range(found.shape[1]):
        size = np.linalg.norm(expected[:, channel])
        assert np.linalg.norm(found[:, channel] - expected[:, channel]) < 1e-5 * size
    np.testing.assert_allclose(form.back(torch.from_numpy(found), motion), solved, atol=1e-12)


@pytest.mark.parametrize(
    "name, wrong",
    [
        # Its direction; its walls.
        ("pdebench/advection", Symmetries(mirrored=(0,))),
        ("pdebench/diffusion_sorption", Symmetries(mirrored=(0,))),
        ("pdebench/diffusion_sorption", Symmetries(periodic=(0,))),
        ("pdebench/darcy", Symmetries(periodic=(0,))),
        ("pdebench/diffusion_reaction_2d", Symmetries(periodic=(1,))),
        # A velocity without its sign, or in the wrong place.
        ("pdebench/burgers", Symmetries(mirrored=(0,))),
        ("pdebench/compressible_ns_1d", Symmetries(mirrored=(0,))),
        ("pdebench/compressible_ns_2d", Symmetries(exchanged=True)),
    ],
)
def test_what_is_no_symmetry_shows(name: str, wrong: Symmetries) -> None:
    assert difference(name, wrong, "all") > 1e-3


def test_tasks_that_say_nothing_have_nothing_to_say() -> None:
    assert [name for name in NAMES if declared(name) is None] == list(NONE)
    # Every dam is round and in the middle: reflections and turns leave the depth as it is.
    frames = shallow_water.depth(0.5, 32, np.array([0.0, 1.0]))
    for same in (frames[:, ::-1], frames[:, :, ::-1], frames.transpose(0, 2, 1)):
        np.testing.assert_allclose(same, frames, atol=1e-12)
    # Moved, it is another one, of which there are no samples and which walls would reflect.
    assert np.abs(np.roll(frames, 5, axis=1) - frames).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_scaled_fields_have_none(name: str) -> None:
    entry = catalog.get(name)
    released = entry.task_under("released").symmetries
    scaled = name.startswith("pdebench/compressible")
    assert released == (None if scaled else entry.task.symmetries)


@pytest.mark.parametrize("name", ["pdebench/darcy", "pdebench/diffusion_reaction_2d"])
def test_between_walls_a_stride_is_no_longer_reflected(name: str) -> None:
    symmetries = catalog.get(name).task.symmetries
    assert symmetries is not None
    assert symmetries.on((128, 128), galilean=False).mirrored == (0, 1)
    strided = symmetries.on((64, 64), galilean=False)
    assert strided.mirrored == () and strided.exchanged
    # The first of every two cells lies nearer to one wall than the last of them to the other.
    solve = CASES[name][1]
    inputs = np.where(waves(1, (32, 32)) > 0, 1.0, 0.1)
    if name.endswith("2d"):
        inputs = waves(2, (32, 32))
    solved = solve(inputs, 5.0)
    half = solve(inputs[..., ::-1, :], 5.0)[..., ::2, ::2]
    assert not np.allclose(half, solved[..., ::2, ::2][..., ::-1, :], rtol=1e-3)
    turned = solve(inputs.swapaxes(2, 3), 5.0)[..., ::2, ::2]
    np.testing.assert_allclose(turned, solved[..., ::2, ::2].swapaxes(2, 3), rtol=1e-5, atol=1e-7)
