"""Training samples moved by the symmetries of their equation, by (seed, epoch, row) alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from xmft.errors import RequestError
from xmft.motions import Motion, moved
from xmft.recipe import Recipe
from xmft.samples import Decoded, Draws, shapes_of
from xmft.symmetries import Symmetries, check_symmetries
from xmft.task import TaskData


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
