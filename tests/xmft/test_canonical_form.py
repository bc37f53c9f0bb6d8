"""The canonical form of a sample: where, which way round and how fast it is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xmft.canonical import Canonical
from xmft.motions import Motion, moved
from xmft.symmetries import Galilean, Symmetries

POINTS = 32
VELOCITY = Symmetries(
    periodic=(0,),
    mirrored=(0,),
    inputs=(0,),
    targets=(0,),
    galilean=Galilean(crossing=2.0, most=1.0),
)
GAS = replace(
    VELOCITY,
    inputs=(None, 0),
    targets=(None, 0),
    galilean=Galilean(crossing=2.0, most=1.0, density=0),
)
PLANE = Symmetries(
    periodic=(0, 1),
    mirrored=(0, 1),
    inputs=(None, 0, 1),
    targets=(None, 0, 1),
    galilean=Galilean(crossing=1.0, most=1.0),
)
KNOWN = {
    "scalar": (Symmetries(periodic=(0,)), 1, (POINTS,)),
    "mirrored scalar": (Symmetries(periodic=(0,), mirrored=(0,)), 2, (POINTS,)),
    "velocity": (VELOCITY, 1, (POINTS,)),
    "gas": (GAS, 2, (POINTS,)),
    "plane": (PLANE, 3, (12, 10)),
    "plane of velocities": (
        Symmetries(periodic=(0, 1), mirrored=(0, 1), inputs=(0, 1), targets=(0, 1)),
        2,
        (12, 10),
    ),
    "the other velocity first": (
        Symmetries(periodic=(0, 1), mirrored=(0, 1), inputs=(1, 0), targets=(1, 0)),
        2,
        (9, 10),
    ),
    "one axis of two": (Symmetries(periodic=(1,), mirrored=(0, 1)), 1, (12, 10)),
}


def fields(channels: int, grid: tuple[int, ...], count: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth fields `[n, channels, *grid]` of several waves, above 0, the later ones faster."""
    rng = np.random.default_rng(seed)
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"))
    total = 4 + np.linspace(-1, 1, count).reshape(-1, *[1] * (1 + len(grid)))
    total = np.broadcast_to(total, (count, channels, *grid)).copy()
    # Along each axis for itself and across, so that none is its own mirror image.
    waves = [k * row for k in (1, 2, 3) for row in np.eye(len(grid), dtype=int)]
    waves += list(rng.integers(-3, 4, (3, len(grid))))
    for k in waves:
        phase = rng.uniform(0, 2 * np.pi, (count, channels, *[1] * len(grid)))
        size = rng.uniform(0.1, 0.4, phase.shape)
        total += size * np.sin(2 * np.pi * np.tensordot(k, x, 1) + phase)
    return total


def motions(symmetries: Symmetries, grid: tuple[int, ...], count: int) -> Motion:
    rng = np.random.default_rng(1)
    allowed = [axis in symmetries.periodic for axis in range(len(grid))]
    turned = [axis in symmetries.mirrored and allowed[axis] for axis in range(len(grid))]
    frames = symmetries.galilean is not None
    shift = rng.integers(0, grid[-1], (count, len(grid))) * allowed
    drift = rng.integers(-9, 10, (count, len(grid))) * allowed * frames
    mirrored = rng.integers(0, 2, (count, len(grid))).astype(bool) & turned
    return Motion(
        exchanged=torch.zeros(count, dtype=torch.bool),
        mirrored=torch.from_numpy(mirrored),
        shift=torch.from_numpy(shift),
        drift=torch.from_numpy(drift),
    )


@pytest.mark.parametrize("name", KNOWN)
def test_any_map_behind_it_commutes_with_the_symmetries(name: str) -> None:
    symmetries, channels, grid = KNOWN[name]
    form = Canonical(symmetries)
    x = torch.from_numpy(fields(channels, grid))
    places = torch.from_numpy(fields(channels, grid, 1, seed=2))

    def model(inputs: Tensor) -> Tensor:
        motion = form.motion(inputs)
        # Knows places, sides and sizes, as networks do.
        return form.back((form.inputs(inputs, motion) - 3.7).square() * places, motion)

    chosen = motions(symmetries, grid, len(x))
    before, after = moved(symmetries, x, model(x), chosen)
    assert not torch.equal(before, x)
    torch.testing.assert_close(model(before), after, rtol=1e-6, atol=1e-4)


def smoothed(field: np.ndarray, periodic: tuple[int, ...]) -> np.ndarray:
    """One channel of one sample around 0, each wave by a half per wavenumber, by a plain sum."""
    total, grid = np.zeros(field.shape), field.shape
    x = np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij")
    for k in np.ndindex(*grid):
        signed = [w - n if w > n / 2 else w for w, n in zip(k, grid, strict=True)]
        if not any(k) or any(w and axis not in periodic for axis, w in enumerate(signed)):
            continue
        turn = 2 * np.pi * sum(w * part for w, part in zip(k, x, strict=True))
        size = (field * np.exp(-1j * turn)).mean() * 0.5 ** sum(map(abs, signed))
        total += (size * np.exp(1j * turn)).real
    return total


def behind(
    smooth: np.ndarray, place: tuple[int, ...], axis: int, periodic: tuple[int, ...]
) -> float:
    """Sum of the field times its distance behind a place, less the further off to the sides."""
    total = 0.0
    for at in np.ndindex(*smooth.shape):
        weight = 1.0
        for other, points in enumerate(smooth.shape):
            away = (at[other] - place[other] + points / 2) % points / points - 0.5
            if other == axis:
                weight *= away if away > -0.5 else 0
            elif other in periodic:
                weight *= np.cos(np.pi * away) ** 2
        total += weight * smooth[at]
    return 4 * total / smooth.size


@pytest.mark.parametrize("name", KNOWN)
def test_the_form_is_the_one_that_is_said(name: str) -> None:
    symmetries, channels, grid = KNOWN[name]
    form, x = Canonical(symmetries), torch.from_numpy(fields(channels, grid, 6))
    motion = form.motion(x)
    seen, periodic = form.inputs(x, motion).numpy(), symmetries.periodic
    for sample in seen:
        smooth = smoothed(sample[0], periodic)
        crest, trough = (np.unravel_index(place(smooth), grid) for place in (np.argmax, np.argmin))
        for axis, points in enumerate(grid):
            if axis not in periodic:
                continue
            assert crest[axis] == points // 2
            if axis in symmetries.mirrored:
                lean = behind(smooth, crest, axis, periodic)
                if symmetries.inputs[:1] == (axis,):
                    lean += smooth.max() + smooth.min() - behind(smooth, trough, axis, periodic)
                assert lean > -1e-12
            if symmetries.galilean is not None:
                density = symmetries.galilean.density
                weight = np.ones(grid) if density is None else sample[density]
                speed = sample[symmetries.inputs.index(axis)]
                mean = (weight * speed).sum() / weight.sum()
                assert abs(mean) <= 0.5001 * symmetries.galilean.crossing / points
    # Nothing is lost, and what is done to a sample is its own affair.
    torch.testing.assert_close(form.back(form.targets(x, motion), motion), x, rtol=0, atol=1e-6)
    one = form.motion(x[5:6])
    assert torch.equal(one.shift[0], motion.shift[5]) and torch.equal(one.drift[0], motion.drift[5])
    still = [axis for axis in range(len(grid)) if axis not in periodic]
    assert not motion.shift[:, still].any() and not motion.mirrored[:, still].any()


@pytest.mark.parametrize("waves", [(1, 3), (2, 3), (3, 8), (2, 6), (1, 2)])
@pytest.mark.parametrize("of_velocity", [True, False])
def test_two_waves_are_told_from_their_mirror_image(
    waves: tuple[int, int], of_velocity: bool
) -> None:
    """Fields of the benchmark: some have crests as high as troughs are deep, or no first wave."""
    symmetries = VELOCITY if of_velocity else Symmetries(periodic=(0,), mirrored=(0,))
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (40, 2, 1))
    x = np.arange(64) / 64
    field = sum(0.7**i * np.sin(2 * np.pi * k * x + phase[:, i]) for i, k in enumerate(waves))
    inputs = torch.from_numpy(np.asarray(field)[:, None])
    form = Canonical(symmetries)
    seen = form.inputs(inputs, form.motion(inputs))
    noisy = inputs + 1e-6 * torch.from_numpy(np.random.default_rng(1).standard_normal((40, 1, 64)))
    turned, _ = moved(symmetries, noisy, noisy, motions(symmetries, (64,), 40))
    again = form.inputs(turned, form.motion(turned))
    # A point of drift, and crests between two points, move a form by a point or two.
    away = torch.stack(
        [(again.roll(step, 2) - seen).flatten(1).norm(dim=1) for step in range(-2, 3)]
    ).amin(dim=0)
    assert (away > 0.3 * seen.flatten(1).norm(dim=1)).sum() <= 2


def test_flow_without_a_mean_along_an_axis_has_a_form() -> None:
    """As that of PDEBench in two dimensions, whose waves run along both axes."""
    rng = np.random.default_rng(0)
    x = np.stack(np.meshgrid(*(np.arange(32) / 32,) * 2, indexing="ij"))
    fields_ = np.full((20, 3, 32, 32), 4.0)
    for kx in (-2, -1, 1, 2):
        for ky in (1, 2):
            phase = rng.uniform(0, 2 * np.pi, (20, 3, 1, 1))
            fields_ += rng.uniform(0.1, 0.3, phase.shape) * np.sin(
                2 * np.pi * np.tensordot([kx, ky], x, 1) + phase
            )
    form, inputs = Canonical(PLANE), torch.from_numpy(fields_)
    noisy = inputs + 1e-7 * torch.from_numpy(rng.standard_normal(fields_.shape))
    found, again = form.motion(inputs), form.motion(noisy)
    same = (found.shift == again.shift).all(dim=1) & (found.mirrored == again.mirrored).all(dim=1)
    assert same.sum() >= 19


def test_a_density_around_zero_weighs_nothing() -> None:
    x = torch.from_numpy(fields(2, (POINTS,)))
    for density in (torch.zeros_like(x[:, 0]), x[:, 0] - x[:, 0].mean(dim=1, keepdim=True)):
        x[:, 0] = density
        assert (Canonical(GAS).motion(x).drift.abs() <= 8 * POINTS).all()
