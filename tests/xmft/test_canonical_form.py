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
    "one axis of two": (Symmetries(periodic=(1,), mirrored=(0, 1)), 1, (12, 10)),
}


def fields(channels: int, grid: tuple[int, ...], count: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth fields `[n, channels, *grid]` of several waves, above 0, the later ones faster."""
    rng = np.random.default_rng(seed)
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"))
    total = 4 + np.linspace(-1, 1, count).reshape(-1, *[1] * (1 + len(grid)))
    total = np.broadcast_to(total, (count, channels, *grid)).copy()
    # Along each axis for itself, so that none is its own mirror image, and across.
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


@pytest.mark.parametrize("name", KNOWN)
def test_the_form_is_the_one_that_is_said(name: str) -> None:
    symmetries, channels, grid = KNOWN[name]
    form, x = Canonical(symmetries), torch.from_numpy(fields(channels, grid))
    motion = form.motion(x)
    seen = form.inputs(x, motion).numpy()
    for axis, points in enumerate(grid):
        profile = seen[:, 0].mean(axis=tuple({1, 2} - {1 + axis})[: len(grid) - 1])
        waves = np.fft.rfft(profile)[:, 1:]
        smooth = np.fft.irfft(
            np.pad(waves * 0.5 ** np.arange(1, waves.shape[1] + 1), ((0, 0), (1, 0))), n=points
        )
        if axis not in symmetries.periodic:
            assert not motion.shift[:, axis].any() and not motion.mirrored[:, axis].any()
            continue
        assert (smooth.argmax(axis=1) == points // 2).all()
        if axis in symmetries.mirrored:
            if symmetries.inputs[:1] == (axis,):
                assert (smooth.max(axis=1) >= -smooth.min(axis=1)).all()
            else:
                behind = np.sin(2 * np.pi * (np.arange(points) - points // 2) / points)
                assert (smooth @ behind > -1e-9).all()
        if symmetries.galilean is None:
            continue
        weight = seen[:, 0] if symmetries.galilean.density == 0 else np.ones_like(seen[:, 0])
        speed = seen[:, symmetries.inputs.index(axis)]
        mean = (weight * speed).reshape(len(x), -1).sum(1) / weight.reshape(len(x), -1).sum(1)
        assert (np.abs(mean) <= 0.5001 * symmetries.galilean.crossing / points).all()
    # Nothing is lost, and what is done to a sample is its own affair.
    torch.testing.assert_close(form.back(form.targets(x, motion), motion), x, rtol=0, atol=1e-12)
    one = form.motion(x[5:6])
    assert torch.equal(one.shift[0], motion.shift[5]) and torch.equal(one.drift[0], motion.drift[5])
