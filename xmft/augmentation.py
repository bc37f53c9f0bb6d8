"""Training samples moved by the symmetries of their equation, by (seed, epoch, row) alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from xmft.errors import RequestError
from xmft.recipe import Recipe
from xmft.samples import Decoded, Draws, shapes_of
from xmft.symmetries import Symmetries, check_symmetries
from xmft.task import TaskData


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What is done to each sample of a batch, in this order.

    Attributes:
        exchanged: Whether the two axes are exchanged.
        mirrored: Whether an axis is reflected.
        shift: By how many points fields move round an axis.
        drift: By how many more the targets do, because the frame of reference moves.
    """

    exchanged: Bool[Tensor, " n"]
    mirrored: Bool[Tensor, "n axes"]
    shift: Int[Tensor, "n axes"]
    drift: Int[Tensor, "n axes"]


def augmented(data: TaskData, recipe: Recipe) -> TaskData:
    """Return a task's data with the augmentation that the recipe asks for.

    Samples are moved by whole points, so that none of their values is interpolated.

    Raises:
        RequestError: the task has no symmetries, or none on this grid.
    """
    if recipe.augment == "none":
        return data
    check_symmetries(data.task.name, data.task.symmetries, recipe)
    known = data.task.symmetries
    assert known is not None
    grid = shapes_of(data)[0][1:]
    found = known.on(grid, galilean=recipe.augment == "galilean")
    if not found:
        raise RequestError(
            f"augment={recipe.augment}: the symmetries of '{data.task.name}' need a grid of at "
            f"least {found.walls} points per axis, and this one has {' x '.join(map(str, grid))}. "
            "Raise resolution, or leave augment at none for this task."
        )
    if data.train.weights is not None:
        raise RequestError(
            f"augment={recipe.augment}: the targets of '{data.task.name}' have weights, which are "
            "not moved. Leave augment at none for this task."
        )
    before = data.augment

    def augment(decoded: Decoded, draws: Draws) -> Decoded:
        if before is not None:
            decoded = before(decoded, draws)
        # Stages before fitting train on classes of the targets as they are.
        if not draws.fitting:
            return decoded
        inputs, targets = moved(found, decoded.inputs, decoded.targets, drawn(found, draws, grid))
        return decoded._replace(inputs=inputs, targets=targets)

    return replace(data, augment=augment)


def drawn(symmetries: Symmetries, draws: Draws, grid: tuple[int, ...]) -> Motion:
    """Draw a motion for each row of a batch, all that are possible with the same probability."""
    rows, steps = len(draws), symmetries.steps(grid)
    still = torch.zeros(rows, dtype=torch.int64, device=draws.device)

    def coins(wanted: bool) -> Tensor:
        return draws.integers(2) if wanted else still

    axes = range(len(grid))
    shift = [draws.integers(grid[a]) if a in symmetries.periodic else still for a in axes]
    mirrored = [coins(axis in symmetries.mirrored) for axis in axes]
    exchanged = coins(symmetries.exchanged)
    drifts = [axis in symmetries.periodic and steps > 0 for axis in axes]
    drift = [draws.integers(2 * steps + 1) - steps if drifts[a] else still for a in axes]
    return Motion(
        exchanged=exchanged.bool(),
        mirrored=torch.stack(mirrored, dim=1).bool(),
        shift=torch.stack(shift, dim=1),
        drift=torch.stack(drift, dim=1),
    )


def moved(
    symmetries: Symmetries, inputs: Tensor, targets: Tensor, motion: Motion
) -> tuple[Tensor, Tensor]:
    """Move samples.

    Args:
        symmetries: Say which channels are components of vectors, and how fast frames are.
        inputs: `[n, channels, *grid]`, in physical units.
        targets: Likewise.
        motion: What is done to each.
    """
    velocity = torch.zeros_like(motion.drift, dtype=inputs.dtype)
    if symmetries.galilean is not None:
        lengths = torch.tensor(inputs.shape[2:], device=inputs.device)
        velocity = (motion.drift / lengths * symmetries.galilean.crossing).to(inputs.dtype)
    later = replace(motion, shift=motion.shift + motion.drift)
    return (
        _moved(inputs, symmetries.inputs, motion, velocity),
        _moved(targets, symmetries.targets, later, velocity),
    )


def _moved(x: Tensor, components: tuple[int | None, ...], motion: Motion, speed: Tensor) -> Tensor:
    """Move one of them; `components` and `speed` `[n, axes]` say what becomes of vectors."""
    axes = x.ndim - 2
    if axes == 2 and motion.exchanged.any():
        turned = x.transpose(2, 3)[:, _partners(components, x.shape[1])]
        x = torch.where(motion.exchanged[:, None, None, None], turned, x)
    rows = torch.arange(len(x), device=x.device)
    places = [rows.view(-1, *[1] * (axes + 1)), torch.arange(x.shape[1], device=x.device)]
    places[1] = places[1].view(1, -1, *[1] * axes)
    for axis in range(axes):
        points = x.shape[2 + axis]
        place = torch.arange(points, device=x.device) - motion.shift[:, axis, None]
        place = place.remainder(points)
        place = torch.where(motion.mirrored[:, axis, None], points - 1 - place, place)
        shape = [len(x), 1, *[1] * axes]
        shape[2 + axis] = points
        places.append(place.view(shape))
    x = x[tuple(places)]
    if not any(component is not None for component in components):
        return x
    sign = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
    added = torch.zeros_like(sign)
    for channel, along in enumerate(components):
        if along is not None:
            sign[:, channel] = torch.where(motion.mirrored[:, along], -1.0, 1.0)
            added[:, channel] = speed[:, along]
    shape = [*x.shape[:2], *[1] * axes]
    return x * sign.view(shape) + added.view(shape)


def _partners(components: tuple[int | None, ...], channels: int) -> list[int]:
    """Return for each channel the one that takes its place when the axes are exchanged."""
    partners = list(range(channels))
    along = [[c for c, axis in enumerate(components) if axis == a] for a in (0, 1)]
    for first, second in zip(*along, strict=True):
        partners[first], partners[second] = second, first
    return partners
